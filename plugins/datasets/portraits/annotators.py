"""Three simulated annotators: each misses artifacts, and paints too much, too little or beside them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

ANNOTATORS = 3
"""Annotators per image."""


def miss_probability(severity: float) -> float:
    """Return the probability that an annotator misses an artifact: 0.45 at severity 0, 0.04 at severity 1."""
    return 0.04 + 0.41 * (1 - severity) ** 1.5


def annotate(
    masks: Sequence[NDArray[np.bool_]], severities: Sequence[float], rng: np.random.Generator, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return votes per pixel, uint8 0 .. 3 of `shape`, from one exact mask and severity (0 .. 1) per artifact."""
    votes = np.zeros(shape, np.uint8)
    for _ in range(ANNOTATORS):
        painted = np.zeros(shape, np.bool_)
        # How far an annotator paints beyond the artifact, in pixels.
        habit = float(rng.normal(0.5, 0.8))
        for mask, severity in zip(masks, severities, strict=True):
            overlooked = bool(rng.random() < miss_probability(severity))
            stroke = paint_over(mask, habit, rng)
            if not overlooked:
                painted |= stroke
        votes += painted
    return votes


def paint_over(mask: NDArray[np.bool_], habit: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a painted mask: its outline is moved by smooth noise and `habit` pixels, and the whole is displaced."""
    height, width = mask.shape
    wobble = rng.normal(0, 1.1, (9, 9)).astype(np.float32)
    shift = rng.normal(0, 0.9, 2)
    if not mask.any():
        return np.zeros_like(mask)
    plane = mask.astype(np.uint8)
    inside = cv2.distanceTransform(plane, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - plane, cv2.DIST_L2, 5)
    field = inside - outside + cv2.resize(wobble, (width, height), interpolation=cv2.INTER_CUBIC) + np.float32(habit)
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    moved = cv2.warpAffine(field, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved > 0.5, np.bool_)
