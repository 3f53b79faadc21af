"""Framings: sizes hold for every image, masks follow their image, nothing thin vanishes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import BenchkitError
from benchkit.readers.framing import FITS, Framing

SIDES = st.integers(1, 40)
fits = st.sampled_from(FITS)


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, st.integers(1, 24), fits, st.integers(0, 9))
def test_every_window_is_square_and_its_mask_agrees(height: int, width: int, size: int, fit: str, seed: int) -> None:
    framing, image = Framing(size, fit), noise(height, width, seed)  # type: ignore[arg-type]
    mask = image[..., 0] > 200
    for window in {0, framing.windows(height, width) - 1}:
        shown = framing.image(image, window)
        assert shown.shape == (size, size, 3) and shown.dtype == np.uint8
        assert framing.mask(mask, window).shape == (size, size) and framing.mask(mask, window).dtype == bool
        for kind in (np.uint8, np.float32):
            heat = framing.map(image[..., 1].astype(kind), window)
            assert heat.shape == (size, size) and heat.dtype == kind
            low, high = image[..., 1].min(), image[..., 1].max()
            assert heat.max() <= high and (fit == "pad" or heat.min() >= low)
        assert not framing.mask(np.zeros_like(mask), window).any()
        assert fit == "pad" or framing.mask(np.ones_like(mask), window).all()


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 24), st.sampled_from(["resize", "pad"]), st.data())
def test_no_mark_vanishes(height: int, width: int, size: int, fit: str, data: st.DataObject) -> None:
    mask = np.zeros((height, width), bool)
    mask[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True
    assert Framing(size, fit).mask(mask).any()  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 24), st.integers(0, 9))
def test_tiles_cover_every_pixel_once_or_twice(height: int, width: int, size: int, seed: int) -> None:
    framing = Framing(size, "tile")
    if min(height, width) < size:
        scaled = (size, round(width * size / height)) if height <= width else (round(height * size / width), size)
        assert framing.windows(height, width) == framing.windows(*scaled)
        return
    image = noise(height, width, seed)
    tiles = [framing.image(image, window) for window in range(framing.windows(height, width))]
    rows, columns = -(-height // size), -(-width // size)
    assert len(tiles) == rows * columns
    again = np.zeros_like(image)
    for window, tile in enumerate(tiles):
        top, left = min(window // columns * size, height - size), min(window % columns * size, width - size)
        again[top : top + size, left : left + size] = tile
        mask = framing.mask(image[..., 0] > 99, window)
        assert np.array_equal(mask, tile[..., 0] > 99)
        assert np.array_equal(framing.map(image[..., 0], window), tile[..., 0])
    assert np.array_equal(again, image)


@pytest.mark.parametrize("fit", FITS)
def test_an_image_of_the_size_is_left_alone(fit: str) -> None:
    framing, image = Framing(16, fit), noise(16, 16, 0)  # type: ignore[arg-type]
    assert np.array_equal(framing.image(image), image)
    assert np.array_equal(framing.mask(image[..., 0] > 9), image[..., 0] > 9)
    assert np.array_equal(framing.map(image[..., 2]), image[..., 2])


def test_crop_keeps_the_middle_and_pad_the_whole() -> None:
    image = noise(8, 14, 1)
    assert np.array_equal(Framing(8, "crop").image(image), image[:, 3:11])
    padded = Framing(14, "pad").image(image)
    assert np.array_equal(padded[3:11], image)
    assert (padded[:3] == image[0]).all() and (padded[11:] == image[-1]).all()
    mask = Framing(14, "pad").mask(np.ones((8, 14), bool))
    assert mask[3:11].all() and not mask[:3].any() and not mask[11:].any()


def test_masks_halve_by_area_and_keep_thin_lines() -> None:
    mask = np.zeros((1024, 1024), bool)
    mask[301], mask[:, 700] = True, True
    mask[600:700, 100:200] = True
    halved = Framing(512, "resize").mask(mask)
    wanted = mask.reshape(512, 2, 512, 2).mean((1, 3)) >= 0.5
    assert np.array_equal(halved, wanted) and halved[150].all() and halved[:, 350].all()
    # At an eighth a line covers an eighth of its pixels: nearest would lose it, area alone too.
    eighth = Framing(128, "resize").mask(mask)
    assert eighth[37].all() and eighth[:, 87].all() and not eighth[50].all()
    assert eighth[75:88, 12:25].sum() == pytest.approx(100 * 100 / 64, rel=0.1)


def test_thick_marks_keep_their_area() -> None:
    rows, columns = np.mgrid[:300, :300]
    disc = np.hypot(rows - 140, columns - 160) < 90
    for size in (64, 100, 211, 400):
        share = Framing(size, "resize").mask(disc).mean()
        assert share == pytest.approx(disc.mean(), rel=0.02)


def test_shrinking_does_not_alias() -> None:
    """A board of single black and white pixels is grey when it is halved, not black or white."""
    board = np.repeat((np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    middle = Framing(96, "resize").image(board)[8:-8, 8:-8]
    assert np.abs(middle.astype(int) - 127).max() <= 12


def test_maps_keep_their_mean() -> None:
    heat = np.random.default_rng(3).random((90, 130)).astype(np.float32)
    for size in (16, 77, 200):
        assert Framing(size, "resize").map(heat).mean() == pytest.approx(heat.mean(), rel=1e-5)
    small = Framing(2, "resize").map(np.array([[0, 1], [2, 3]], np.uint8).repeat(3, 0).repeat(3, 1))
    assert small.tolist() == [[0, 1], [2, 3]]


def test_mistakes_are_refused() -> None:
    for size, fit, reason in ((0, "crop", "size=0"), (8, "stretch", "fit=stretch")):
        with pytest.raises(BenchkitError, match=reason):
            Framing(size, fit)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        Framing(8, "tile").image(noise(8, 8, 0), 1)
    with pytest.raises(BenchkitError, match="no pixels"):
        Framing(8).image(np.zeros((0, 3, 3), np.uint8))
