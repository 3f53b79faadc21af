"""From two pictures to the mask an annotator would paint."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_HOLE = 60  # pixels


def colour_distance(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float32]:
    """Perceived difference (H, W) of two RGB images in 0 .. 255: CIE Lab, about 2.3 is just noticeable."""
    labs = [cv2.cvtColor(np.asarray(image, np.float32) / 255, cv2.COLOR_RGB2Lab) for image in (first, second)]
    # A little blur: single pixels that an autoencoder renders differently are not seen.
    delta = cv2.GaussianBlur(labs[0] - labs[1], (0, 0), 0.8)
    distance: NDArray[np.float32] = np.sqrt((delta**2).sum(axis=2))
    return distance


def marked_region(
    clean: NDArray[Any],
    edited: NDArray[Any],
    threshold: float = 7.0,
    close: int = 3,
    grow: int = 2,
    smallest: int = 14,
    within: Mask | None = None,
) -> Mask:
    """Pixels that differ visibly, joined and widened as by a brush, without specks.

    Both images (H, W, 3), uint8 or float in 0 .. 255, have passed the same autoencoder. `threshold` is a Lab distance,
    `close` and `grow` are radii in pixels, components with fewer than `smallest` visibly changed pixels go,
    `within` limits the region. All False where nothing is visible; ValueError if the shapes differ.
    """
    if clean.shape != edited.shape:
        raise ValueError(f"images differ in shape: {clean.shape} and {edited.shape}")
    seen = colour_distance(clean, edited) > threshold
    if within is not None:
        seen &= within
    joined = cv2.morphologyEx(np.pad(seen, close).astype(np.uint8), cv2.MORPH_CLOSE, _brush(close))
    joined = joined[close : joined.shape[0] - close, close : joined.shape[1] - close]
    count, labels = cv2.connectedComponents(joined)
    sizes = np.bincount(labels[seen], minlength=count)
    kept = (sizes >= smallest)[labels] & (labels > 0)
    return _filled(cv2.dilate(kept.astype(np.uint8), _brush(grow)))


def _filled(mask: NDArray[Any]) -> Mask:
    """The mask without small holes: nobody paints around them."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask == 0).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < _HOLE
    return np.asarray((mask > 0) | small[labels], np.bool_)


def _brush(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
