"""Augmentations of one training pair, each a pure function of its arrays and what was drawn for it.

Images are (H, W, 3) uint8, labels (H, W) uint8 class ids. What is drawn comes from the generator that the training
loop hands in, one an iteration.
"""

from __future__ import annotations

import math

import numpy as np

#: The label of pixels outside of every image, which the loss ignores.
IGNORED = 255

#: The strengths of mmsegmentation's recipes for ADE20K: brightness in grey levels, hue in degrees.
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32.0, (0.5, 1.5), (0.5, 1.5), 36.0


def resized(image: np.ndarray, labels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Resize both sides by `factor`, rounded: the image bilinearly, the labels by the nearest pixel.

    Both are sampled at the same points (the centres of the new pixels), so that neither slips against the other.
    """
    import cv2

    height, width = (max(1, math.floor(side * factor + 0.5)) for side in labels.shape)
    grown = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    marked = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return grown, marked


def padded(image: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pad to at least `size` (height, width), below and on the right, by the mean colour, labelled IGNORED."""
    missing = [(0, max(0, wanted - have)) for wanted, have in zip(size, labels.shape, strict=True)]
    if not any(after for _, after in missing):
        return image, labels
    mean = image.mean(axis=(0, 1)).round().astype(np.uint8)
    canvas = np.empty((labels.shape[0] + missing[0][1], labels.shape[1] + missing[1][1], 3), np.uint8)
    canvas[:] = mean
    canvas[: labels.shape[0], : labels.shape[1]] = image
    return canvas, np.pad(labels, missing, constant_values=IGNORED)


def photometric(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast, saturation and hue, each with probability 1/2; contrast first or last."""
    import cv2

    pixels = image.astype(np.float32)
    on = rng.random(4) < 0.5
    shift, hue = rng.uniform(-BRIGHTNESS, BRIGHTNESS), rng.uniform(-HUE, HUE)
    contrast, saturation = rng.uniform(*CONTRAST), rng.uniform(*SATURATION)
    contrast_first = rng.random() < 0.5
    if on[0]:
        pixels = np.clip(pixels + np.float32(shift), 0, 255)
    if on[1] and contrast_first:
        pixels = np.clip(pixels * np.float32(contrast), 0, 255)
    if on[2] or on[3]:
        hsv = cv2.cvtColor(pixels / 255, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + np.float32(hue * on[3])) % 360
        hsv[..., 1] = np.clip(hsv[..., 1] * np.float32(saturation if on[2] else 1), 0, 1)
        pixels = np.clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255, 0, 255)
    if on[1] and not contrast_first:
        pixels = np.clip(pixels * np.float32(contrast), 0, 255)
    return pixels.round().astype(np.uint8)
