"""Pixel metrics: by hand, against torchmetrics and scikit-learn, and by their invariances."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage, stats
from sklearn import metrics as sk
from torchmetrics.classification import BinaryJaccardIndex

from benchkit import metrics as bm
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.metrics.bins import bin_index, edge_index, edges_before_fitting

NAN = float("nan")


def case(seed, images=4, side=12, prevalence=0.2):
    """Correlated scores and labels: (N, H, W) float32 and bool."""
    rng = np.random.default_rng(seed)
    labels = rng.random((images, side, side)) < prevalence
    scores = 1 / (1 + np.exp(-rng.normal(2.5 * labels - 1, 1.5)))
    return scores.astype(np.float32), labels


def row(scores, labels, threshold=None, kinds=None, **more):
    return bm.summarise(bm.measure(scores, labels, kinds, threshold=threshold, **more))


def count(scores, labels, ignored=None):
    return bm.count(bm.Scored(scores, labels, ignored=ignored))


def same(a, b):
    assert a.keys() == b.keys()
    assert_allclose(list(a.values()), list(b.values()), rtol=1e-9, atol=1e-12)


cases = st.builds(
    case,
    st.integers(0, 10_000),
    images=st.integers(1, 5),
    side=st.integers(2, 8),
    prevalence=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)


def test_edges_ascend_hold_the_thresholds_and_fill_a_fixed_number():
    edges = bm.measure(*case(0, side=40), threshold=0.3).edges
    used = edges[np.isfinite(edges)]
    assert len(edges) == bm.BINS == 1024
    assert edges[0] == 0 and np.all(np.diff(used) > 0)
    assert edges[edge_index(0.5, edges)] == 0.5 and edges[edge_index(0.3, edges)] == 0.3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_score_reaches_an_edge_exactly_when_its_bin_does(dtype):
    scores, labels = case(1)
    edges = bm.measure(scores.astype(dtype), labels).edges
    near = edges[np.isfinite(edges) & (edges <= 1)].astype(dtype)
    for score in np.concatenate([np.nextafter(near, dtype(0)), near, np.nextafter(near, dtype(1))]):
        assert bin_index(np.array([score]), edges)[0] == np.flatnonzero(edges <= float(score))[-1]


@pytest.mark.parametrize("kind", ["many ties", "few", "no artifact", "all artifact", "kinds", "alternating"])
def test_there_is_room_for_the_edges_of_any_scores(kind):
    rng = np.random.default_rng(0)
    labels = rng.random((2, 100, 100)) < {"no artifact": 0, "all artifact": 2}.get(kind, 0.5)
    scores = rng.random(labels.shape)
    if kind == "many ties":
        scores = rng.integers(0, 400, labels.shape) / 400
    if kind == "few":
        scores = np.round(scores, 1)
    if kind == "alternating":  # heavy ties with a few other scores between each two
        scores = np.round(scores * 700) / 700 + (rng.random(labels.shape) < 0.1) * 1e-4 * rng.random(labels.shape)
    kinds = [{f"kind {k}": rng.random(labels.shape[1:]) < 0.1 for k in range(90 * (kind == "kinds"))}] * 2
    edges = bm.measure(np.clip(scores, 0, 1), labels, kinds).edges
    assert edges.shape == (bm.BINS,) and edges[0] == 0


SCORES = np.array([[[0.9, 0.8], [0.5, 0.1]], [[0.2, 0.1], [0.6, 0.0]]])
LABELS = np.array([[[1, 0], [1, 1]], [[0, 0], [0, 0]]], dtype=bool)


def test_counts_by_hand():
    table = count(SCORES, LABELS)
    assert table.to_numpy().tolist() == [[2, 1, 1, 0], [0, 1, 0, 3]]
    assert list(table.columns) == ["tp", "fp", "fn", "tn"]


def test_row_by_hand():
    got = row(SCORES, LABELS)
    assert got["artifact_iou"] == pytest.approx(2 / 5)
    assert got["artifact_iou_per_image"] == pytest.approx((2 / 4 + 0) / 2)
    assert got["background_iou"] == pytest.approx(3 / 6)
    assert got["two_class_miou"] == pytest.approx((2 / 5 + 3 / 6) / 2)
    assert got["precision"] == pytest.approx(2 / 4)
    assert got["recall"] == pytest.approx(2 / 3)
    assert got["f1"] == pytest.approx(4 / 7)
    assert got["false_positive_area"] == pytest.approx(1 / 4)
    # Descending: 0.9 hit, 0.8 miss, 0.6 miss, 0.5 hit, 0.2 miss, then 0.1 one hit and one miss tied.
    assert got["average_precision"] == pytest.approx((1 + 2 / 4 + 3 / 7) / 3)
    assert got["auroc"] == pytest.approx((5 + 3 + 1.5) / 15)
    assert np.isnan(got["f1_validation_threshold"])


def test_per_image_iou_leaves_out_images_with_nothing_marked_and_nothing_called():
    scores, labels = np.zeros((3, 2, 2)), np.zeros((3, 2, 2), bool)
    scores[0, 0, 0], labels[0, 0, :] = 1, True
    scores[1, 0, 0] = 1
    assert row(scores, labels)["artifact_iou_per_image"] == pytest.approx((0.5 + 0) / 2)
    coverage = {"images": 3, "artifact_images": 1, "clean_images": 2, "iou_images": 2}
    coverage |= {f"{name}_images": 1 for name in ("cc", "kld", "sim", "nss")}
    assert bm.coverage(bm.measure(scores, labels)) == coverage


def test_a_score_at_the_threshold_is_called():
    marked = np.ones((1, 1, 1), bool)
    assert count(np.full((1, 1, 1), 0.5), marked).tp.item() == 1
    assert count(np.full((1, 1, 1), np.nextafter(np.float32(0.5), np.float32(0))), marked).tp.item() == 0


def test_all_negative_and_all_positive_have_their_closed_forms():
    _, labels = case(1)
    labels[0] = False
    prevalence = labels.mean()
    negative, positive = row(np.zeros(labels.shape), labels), row(np.ones(labels.shape), labels)
    assert negative["artifact_iou"] == negative["recall"] == negative["f1"] == negative["false_positive_area"] == 0
    assert negative["background_iou"] == pytest.approx(1 - prevalence)
    assert np.isnan(negative["precision"])
    assert positive["artifact_iou"] == pytest.approx(prevalence)
    assert positive["precision"] == pytest.approx(prevalence)
    assert positive["recall"] == positive["false_positive_area"] == 1
    assert positive["background_iou"] == 0
    for trivial in (negative, positive):
        assert trivial["average_precision"] == pytest.approx(prevalence)
        assert trivial["auroc"] == pytest.approx(0.5)
        assert trivial["aupro"] == pytest.approx(0.15)
        assert all(np.isnan(trivial[name]) for name in ("cc", "nss"))
    assert np.isnan(negative["kld"]) and np.isnan(negative["sim"])


def test_a_perfect_detector_is_perfect():
    _, labels = case(2)
    labels[0] = False
    got = row(labels.astype(np.float32), labels, threshold=0.5)
    perfect = [n for n, i in bm.METRICS.items() if i.unit in ("fraction", "correlation") and i.higher_is_better]
    assert_allclose([got[n] for n in perfect], 1)
    assert got["false_positive_area"] == 0
    assert got["kld"] == pytest.approx(0, abs=1e-12)


def test_without_any_artifact_what_needs_one_is_undefined():
    got = row(np.full((2, 3, 3), 0.1), np.zeros((2, 3, 3), bool))
    defined = {"background_iou": 1.0, "false_positive_area": 0.0}
    assert {n: v for n, v in got.items() if not np.isnan(v)} == defined


def test_what_was_not_measured_is_undefined():
    m = bm.measure(*case(3))
    got = bm.summarise(bm.Measured({name: m.columns[name] for name in bm.COUNTS}, m.edges, m.histograms))
    assert {n for n, v in got.items() if np.isnan(v)} >= {"aupro", "cc", "kld", "sim", "nss", "f1_validation_threshold"}


@pytest.mark.parametrize("seed", range(4))
def test_everything_equals_scikit_learn_and_torchmetrics(seed):
    scores, labels = case(seed)
    y, s, called = labels.ravel(), scores.ravel().astype(float), scores.ravel() >= 0.5
    got = row(scores, labels)
    assert got["average_precision"] == pytest.approx(sk.average_precision_score(y, s))
    assert got["auroc"] == pytest.approx(sk.roc_auc_score(y, s))
    assert got["artifact_iou"] == pytest.approx(sk.jaccard_score(y, called))
    assert got["background_iou"] == pytest.approx(sk.jaccard_score(y, called, pos_label=False))
    assert got["two_class_miou"] == pytest.approx(sk.jaccard_score(y, called, average="macro"))
    assert got["precision"] == pytest.approx(sk.precision_score(y, called))
    assert got["recall"] == pytest.approx(sk.recall_score(y, called))
    assert got["f1"] == pytest.approx(sk.f1_score(y, called))
    per_image = [sk.jaccard_score(a.ravel(), b.ravel() >= 0.5) for a, b in zip(labels, scores, strict=True)]
    assert got["artifact_iou_per_image"] == pytest.approx(np.mean(per_image))
    reference = BinaryJaccardIndex()
    for one, marked in zip(scores, labels, strict=True):  # streamed, image by image
        reference.update(torch.tensor(one), torch.tensor(marked).int())
    assert got["artifact_iou"] == pytest.approx(float(reference.compute()), abs=2e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


#: Scores of pixels with standard normal draws z and labels y, and what is hard about them.
DISTRIBUTIONS = {
    "uniform": lambda rng, z, y: np.clip(rng.random(z.shape) * 0.8 + 0.2 * y * rng.random(z.shape), 0, 1),
    "peaked": lambda rng, z, y: 0.02 + 1e-4 * (z + y),
    "peaked within float32's resolution": lambda rng, z, y: 0.5 + 1e-6 * (z + 2 * y),
    "two-valued": lambda rng, z, y: np.where(rng.random(z.shape) < 0.1 + 0.5 * y, 0.7, 0.3),
    "all equal": lambda rng, z, y: np.full(z.shape, 0.3),
    "within 1e-6 of 0": lambda rng, z, y: sigmoid(-16 + 2 * z + 3 * y),
    "within 1e-6 of 1": lambda rng, z, y: sigmoid(16 + 2 * z + 3 * y),
    "half of them tied": lambda rng, z, y: np.where(rng.random(z.shape) < 0.5, 0.4, sigmoid(z + y)),
    "two decimals": lambda rng, z, y: np.round(sigmoid(z + y), 2),
    "separated": lambda rng, z, y: sigmoid(z + np.where(y, rng.choice([-3, 0, 6], z.shape), 0)),
    "upside down": lambda rng, z, y: sigmoid(z - 2 * y),
    "logits of a good detector": lambda rng, z, y: sigmoid(4 * y - 2 + z),
}


@pytest.mark.parametrize("prevalence", [0.5, 0.05, 0.002, 1e-4])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_average_precision_is_exact_for_any_scores(name, prevalence):
    rng = np.random.default_rng(0)
    labels = rng.random((4, 150, 150)) < prevalence
    labels[0, 0, :2] = True
    scores = DISTRIBUTIONS[name](rng, rng.normal(size=labels.shape), labels).astype(np.float32)
    got, y, s = bm.measure(scores, labels), labels.ravel(), scores.ravel()
    assert bm.metric("average_precision")(got) == pytest.approx(sk.average_precision_score(y, s), abs=5e-4)
    assert bm.metric("auroc")(got) == pytest.approx(sk.roc_auc_score(y, s), abs=1e-4)
    precision, recall, _ = sk.precision_recall_curve(y, s)
    best = np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    threshold = bm.best_threshold(got.histograms, got.edges)
    assert sk.f1_score(y, s >= threshold) == pytest.approx(best, abs=2e-3)


def test_bins_are_fitted_to_all_batches_together():
    scores, labels = case(5, images=6, side=60, prevalence=0.3)
    batches = [bm.Scored(scores[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)]
    edges = bm.fit_edges([batch.sample() for batch in batches])
    m = bm.Measured.concat([bm.record(batch, edges) for batch in batches])
    expected = sk.average_precision_score(labels.ravel(), scores.ravel())
    assert bm.metric("average_precision")(m) == pytest.approx(expected, abs=2e-4)


def test_a_record_of_before_the_bins_were_fitted_is_read():
    edges = edges_before_fitting()
    assert len(edges) == bm.BINS and edges[0] == 0 and edges[-1] == 1 - 2.0**-21 and np.all(np.diff(edges) > 0)
    scored = bm.Scored(*case(3))
    arrays = bm.record(scored, edges).arrays()
    del arrays["edges"]
    got = bm.metric("average_precision")(bm.Measured.from_arrays(arrays))
    expected = sk.average_precision_score(scored.labels.ravel(), scored.scores.ravel())
    assert got == pytest.approx(expected, abs=3e-3)


def test_heat_map_measures_equal_their_definitions():
    scores, labels = case(5)
    table = bm.heatmap_measures(scores, labels)
    for i, (s, y) in enumerate(zip(scores.astype(float), labels, strict=True)):
        p, q = (s / s.sum()).ravel(), (y / y.sum()).ravel()
        assert table.cc[i] == pytest.approx(stats.pearsonr(s.ravel(), y.ravel()).statistic)
        assert table.kld[i] == pytest.approx(stats.entropy(q, p), abs=1e-9)
        assert table.sim[i] == pytest.approx(1 - np.abs(p - q).sum() / 2)
        assert table.nss[i] == pytest.approx(stats.zscore(s, axis=None)[y].mean())


def test_a_graded_density_replaces_the_labels_but_not_the_marked_pixels():
    scores, labels = case(6)
    graded = scores.astype(float) ** 2
    by_label, by_map = bm.heatmap_measures(scores, labels), bm.heatmap_measures(scores, labels, graded)
    assert_allclose(by_map.cc[0], np.corrcoef(scores[0].ravel(), graded[0].ravel())[0, 1], rtol=1e-6)
    assert_array_equal(by_map.nss, by_label.nss)


def brute_aupro(scores, labels, limit=0.3):
    """AUPRO from its definition: every distinct score a threshold, every region's recall, trapezes up to the limit."""
    regions = []
    for i, mask in enumerate(labels):
        numbered, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(i, numbered == k + 1) for k in range(count)]
    x, y = [0.0], [0.0]
    for threshold in np.unique(scores)[::-1]:
        called = scores >= threshold
        x.append(called[~labels].mean())
        y.append(np.mean([called[i][region].mean() for i, region in regions]))
    end = np.interp(limit, x, y)
    kept = [(a, b) for a, b in zip(x, y, strict=True) if a < limit] + [(limit, end)]
    return np.trapezoid([b for _, b in kept], [a for a, _ in kept]) / limit


@pytest.mark.parametrize("seed", range(4))
def test_aupro_equals_its_definition(seed):
    scores, labels = case(seed, prevalence=0.1)
    assert row(scores, labels)["aupro"] == pytest.approx(brute_aupro(scores, labels))


def test_a_small_region_weighs_as_much_as_a_large_one_and_diagonals_connect():
    scores, labels = np.zeros((1, 8, 8)), np.zeros((1, 8, 8), bool)
    labels[0, :4, :4] = True
    labels[0, 6, 6] = labels[0, 7, 7] = True
    scores[0, :4, :4] = 1
    assert bm.measure(scores, labels).regions.sum() == pytest.approx(2)
    # Half of the regions is found at no false alarm; the rest of the curve is one line from (0, 1/2) to (1, 1).
    assert row(scores, labels)["aupro"] == pytest.approx((0.5 + 0.65) / 2)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_threshold_is_best_and_counts_at_it_are_exact(seed):
    scores, labels = case(seed)
    m = bm.measure(scores, labels)
    assert_array_equal(bm.counts_at(m.histograms, m.edges, 0.5), count(scores, labels).to_numpy())
    threshold = bm.best_threshold(m.histograms, m.edges)
    every = [sk.f1_score(labels.ravel(), scores.ravel() >= t, zero_division=0) for t in np.unique(scores)[::4]]
    got = row(scores, labels, threshold)["f1_validation_threshold"]
    assert got == pytest.approx(sk.f1_score(labels.ravel(), scores.ravel() >= threshold))
    assert got >= max(every) - 1e-12
    assert bm.best_threshold(m.histograms.sum(0), m.edges) == threshold == np.float32(threshold)


def test_the_best_threshold_lies_in_the_middle_of_a_gap():
    m = bm.measure(np.where(LABELS, 0.75, 0.25), LABELS)
    assert bm.best_threshold(m.histograms, m.edges) == pytest.approx(0.5, abs=0.01)


def test_thresholds_that_cannot_be_are_refused():
    m = bm.measure(SCORES, LABELS)
    for threshold in (1 / 3, 1.0):
        with pytest.raises(BenchkitError, match="nearest is"):
            bm.counts_at(m.histograms, m.edges, threshold)
    with pytest.raises(BenchkitError, match="no artifact pixel"):
        bm.best_threshold(m.histograms * [[1], [0]], m.edges)


def test_kinds_are_scored_against_clean_pixels_only():
    scores, labels = case(8)
    marked = np.random.default_rng(0).random(labels.shape) < 0.3  # also where the label says clean: not counted
    got = row(scores, labels, kinds=[{"eyes": m} for m in marked[:-1]] + [{}])
    eyes = labels & marked
    eyes[-1] = False
    compared = eyes | ~labels
    assert got["kind_recall:eyes"] == pytest.approx((scores[eyes] >= 0.5).mean())
    expected = sk.average_precision_score(eyes[compared], scores[compared])
    assert got["kind_average_precision:eyes"] == pytest.approx(expected)


def test_every_figure_by_kind_is_that_of_its_pixels_and_the_clean_ones():
    scores, labels = case(8)
    eyes = labels & (np.random.default_rng(0).random(labels.shape) < 0.3)
    kinds = [{"eyes": mask, "rest": ~mask, "none": mask & ~mask} for mask in eyes]
    threshold = 0.3
    m = bm.measure(scores, labels, kinds, threshold=threshold)
    got = bm.by_kind(m)
    for kind, marked in (("eyes", eyes), ("rest", labels & ~eyes)):
        compared = marked | ~labels
        truth, score = marked[compared], scores[compared]
        called = score >= 0.5
        assert got[f"kind_auroc:{kind}"] == pytest.approx(sk.roc_auc_score(truth, score))
        assert got[f"kind_iou:{kind}"] == pytest.approx(sk.jaccard_score(truth, called))
        assert got[f"kind_precision:{kind}"] == pytest.approx(sk.precision_score(truth, called))
        assert got[f"kind_recall:{kind}"] == pytest.approx(sk.recall_score(truth, called))
        assert got[f"kind_f1:{kind}"] == pytest.approx(sk.f1_score(truth, called))
        assert got[f"kind_f1_validation_threshold:{kind}"] == pytest.approx(sk.f1_score(truth, score >= threshold))
        assert np.isnan(bm.by_kind(replace(m, threshold=None))[f"kind_f1_validation_threshold:{kind}"])
    assert np.isnan(got["kind_auroc:none"])
    assert np.isnan(got["kind_recall:none"])
    assert got["kind_iou:none"] == 0  # nothing of it is marked, and clean pixels are called
    summary = bm.summarise(m)
    assert {name: got[name] for name in summary if name.startswith("kind_")} == {
        name: pytest.approx(value, nan_ok=True) for name, value in summary.items() if name.startswith("kind_")
    }
    assert all(map(bm.is_metric, got))
    assert not any(map(bm.is_metric, ("kind_recall", "train_images", "kind_size:eyes")))


def test_a_kind_that_nobody_knows_is_an_error_and_so_is_a_metric():
    m = bm.measure(*case(0))
    with pytest.raises(UnknownNameError, match="artifact kind 'ears'"):
        bm.metric("kind_recall:ears")(m)
    with pytest.raises(UnknownNameError, match="did you mean 'artifact_iou'"):
        bm.metric("artefact_iou")
    with pytest.raises(UnknownNameError):
        bm.metric("kind_recall:")


@settings(max_examples=40, deadline=None)
@given(cases, st.integers(1, 3), st.randoms(use_true_random=False))
def test_batches_and_their_order_do_not_matter(case_, batch, random):
    scores, labels = case_
    kinds = [{"even": m} if i % 2 == 0 else {"odd": m} for i, m in enumerate(labels)]
    starts = list(range(0, len(scores), batch))
    random.shuffle(starts)
    slices = [slice(i, i + batch) for i in starts]
    batches = [bm.Scored(scores[at], labels[at], kinds[at]) for at in slices]
    edges = bm.fit_edges([one.sample() for one in batches], [0.25])
    m = bm.Measured.concat([bm.record(one, edges) for one in batches])
    got = bm.summarise(replace(m, threshold=0.25, kinds=dict(sorted(m.kinds.items()))))
    whole = row(scores, labels, 0.25, kinds)
    same(got, {name: whole[name] for name in got})


@settings(max_examples=40, deadline=None)
@given(cases)
def test_shares_are_shares_and_undefined_is_nan(case_):
    got = row(*case_, threshold=0.25)
    for name, value in got.items():
        if bm.METRICS[name].unit == "fraction":
            assert np.isnan(value) or 0 <= value <= 1, name
    assert np.isnan(got["cc"]) or -1 <= got["cc"] <= 1
    assert np.isnan(got["kld"]) or got["kld"] >= -1e-9


@settings(max_examples=25, deadline=None)
@given(cases)
def test_pixels_may_be_permuted_except_for_regions(case_):
    scores, labels = case_
    order = np.random.default_rng(0).permutation(scores[0].size)
    moved = [a.reshape(len(a), -1)[:, order].reshape(a.shape) for a in (scores, labels)]
    got, expected = row(*moved), row(scores, labels)
    same({**got, "aupro": NAN}, {**expected, "aupro": NAN})


def test_a_record_survives_its_arrays(tmp_path):
    scores, labels = case(9)
    m = bm.measure(scores, labels, [{"eyes": y} for y in labels])
    np.savez_compressed(tmp_path / "m.npz", **m.arrays())
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        back = bm.Measured.from_arrays(arrays)
    same(bm.summarise(back), row(scores, labels, kinds=[{"eyes": y} for y in labels]))
    assert list(back.table) == list(m.table) and back.table.tp.dtype == np.int64


def test_histograms_hold_every_pixel_once():
    scores, labels = case(10)
    histograms = bm.measure(scores, labels).histograms
    assert histograms.dtype == np.int64 and histograms.shape == (4, 2, bm.BINS)
    assert_array_equal(histograms.sum(2), np.stack([(~labels).sum((1, 2)), labels.sum((1, 2))], 1))


def test_pooled_metrics_take_leading_dimensions():
    m = bm.measure(*case(11))
    for name, info in bm.METRICS.items():
        sums = info.additive(m).sum(0)
        several = info.pooled(np.stack([[sums, 2 * sums, sums]] * 2))
        assert several.shape == (2, 3), name
        # Every image twice is the same figure.
        assert_allclose(several, np.full((2, 3), info(m)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_precision_are_welcome(dtype):
    scores, labels = case(12)
    tensor = torch.tensor(scores).to(dtype).requires_grad_()
    same(row(tensor, torch.tensor(labels)), row(tensor.detach().double().numpy(), labels.astype(int)))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.full((1, 2, 2), NAN), LABELS[:1], "NaN"),
        (np.full((1, 2, 2), 1.5), LABELS[:1], "probabilities"),
        (np.full((1, 2, 2), -0.1), LABELS[:1], "probabilities"),
        (np.zeros((2, 2)), LABELS[0], "N, H, W"),
        (np.zeros((1, 2, 2)), LABELS, "labels are"),
        (np.zeros((1, 2, 2)), np.full((1, 2, 2), 255), "0 and 1"),
    ],
)
def test_what_is_no_score_or_label_is_refused(scores, labels, message):
    with pytest.raises(BenchkitError, match=message):
        bm.measure(scores, labels)


def test_empty_and_mismatched_records_are_refused():
    m = bm.measure(*case(0))
    with pytest.raises(BenchkitError, match="empty"):
        bm.Measured.concat([])
    with pytest.raises(BenchkitError, match="empty"):
        bm.summarise(bm.Measured({name: own[:0] for name, own in m.columns.items()}, m.edges, m.histograms[:0]))
    with pytest.raises(BenchkitError, match="numbers of images"):
        bm.Measured({name: own[:1] for name, own in m.columns.items()}, m.edges, m.histograms)
    with pytest.raises(BenchkitError, match="must be"):
        bm.Measured(m.columns, m.edges, m.histograms[:, :, :5])
    with pytest.raises(BenchkitError, match="different score bins"):
        bm.Measured.concat([m, bm.measure(*case(1))])
    with pytest.raises(BenchkitError, match="kinds are given"):
        bm.measure(*case(0), kinds=[{}])
    with pytest.raises(BenchkitError, match="density"):
        bm.heatmap_measures(*case(0), density=-np.ones((4, 12, 12)))


def test_the_registry_names_the_declared_figures():
    assert bm.PRIMARY in bm.METRICS and bm.COMPANION in bm.METRICS
    assert {i.unit for i in bm.METRICS.values()} == {"fraction", "correlation", "nats", "standard deviations"}
    assert [n for n, i in bm.METRICS.items() if not i.higher_is_better] == ["kld", "false_positive_area"]
