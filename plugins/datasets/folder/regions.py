"""Draw COCO segmentations as masks: polygons and run-length encodings (RLE)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.api import BenchkitError

#: Largest absolute coordinate of a corner.
FARTHEST = 1e7
#: How far a polygon may extend beyond the edge: a fraction of the longer side, but at least some pixels.
OVER, OVER_PIXELS = 0.05, 2.0
#: Largest number of bits of a run in an RLE.
_RUN_BITS = 60


def draw_region(segmentation: Any, shape: tuple[int, int], where: str, *, sure: bool = True) -> NDArray[np.bool_]:
    """Draw one annotation's segmentation as (H, W) bool: polygons (their union), or an RLE, compressed or not.

    Raises BenchkitError as `check_region` does.
    """
    found = np.zeros(shape, bool)
    for corners in check_region(segmentation, shape, where, sure=sure):
        found |= draw_polygon(corners, shape)
    return decode_rle(segmentation["counts"], shape, where) if isinstance(segmentation, dict) else found


def check_region(
    segmentation: Any, shape: tuple[int, int], where: str, *, sure: bool = True
) -> list[NDArray[np.float64]]:
    """Return the corners of a segmentation's polygons, none of an RLE.

    sure: the file states that the image has this shape, so polygons may extend a little beyond its edge. Raises
    BenchkitError that begins with `where` for another form, for polygons outside the image, and for an RLE of another
    size.
    """
    if isinstance(segmentation, list) and segmentation:
        return [_check_polygon(polygon, shape, where, sure) for polygon in segmentation]
    if isinstance(segmentation, dict):
        size = segmentation.get("size")
        if size != list(shape):
            raise BenchkitError(
                f"{where}: an RLE of size {size} for an image of {list(shape)} (height, width): give the image "
                "that was annotated, or encode its mask again"
            )
        check_runs(segmentation.get("counts"), shape, where)
        return []
    raise BenchkitError(f"{where}: no segmentation as polygons or RLE")


def _check_polygon(polygon: Any, shape: tuple[int, int], where: str, sure: bool) -> NDArray[np.float64]:
    corners = _parse_corners(polygon, where)
    limits = np.array([shape[1], shape[0]])
    if corners.min() >= 0 and corners.max() <= 1 and (corners % 1).any():
        raise BenchkitError(
            f"{where}: a region within 0 and 1: COCO counts in pixels: multiply x by {shape[1]} and y by {shape[0]}, "
            "or remove it"
        )
    over = max(-corners.min(), (corners - limits).max())
    outside = (corners.max(axis=0) <= 0).any() or (corners.min(axis=0) >= limits).any()
    if outside or over > (max(OVER_PIXELS, OVER * max(shape)) if sure else OVER_PIXELS):
        low, high = (f"{x:g},{y:g}" for x, y in (corners.min(axis=0), corners.max(axis=0)))
        raise BenchkitError(
            f"{where}: a polygon from {low} to {high} (x,y) reaches out of the image of {shape[1]}x{shape[0]}: correct "
            "or clip it, or give the image that it was draw_region on"
        )
    return corners


def _parse_corners(polygon: Any, where: str) -> NDArray[np.float64]:
    numbers = isinstance(polygon, list) and all(isinstance(v, int | float) and _finite(v) for v in polygon)
    if not numbers or len(polygon) < 6 or len(polygon) % 2 or max(map(abs, polygon)) > FARTHEST:
        raise BenchkitError(
            f"{where}: a polygon is x, y, x, y, ... of three corners or more, within {FARTHEST:g}: correct or remove it"
        )
    return np.asarray(polygon, np.float64).reshape(-1, 2)


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def draw_polygon(corners: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose centre is inside (even-odd rule), (H, W) bool; pixel (0, 0) covers 0 to 1 in x and y.

    corners: (n, 2) x and y. A polygon without any centre covers the pixels under its outline.
    """
    height, width = shape
    found = np.zeros(shape, bool)
    x, y = corners.T
    after_x, after_y = np.roll(x, -1), np.roll(y, -1)
    first, last = max(0, math.floor(y.min())), min(height, math.ceil(y.max()))
    for row in range(first, last):
        middle = row + 0.5
        crossing = (y <= middle) != (after_y <= middle)
        fraction = (middle - y[crossing]) / (after_y[crossing] - y[crossing])
        at = np.sort(x[crossing] + fraction * (after_x[crossing] - x[crossing]))
        columns = np.clip(np.ceil(at - 0.5), 0, width).astype(int)
        for begin, end in columns.reshape(-1, 2):
            found[row, begin:end] = True
    return found if found.any() else _draw_outline(corners, shape)


def _draw_outline(corners: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    found = np.zeros(shape, bool)
    limits = np.array([shape[1], shape[0]], np.float64)
    if (corners.max(axis=0) < 0).any() or (corners.min(axis=0) > limits).any():
        return found  # outside of the image
    inside = np.clip(corners, 0, limits - 1e-6)
    for begin, end in zip(inside, np.roll(inside, -1, axis=0), strict=True):
        steps = 2 * math.ceil(np.abs(end - begin).max()) + 1
        x, y = np.linspace(begin, end, steps + 1).astype(int).T
        found[y, x] = True
    return found


def decode_rle(counts: Any, shape: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Decode alternating runs of background and region, down the columns, to (H, W) bool.

    counts: a list of lengths, or COCO's text form of it. Raises BenchkitError as `check_runs` does.
    """
    runs = check_runs(counts, shape, where)
    height, width = shape
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def check_runs(counts: Any, shape: tuple[int, int], where: str) -> list[int]:
    """Return the lengths of an RLE's runs; raise BenchkitError, led by `where`, unless they fill the image exactly."""
    runs = parse_rle_text(counts, where) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        raise BenchkitError(f"{where}: an RLE's counts are whole numbers, or a text")
    height, width = shape
    if (total := sum(runs)) != height * width:
        raise BenchkitError(
            f"{where}: an RLE of {min(total, 10**18)} pixels for an image of {width}x{height}: it is damaged"
        )
    return runs


def parse_rle_text(text: str, where: str) -> list[int]:
    """Parse COCO's text form of an RLE.

    Each character has five bits, counted from `0`; the sixth bit means that more follow. From the fourth run on, each
    number is the difference to the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise BenchkitError(f"{where}: '{character}' in an RLE's text: it is damaged")
        value |= (bits & 31) << shift
        shift += 5
        if shift > _RUN_BITS:
            raise BenchkitError(f"{where}: a run without end in an RLE's text: it is damaged")
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise BenchkitError(f"{where}: an RLE's text ends within a number: it is damaged")
    return runs
