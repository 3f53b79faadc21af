"""Melts parts of a finished picture: parts that flow into each other, and regions that are warped and smeared."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits.records import SIZE, Merge, Scene, Warp
from benchkit_plugins.datasets.portraits.texture import Plane, X, Y, noise


def melt(image: Plane, parts: NDArray[np.uint8], cover: list[Plane], scene: Scene) -> tuple[Plane, NDArray[np.uint8]]:
    """Apply the scene's merges, then its warps, to a float32 image (0 .. 255) and its part map; returns new arrays."""
    for merge in scene.merges:
        image = _merged(image, cover, merge)
    for warp in scene.warps:
        image, parts = _warped(image, parts, warp)
    return image, parts


def _merged(image: Plane, cover: list[Plane], merge: Merge) -> Plane:
    """Near the merge's point, fill what lies between the two parts and let their colours run together."""
    first, second = cover[merge.first], cover[merge.second]
    sigma = 2.0 + 0.22 * merge.radius * merge.amount
    soft_first, soft_second = (cv2.GaussianBlur(c, (0, 0), sigma) for c in (first, second))
    weight = soft_first + soft_second
    both = cv2.GaussianBlur(image * (first + second)[:, :, None], (0, 0), sigma) / np.maximum(weight, 1e-3)[:, :, None]
    near = np.exp(-((((X - merge.x) ** 2 + (Y - merge.y) ** 2) / (merge.radius**2)) ** 2))
    # Full where both parts are close, fading where only one of them is.
    seam = np.clip(4 * np.minimum(soft_first, soft_second) / np.maximum(weight, 1e-3), 0, 1)
    bridge = np.clip((weight - 0.32) * 5, 0, 1)
    alpha = (near * seam * bridge * min(1.0, 1.4 * merge.amount))[:, :, None]
    result: Plane = image * (1 - alpha) + both * alpha
    return result


def _warped(image: Plane, parts: NDArray[np.uint8], warp: Warp) -> tuple[Plane, NDArray[np.uint8]]:
    """Displace the picture smoothly inside the warp's radius, and smear its colours."""
    near = np.exp(-((((X - warp.x) ** 2 + (Y - warp.y) ** 2) / (warp.radius**2)) ** 2)).astype(np.float32)
    cells = max(3, round(SIZE / warp.period))
    map_x = X + near * warp.strength * noise(warp.seed, cells)
    map_y = Y + near * warp.strength * noise(warp.seed + 1, cells)
    moved = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved_parts = cv2.remap(parts, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    if warp.smear > 0:
        soft = cv2.GaussianBlur(moved, (0, 0), 1.0 + 3.0 * warp.smear)
        moved = moved + (near * warp.smear)[:, :, None] * (soft - moved)
    return moved, moved_parts
