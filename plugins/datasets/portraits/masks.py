"""Compute the mask of the visible difference of two images, as an annotator would paint it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_HOLE = 60  # pixels


def colour_distance(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float32]:
    """Return the perceived difference (H, W) of two RGB images in 0 .. 255 (CIE Lab; about 2.3 is just noticeable)."""
    labs = [cv2.cvtColor(np.asarray(image, np.float32) / 255, cv2.COLOR_RGB2Lab) for image in (first, second)]
    # A slight blur, because people do not see differences of single pixels.
    delta = cv2.GaussianBlur(labs[0] - labs[1], (0, 0), 0.8)
    distance: NDArray[np.float32] = np.sqrt((delta**2).sum(axis=2))
    return distance


def find_changed_region(
    clean: NDArray[Any],
    edited: NDArray[Any],
    threshold: float = 7.0,
    close: int = 3,
    grow: int = 2,
    smallest: int = 14,
    within: Mask | None = None,
) -> Mask:
    """Return the pixels that differ visibly, closed and dilated as by a brush, without small components.

    Both images (H, W, 3), uint8 or float in 0 .. 255, have passed the same autoencoder. `threshold` is a Lab distance,
    `close` and `grow` are radii in pixels, components with fewer than `smallest` visibly changed pixels
    are removed, `within` limits the region. All False if nothing is visible; ValueError if the shapes differ.
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
    """Return the mask without small holes, around which nobody paints."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask == 0).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < _HOLE
    return np.asarray((mask > 0) | small[labels], np.bool_)


def _brush(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
