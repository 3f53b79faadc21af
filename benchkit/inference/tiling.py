"""Large images through a network in overlapping tiles, joined without seams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchkit.errors import BenchkitError

#: Pixels that neighbouring tiles share at least, as a fraction of a tile's side.
OVERLAP = 0.25


def tiled(predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray, tile: int) -> np.ndarray:
    """What `predict` says of an image, (H, W, 3) uint8 -> (H, W) float32, seeing at most tile x tile pixels at once.

    predict: (N, h, w, 3) uint8 -> (N, h, w). An image that fits is seen whole. Where tiles overlap, the result is their
    mean, each tile weighing less towards its border, where it saw least around it.
    """
    if tile < 32:
        raise BenchkitError(f"tiles of {tile} pixels are too small to see anything: give 32 or more")
    height, width = image.shape[:2]
    if max(height, width) <= tile:
        return np.asarray(predict(image[None])[0], np.float32)
    total, weights = np.zeros((height, width)), np.zeros((height, width))
    rows, columns = min(tile, height), min(tile, width)
    weight = np.outer(_ramp(rows), _ramp(columns))
    for top in starts(height, rows):
        for left in starts(width, columns):
            window = slice(top, top + rows), slice(left, left + columns)
            total[window] += weight * predict(image[window][None])[0]
            weights[window] += weight
    return (total / weights).astype(np.float32)


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin along a side: from 0 to length - tile, evenly, with at least OVERLAP between neighbours."""
    if length <= tile:
        return [0]
    number = 1 + int(np.ceil((length - tile) / (tile * (1 - OVERLAP))))
    return [round(i * (length - tile) / (number - 1)) for i in range(number)]


def _ramp(length: int) -> np.ndarray:
    """Weights along a tile: 1 at the border, rising towards the middle."""
    return np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
