"""Confinement: by hand, against scikit-learn and torchmetrics, and in its corner cases."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error
from torchmetrics.functional.image import peak_signal_noise_ratio

from benchkit.errors import BenchkitError
from benchkit.metrics.confinement import PSNR_CAP, VISIBLE, confinement, psnr, summarise_confinement


def images(seed, number=3, side=8):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, number, side, side, 3))
    return a, b, rng.random((number, side, side)) < 0.4


def test_by_hand():
    before = np.zeros((1, 4, 4, 3))
    after = before.copy()
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 0, :2] = mask[0, 3, 3] = True  # two regions: two pixels and one
    after[0, 0, 0] = 0.3  # visible, in the first region, whose mean change is 0.15
    after[0, 3, 3] = 0.01  # not visible, and the second region with it
    after[0, 2, 0] = [0.6, 0, 0]  # outside: mean over colours 0.2
    row = confinement(after, before, mask).iloc[0]
    assert row.mask_area == pytest.approx(3 / 16)
    assert row.change_inside == pytest.approx(0.31 / 3)
    assert row.change_outside == pytest.approx(0.2 / 13)
    assert row.change_ratio == pytest.approx((0.31 / 3) / (0.2 / 13))
    assert row.mse_inside == pytest.approx((0.09 + 0.0001) / 3)
    assert row.mse_outside == pytest.approx(0.36 / 3 / 13)
    assert row.psnr_outside == pytest.approx(-10 * np.log10(0.36 / 3 / 13))
    assert row.inside_changed == pytest.approx(1 / 3)
    assert row.outside_changed == pytest.approx(1 / 13)
    assert row.changed_inside == pytest.approx(1 / 2)
    assert (row.regions, row.regions_changed) == (2, 0.5)


def test_second_opinions():
    a, b, mask = images(0)
    rows = confinement(a, b, mask)
    for i in range(len(a)):
        outside = ~mask[i]
        assert rows.change_outside[i] == pytest.approx(mean_absolute_error(a[i][outside], b[i][outside]))
        reference = peak_signal_noise_ratio(torch.tensor(a[i][outside]), torch.tensor(b[i][outside]), data_range=1.0)
        assert rows.psnr_outside[i] == pytest.approx(float(reference), abs=1e-4)


def test_eight_bit_images_are_read_as_colours_in_zero_to_one():
    a, b, mask = images(1)
    eight = [(255 * x).astype(np.uint8) for x in (a, b)]
    got, expected = confinement(*eight, mask), confinement(eight[0] / 255, eight[1] / 255, mask)
    np.testing.assert_allclose(got, expected)


def test_nothing_changed():
    a, _, mask = images(2)
    rows = confinement(a, a, mask)
    assert (rows[["change_inside", "change_outside", "inside_changed", "regions_changed"]] == 0).all(axis=None)
    assert (rows[["psnr_inside", "psnr_outside"]] == PSNR_CAP).all(axis=None)
    assert rows[["change_ratio", "changed_inside"]].isna().all(axis=None)
    assert np.isnan(summarise_confinement(rows)["change_ratio"])


@pytest.mark.parametrize("full", [False, True])
def test_what_divides_by_nothing_is_undefined(full):
    a, b, mask = images(3)
    rows = confinement(a, b, np.full_like(mask, full))
    side = "outside" if full else "inside"
    undefined = [f"change_{side}", f"mse_{side}", f"psnr_{side}", f"{side}_changed", "change_ratio"]
    assert rows[undefined].isna().all(axis=None)
    assert (rows.mask_area == full).all() and (rows.regions == full).all()
    assert rows.regions_changed.isna().all() != full


def test_diagonal_neighbours_are_one_region_and_the_limit_is_inclusive():
    mask = np.eye(4, dtype=bool)[None]
    before = np.zeros((1, 4, 4, 3))
    at_the_limit = before + VISIBLE
    row = confinement(at_the_limit, before, mask).iloc[0]
    assert (row.regions, row.regions_changed, row.inside_changed) == (1, 1, 1)
    assert confinement(at_the_limit, before, mask, visible=0.05).regions_changed.item() == 0


def test_summary_pools_errors_and_regions():
    a, b, mask = images(4)
    mask[0] = False
    rows = confinement(a, b, mask)
    got = summarise_confinement(rows)
    assert got["images"] == 3
    assert got["regions"] == rows.regions.sum()
    assert got["regions_changed"] == pytest.approx((rows.regions_changed * rows.regions).sum() / rows.regions.sum())
    assert got["psnr_inside"] == pytest.approx(float(psnr(rows.mse_inside.mean())))
    assert got["change_ratio"] == pytest.approx(rows.change_inside.mean() / rows.change_outside.mean())
    assert list(got) == ["images", *rows.columns]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_bounds_symmetry_and_independence_of_images(seed, side):
    a, b, mask = images(seed, side=side)
    rows = confinement(a, b, mask)
    shares = rows.drop(columns=["psnr_inside", "psnr_outside", "change_ratio", "regions"])
    assert (shares.isna() | ((shares >= 0) & (shares <= 1))).all(axis=None)
    np.testing.assert_allclose(confinement(b, a, mask), rows)
    np.testing.assert_allclose(confinement(a[1:2], b[1:2], mask[1:2]).iloc[0], rows.iloc[1])
    # Inside and outside together are the whole image.
    whole = rows.mask_area * rows.change_inside.fillna(0) + (1 - rows.mask_area) * rows.change_outside.fillna(0)
    np.testing.assert_allclose(whole, np.abs(a - b).mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b, m: (a[:1], b, m), "one shape"),
        (lambda a, b, m: (a[..., :1], b[..., :1], m), "N, H, W, 3"),
        (lambda a, b, m: (a, b, m[:, 1:]), "masks must be"),
        (lambda a, b, m: (a, b, m.astype(int)), "masks must be"),
        (lambda a, b, m: (a * 255, b, m), "uint8"),
        (lambda a, b, m: (a, b * np.nan, m), "uint8"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(BenchkitError, match=message):
        confinement(*change(*images(0)))
