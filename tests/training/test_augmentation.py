"""Augmentations: labels follow the image to the pixel, values stay in range, the same draws give the same pixels."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from benchkit.training.augmentation import BRIGHTNESS, IGNORED, padded, photometric, resized


def blocks(side: int = 8, cell: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A random mosaic of `side` x `side` flat cells: white where the label is 1, black where it is 0."""
    labels = np.random.default_rng(0).integers(0, 2, (side, side), dtype=np.uint8)
    labels = labels.repeat(cell, 0).repeat(cell, 1)
    return np.repeat(labels[..., None] * 255, 3, -1).astype(np.uint8), labels


@pytest.mark.parametrize("factor", [0.5, 0.73, 1.0, 1.5, 2.0])
def test_labels_follow_the_image_exactly(factor: float) -> None:
    """Sampled at one point, a bilinear value of black and white lies on its nearest pixel's side of the middle."""
    image, labels = blocks()
    grown, marked = resized(image, labels, factor)
    side = round(len(labels) * factor)
    assert grown.shape == (side, side, 3) and marked.shape == (side, side)
    assert set(np.unique(marked)) <= {0, 1}
    sure = np.abs(grown[..., 0].astype(int) - 127.5) > 127.5 / 2
    assert sure.mean() > 0.6
    np.testing.assert_array_equal(grown[sure][:, 0] > 127, marked[sure] == 1)


def test_nearest_labels_are_those_of_the_formula() -> None:
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    image = np.zeros((4, 5, 3), np.uint8)
    for factor in (0.5, 1.4, 2.0, 3.0):
        height, width = int(4 * factor + 0.5), int(5 * factor + 0.5)
        rows = np.floor((np.arange(height) + 0.5) * 4 / height).astype(int)
        columns = np.floor((np.arange(width) + 0.5) * 5 / width).astype(int)
        np.testing.assert_array_equal(resized(image, labels, factor)[1], labels[np.ix_(rows, columns)])


def test_padding_is_the_mean_colour_and_unlabelled() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    labels = np.ones((5, 7), np.uint8)
    canvas, marked = padded(image, labels, (8, 7))
    np.testing.assert_array_equal(canvas[:5], image)
    assert (canvas[5:] == image.mean((0, 1)).round()).all()
    assert (marked[:5] == 1).all() and (marked[5:] == IGNORED).all() and marked.shape == (8, 7)
    assert padded(image, labels, (3, 3))[0] is image


def test_photometric_distortion_is_drawn_and_stays_in_range() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    before = image.copy()
    seen = [photometric(image, np.random.default_rng(seed)) for seed in range(100)]
    assert all(one.dtype == np.uint8 and one.shape == image.shape for one in seen)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(photometric(image, np.random.default_rng(7)), seen[7])
    unchanged = sum(np.array_equal(one, image) for one in seen)
    assert 0 < unchanged < 20  # one in sixteen


class Drawn:
    """A generator whose draws are chosen: which of the four changes, and by how much."""

    def __init__(self, on: tuple[bool, ...], brightness: float, hue: float, contrast: float, saturation: float) -> None:
        self._on, self._values = on, iter((brightness, hue, contrast, saturation))

    def random(self, count: int | None = None) -> object:
        return 0.0 if count is None else np.where(self._on, 0.0, 0.9)

    def uniform(self, low: float, high: float) -> float:
        value = next(self._values)
        assert low <= value <= high
        return value


def test_each_change_is_the_one_it_is_named_after() -> None:
    colour = (90, 140, 200)
    image = np.full((2, 2, 3), colour, np.uint8)

    def changed(*on: bool) -> np.ndarray:
        return photometric(image, Drawn(on, BRIGHTNESS, 30.0, 1.4, 0.5))[0, 0]  # type: ignore[arg-type]

    assert list(changed(False, False, False, False)) == list(colour)
    assert list(changed(True, False, False, False)) == [122, 172, 232]
    assert list(changed(False, True, False, False)) == [126, 196, 255]
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    for on, other in (
        ((False, False, True, False), (hue, saturation / 2, value)),
        ((False, False, False, True), (hue + 30 / 360, saturation, value)),
    ):
        expected = np.array(colorsys.hsv_to_rgb(*other)) * 255
        np.testing.assert_allclose(changed(*on), expected, atol=1)
