"""Fit images of any size to a square, with their masks and heat maps: resize, crop, pad or tile."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.readers.images import PIXEL_LIMIT

Fit = Literal["resize", "crop", "pad", "tile"]
FITS: tuple[str, ...] = get_args(Fit)


@dataclass(frozen=True)
class _View:
    """Scale to `scaled` (height, width), then crop the square whose upper left corner is at (top, left)."""

    scaled: tuple[int, int]
    top: int
    left: int


@dataclass(frozen=True)
class Framing:
    """Fits an image to size x size, and its mask and maps in the same way.

    fit: `resize` scales both sides to size and changes the aspect ratio. `crop` scales the shorter side to size and
    keeps the middle of the longer one. `pad` scales the longer side to size and fills the rest: images repeat their
    edge, masks are False, maps 0. `tile` covers the image at its own scale with windows of size x size, row by row; the
    last window of a row or column is shifted inside, and an image with a shorter side below size is enlarged first.
    Raises BenchkitError for a size below 1 or another fit.
    """

    size: int
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BenchkitError(f"size={self.size}: images have one pixel a side or more")
        if self.fit not in FITS:
            raise BenchkitError(f"fit={self.fit}: choose one of {', '.join(FITS)}")

    def windows(self, height: int, width: int) -> int:
        """Return how many windows an image of height x width gives: 1, or for `tile` as many as cover it."""
        if self.fit != "tile":
            return 1
        rows, columns = self._grid(self._scaled(height, width))
        return rows * columns

    def image(self, array: NDArray[np.uint8], window: int = 0) -> NDArray[np.uint8]:
        """Return a window of an image: (H, W, 3) uint8 -> (size, size, 3) uint8; raise IndexError for no such window.

        Pillow's LANCZOS scales it, which averages over all pixels when it shrinks. Without scaling values are kept.
        """
        view = self._view(array.shape[0], array.shape[1], window)
        return self._crop(_lanczos(array, view.scaled), view, "edge")

    def mask(self, array: NDArray[np.bool_], window: int = 0) -> NDArray[np.bool_]:
        """Return a window of a mask: (H, W) bool -> (size, size) bool; a pixel is True if half its area or more is.

        Thin regions do not vanish: a partly covered pixel is also True if neither it nor any of its eight neighbours is
        half covered. So shrinking neither loses a thin region nor widens a thick one.
        """
        view = self._view(array.shape[0], array.shape[1], window)
        return self._crop(_shrink_mask(array, view.scaled), view, "constant")

    def map(self, array: NDArray[Any], window: int = 0) -> NDArray[Any]:
        """Return a window of a heat map: (H, W) float or uint8 -> (size, size) of that type, the mean over each area.

        Values stay in their range; integers are rounded.
        """
        view = self._view(array.shape[0], array.shape[1], window)
        scaled = _area_mean(array, view.scaled)
        if np.issubdtype(array.dtype, np.integer):
            scaled = np.rint(scaled)
        return self._crop(scaled.astype(array.dtype), view, "constant")

    def _view(self, height: int, width: int, window: int) -> _View:
        count = self.windows(height, width)
        if not 0 <= window < count:
            raise IndexError(f"an image of {height}x{width} has {count} windows: window {window} does not exist")
        scaled = self._scaled(height, width)
        if self.fit == "tile":
            row, column = divmod(window, self._grid(scaled)[1])
            return _View(
                scaled, min(row * self.size, scaled[0] - self.size), min(column * self.size, scaled[1] - self.size)
            )
        # Negative for `pad`: the square begins outside the image.
        return _View(scaled, (scaled[0] - self.size) // 2, (scaled[1] - self.size) // 2)

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        if height < 1 or width < 1:
            raise BenchkitError(f"an image of {height}x{width} has no pixels")
        if self.fit == "resize":
            return self.size, self.size
        if self.fit == "tile" and min(height, width) >= self.size:
            return height, width
        side = max(height, width) if self.fit == "pad" else min(height, width)
        scaled = max(1, round(height * self.size / side)), max(1, round(width * self.size / side))
        if scaled[0] * scaled[1] > PIXEL_LIMIT:
            raise BenchkitError(
                f"an image of {width}x{height} would be {scaled[1]}x{scaled[0]} with fit={self.fit}, more than "
                f"{PIXEL_LIMIT} pixels: crop the image, or choose fit=resize"
            )
        return scaled

    def _grid(self, scaled: tuple[int, int]) -> tuple[int, int]:
        return ceil(scaled[0] / self.size), ceil(scaled[1] / self.size)

    def _crop(self, array: NDArray[Any], view: _View, mode: Literal["edge", "constant"]) -> NDArray[Any]:
        """Return the view's square of an array of its scaled size."""
        before = (max(0, -view.top), max(0, -view.left))
        after = [self.size - lead - length for lead, length in zip(before, view.scaled, strict=True)]
        margins = [(lead, max(0, trail)) for lead, trail in zip(before, after, strict=True)]
        if any(map(any, margins)):
            array = np.pad(array, [*margins, *[(0, 0)] * (array.ndim - 2)], mode=mode)
        top, left = max(0, view.top), max(0, view.left)
        return np.ascontiguousarray(array[top : top + self.size, left : left + self.size])


def _lanczos(array: NDArray[np.uint8], scaled: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    if array.shape[:2] == scaled:
        return array
    return np.array(Image.fromarray(array).resize(scaled[::-1], Image.Resampling.LANCZOS))


def _shrink_mask(mask: NDArray[np.bool_], scaled: tuple[int, int]) -> NDArray[np.bool_]:
    if mask.shape == scaled:
        return mask
    fraction = _area_mean(mask, scaled)
    half = fraction >= 0.5 - 1e-9
    padded = np.pad(half, 1)
    rows, columns = scaled
    near_half = np.zeros(scaled, bool)
    for down in range(3):
        for right in range(3):
            near_half |= padded[down : down + rows, right : right + columns]
    return half | ((fraction > 0) & ~near_half)


def _area_mean(array: NDArray[Any], scaled: tuple[int, int]) -> NDArray[np.float64]:
    """Return the exact mean over the area of each new pixel, by running sums along one axis, then the other."""
    found = np.asarray(array, np.float64)
    for axis, wanted in enumerate(scaled):
        if found.shape[axis] != wanted:
            found = np.moveaxis(_run_means(np.moveaxis(found, axis, 0), wanted), 0, axis)
    # Rounding of the running sums must not move a mean out of the range.
    return np.clip(found, array.min(), array.max())


def _run_means(rows: NDArray[np.float64], wanted: int) -> NDArray[np.float64]:
    count = len(rows)
    sums = np.concatenate([np.zeros_like(rows[:1]), np.cumsum(rows, axis=0)])
    edges = np.arange(wanted + 1) * (count / wanted)
    below = np.minimum(edges.astype(int), count - 1)
    part = (edges - below).reshape(-1, *[1] * (rows.ndim - 1))
    at_edges = sums[below] + part * (sums[below + 1] - sums[below])
    return np.diff(at_edges, axis=0) * (wanted / count)
