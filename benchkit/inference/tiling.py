"""Large images through a network in overlapping tiles, joined without seams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchkit.errors import BenchkitError

#: Least overlap of neighbouring tiles, as a fraction of a tile's side.
OVERLAP = 0.25


def predict_tiled(predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray, tile: int) -> np.ndarray:
    """Apply `predict` to an image, (H, W, 3) uint8 -> (H, W) float32, at most tile x tile pixels at once.

    predict: (N, h, w, 3) uint8 -> (N, h, w). A small image is processed whole. Where tiles overlap, the result is a
    weighted mean; the weight of a tile falls towards its border, where it has the least context.
    """
    if tile < 32:
        raise BenchkitError(f"tiles of {tile} pixels are too small: give 32 or more")
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
    """Return where tiles begin along a side, evenly from 0 to length - tile; neighbours overlap by OVERLAP or more."""
    if length <= tile:
        return [0]
    number = 1 + int(np.ceil((length - tile) / (tile * (1 - OVERLAP))))
    return [round(i * (length - tile) / (number - 1)) for i in range(number)]


def _ramp(length: int) -> np.ndarray:
    """Return weights along a tile: 1 at the border, rising towards the middle."""
    return np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
