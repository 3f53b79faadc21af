"""Bootstrap intervals, differences and ranks: by formula, by simulation and in their corner cases."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from benchkit import metrics as bm
from benchkit.errors import BenchkitError
from benchkit.statistics.bootstrap import Bootstrap, bootstrap, difference, interval, ranks

IOU = bm.artifact_iou


def means(values):
    """(seeds, N) values as (seeds, N, 2) terms of their mean."""
    return np.stack([bm.mean_terms(v) for v in np.atleast_2d(values)])


def counts(rng, quality, seeds=1, images=60):
    """(seeds, N, 4) counts of a detector that finds `quality` of the artifact pixels; images share their labels."""
    marked = np.random.default_rng(0).integers(0, 200, images)
    tp = rng.binomial(marked, quality, (seeds, images))
    fp = rng.poisson(60 * (1 - quality), (seeds, images))
    return np.stack([tp, fp, marked - tp, 1000 - marked - fp], axis=-1)


# --- values -----------------------------------------------------------------------------------------------------------


def test_the_estimate_is_the_mean_over_seeds_of_the_boards_figure():
    terms = counts(np.random.default_rng(1), 0.6, seeds=3)
    expected = np.mean([float(IOU(seed.sum(0))) for seed in terms])
    boot = bootstrap({"a": terms}, IOU, replicates=10)
    assert interval(boot, "a").estimate == pytest.approx(expected)
    assert boot.images == 60 and boot.seeds == {"a": (0, 1, 2)}


def test_image_replicates_are_the_metric_of_resampled_images():
    terms = counts(np.random.default_rng(2), 0.6, images=7)
    boot = bootstrap({"a": terms}, IOU, replicates=50, seed=3)
    root = int(np.random.default_rng(3).integers(2**63))
    draws = np.random.default_rng([root, 0]).multinomial(7, np.full(7, 1 / 7), size=50)
    expected = [IOU(np.repeat(terms[0], draw, axis=0).sum(0)) for draw in draws]
    assert_allclose(boot.of("a"), expected)


def test_the_spread_of_a_mean_is_its_textbook_standard_error():
    values = np.random.default_rng(4).normal(size=200)
    boot = bootstrap({"a": means(values)}, bm.mean_of, replicates=4000)
    assert boot.of("a").std() == pytest.approx(values.std() / np.sqrt(200), rel=0.05)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_show_all_of_their_variance(seeds):
    # No image differs from another, so all that varies is the seed.
    level = np.random.default_rng(5).normal(size=seeds)
    boot = bootstrap({"a": means(np.repeat(level[:, None], 4, axis=1))}, bm.mean_of, replicates=20_000)
    assert boot.of("a").var() == pytest.approx(level.var(ddof=1) / seeds, rel=0.05)


def test_histograms_serve_as_well_as_counts():
    rng = np.random.default_rng(6)
    labels = rng.random((6, 8, 8)) < 0.3
    scores = np.clip(0.3 * labels + 0.7 * rng.random(labels.shape), 0, 1)
    m = bm.measure(scores, labels)
    for name in bm.METRICS:
        info = bm.metric(name)
        boot = bootstrap({"a": [info.additive(m)] * 2}, info.pooled, replicates=20)
        assert_allclose(boot.estimates["a"], info(m))
        value = interval(boot, "a")
        assert np.isnan(info(m)) or value.low <= value.high, name


def test_blocks_of_replicates_do_not_show(monkeypatch):
    terms = counts(np.random.default_rng(7), 0.5, seeds=2)
    whole = bootstrap({"a": terms}, IOU, replicates=33).of("a")
    monkeypatch.setattr("benchkit.statistics.bootstrap._SUMS_AT_ONCE", 80)
    assert_array_equal(bootstrap({"a": terms}, IOU, replicates=33).of("a"), whole)


# --- determinism and pairing ------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_and_another_does_not():
    terms = {"a": counts(np.random.default_rng(8), 0.5, seeds=3)}
    first = bootstrap(terms, IOU, replicates=20, seed=1).of("a")
    assert_array_equal(first, bootstrap(terms, IOU, replicates=20, seed=1).of("a"))
    assert_array_equal(first, bootstrap(terms, IOU, replicates=20, seed=np.random.default_rng(1)).of("a"))
    assert not np.array_equal(first, bootstrap(terms, IOU, replicates=20, seed=2).of("a"))


def test_a_method_is_drawn_alike_whoever_else_is_on_the_board():
    rng = np.random.default_rng(9)
    a, b, c = counts(rng, 0.5, seeds=3), counts(rng, 0.6, seeds=3), counts(rng, 0.7, seeds=2)
    alone = bootstrap({"a": a}, IOU, replicates=30).of("a")
    assert_array_equal(bootstrap({"c": c, "b": b, "a": a}, IOU, replicates=30).of("a"), alone)


def test_seeds_may_come_as_array_list_or_by_name():
    terms = counts(np.random.default_rng(10), 0.5, seeds=3)
    forms = [terms, list(terms), {2: terms[2], 0: terms[0], 1: terms[1]}]
    values = [bootstrap({"a": form}, IOU, replicates=20).of("a") for form in forms]
    assert_array_equal(values[0], values[1])
    assert_array_equal(values[0], values[2])


def test_pairing_takes_away_what_two_methods_share():
    rng = np.random.default_rng(11)
    hard, lucky = rng.normal(size=80), rng.normal(size=(4, 1))
    a = hard + lucky + rng.normal(scale=0.01, size=(4, 80))
    other = dict(enumerate(means(a), start=10))
    boot = bootstrap({"a": means(a), "b": means(a - 0.1), "other": other}, bm.mean_of)
    alike, apart = difference(boot, "a", "b"), difference(boot, "a", "other")
    assert alike.high - alike.low < 1e-9
    assert (alike.estimate, alike.positive) == (pytest.approx(0.1), 1)
    # Seeds 10 to 13 are other runs than 0 to 3: drawn apart, so that their difference keeps the seeds' variance.
    assert apart.high - apart.low > lucky.std(ddof=1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_a_difference_is_antisymmetric_and_ranks_are_complete(seed, seeds):
    rng = np.random.default_rng(seed)
    boot = bootstrap({n: counts(rng, q, seeds) for n, q in (("a", 0.5), ("b", 0.5), ("c", 0.6))}, IOU, replicates=40)
    ab, ba = difference(boot, "a", "b"), difference(boot, "b", "a")
    assert_allclose([ab.estimate, ab.low, ab.high, ab.positive], [-ba.estimate, -ba.high, -ba.low, 1 - ba.positive])
    table = ranks(boot)
    assert table["rank"].sum() == 6
    assert ((table.low <= table["median"]) & (table["median"] <= table.high)).all()


# --- coverage ---------------------------------------------------------------------------------------------------------


def simulated_coverage(seeds, seed_spread, repeats=300, images=50):
    """How often the 95 % interval holds the truth, for a ratio with effects of image and of seed.

    Image i has size w, seed s the effect b: the fraction found in image i is 1/2 + w/4 + b + noise. The pooled figure's
    truth is E[w share] / E[w].
    """
    rng = np.random.default_rng(0)
    truth = (0.5 * 0.5 + 0.25 / 3) / 0.5
    held = 0
    for repeat in range(repeats):
        w = rng.random(images)
        effect = rng.normal(scale=seed_spread, size=(seeds, 1))
        found = 0.5 + w / 4 + effect + rng.normal(scale=0.2, size=(seeds, images))
        terms = np.stack([w * found, np.broadcast_to(w, found.shape)], axis=-1)
        got = interval(bootstrap({"a": terms}, bm.mean_of, replicates=300, seed=repeat), "a")
        held += got.low <= truth <= got.high
    return held / repeats


def test_coverage_of_the_image_bootstrap():
    assert 0.90 <= simulated_coverage(seeds=1, seed_spread=0.0) <= 0.98


def test_coverage_over_seeds():
    # Short of 0.95, as the docstring says: the seeds' variance is known from few values, and tails are not Student's.
    assert 0.86 <= simulated_coverage(seeds=6, seed_spread=0.1) <= 0.98
    assert 0.70 <= simulated_coverage(seeds=3, seed_spread=0.1) <= 0.92
    # And this is what one would claim without resampling seeds.
    assert simulated_coverage(seeds=1, seed_spread=0.1) < 0.6


# --- ranks ------------------------------------------------------------------------------------------------------------


def test_methods_far_apart_are_ranked_without_doubt():
    rng = np.random.default_rng(12)
    methods = {name: counts(rng, quality, seeds=3) for name, quality in (("mid", 0.6), ("low", 0.3), ("top", 0.9))}
    boot = bootstrap(methods, IOU)
    table = ranks(boot)
    assert list(table.index) == ["top", "mid", "low"]
    assert (table.to_numpy() == [[1] * 4, [2] * 4, [3] * 4]).all()
    assert difference(boot, "top", "mid").low > 0
    assert list(ranks(boot, higher_is_better=False).index) == ["low", "mid", "top"]


def test_methods_without_a_figure_share_the_last_ranks():
    values = {"good": 0.9, "none": np.nan, "bad": 0.1, "neither": np.nan}
    boot = Bootstrap(values, {name: np.full(5, value) for name, value in values.items()}, {}, 3)
    for higher, wanted in ((True, [1, 3.5, 2, 3.5]), (False, [2, 3.5, 1, 3.5])):
        table = ranks(boot, higher_is_better=higher).loc[list(values)]
        assert table["rank"].tolist() == table["median"].tolist() == wanted


def test_methods_alike_share_their_ranks():
    rng = np.random.default_rng(13)
    same = counts(rng, 0.5)
    boot = bootstrap({"a": same, "b": same, "c": counts(rng, 0.9)}, IOU, replicates=200)
    table = ranks(boot)
    assert table.loc["a", ["rank", "low", "high"]].tolist() == [2.5, 2.5, 2.5]
    assert difference(boot, "a", "b").positive == 0.5
    near = bootstrap({str(i): counts(rng, 0.5) for i in range(4)}, IOU)
    assert (ranks(near).high - ranks(near).low).max() >= 1


# --- undefined values and what is refused -----------------------------------------------------------------------------


def test_one_seed_is_said_to_show_no_seed_variance():
    rng = np.random.default_rng(14)
    boot = bootstrap({"one": counts(rng, 0.5), "three": counts(rng, 0.5, seeds=3)}, IOU, replicates=50)
    assert interval(boot, "one").seed_variance is False
    assert interval(boot, "one").covers == "test images only, no seed variance"
    assert interval(boot, "three").covers == "test images and seeds"
    assert difference(boot, "one", "three").seed_variance is False
    fixed = bootstrap({"three": counts(rng, 0.5, seeds=3)}, IOU, replicates=50, resample_seeds=False)
    assert interval(fixed, "three").seed_variance is False


def test_replicates_without_a_value_are_left_out_and_counted():
    # One image of eight has a value: (7/8)^8, a third, of the replicates lack it.
    values = np.full(8, np.nan)
    values[0] = 0.25
    got = interval(bootstrap({"a": means(values)}, bm.mean_of), "a")
    assert (got.estimate, got.low, got.high) == (0.25, 0.25, 0.25)
    assert got.undefined == pytest.approx((7 / 8) ** 8, abs=0.04)


def test_an_undefined_figure_has_no_interval_and_the_last_rank():
    rng = np.random.default_rng(15)
    nothing = np.stack([bm.mean_terms(np.full(60, np.nan))] * 2)
    half = np.stack([bm.mean_terms(rng.random(60)), bm.mean_terms(np.full(60, np.nan))])
    good = means(rng.random((2, 60)))
    boot = bootstrap({"nothing": nothing, "half": half, "good": good}, bm.mean_of, replicates=50)
    for name in ("nothing", "half"):
        got = interval(boot, name)
        assert np.isnan([got.estimate, got.low, got.high]).all() and got.undefined == 1
    assert np.isnan(difference(boot, "good", "half").positive)
    assert ranks(boot).loc["good", "rank"] == 1 and ranks(boot).loc["half", "rank"] == 2.5


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({}, "no method given"),
        ({"a": np.ones((1, 3, 4)), "b": np.ones((1, 2, 4))}, "same images"),
        ({"a": np.ones((1, 0, 4))}, "same images"),
        ({"a": []}, "no seeds"),
        ({"a": {-1: np.ones((3, 4))}}, "negative seed"),
        ({"a": [np.ones((3, 4)), np.ones((2, 4))]}, "one shape"),
        ({"a": np.ones((3, 4))}, "images, terms"),
        ({"a": np.full((1, 3, 4), np.nan)}, "mean_terms"),
    ],
)
def test_terms_that_do_not_fit_are_refused(methods, message):
    with pytest.raises(BenchkitError, match=message):
        bootstrap(methods, IOU, replicates=5)


def test_other_mistakes_are_refused():
    boot = bootstrap({"a": np.ones((1, 3, 4))}, IOU, replicates=5)
    with pytest.raises(BenchkitError, match="no method 'b'"):
        interval(boot, "b")
    with pytest.raises(BenchkitError, match=r"such as 0\.95"):
        interval(boot, "a", level=95)
    with pytest.raises(BenchkitError, match=r"such as 0\.95"):
        ranks(boot, level=1)
    with pytest.raises(BenchkitError, match="at least one replicate"):
        bootstrap({"a": np.ones((1, 3, 4))}, IOU, replicates=0)


def test_reports_need_no_torch():
    code = "import benchkit.metrics.confinement, benchkit.statistics.bootstrap, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
