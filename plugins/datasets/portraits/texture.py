"""Soft textures and light at image resolution: functions of position, all in [-1, 1] or [0, 1]."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits.records import SIZE, Pattern

Plane = NDArray[np.float32]

Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


@lru_cache(maxsize=64)
def noise(seed: int, cells: int) -> Plane:
    """Smooth noise with about `cells` bumps a side, roughly in [-1, 1], float32 (128, 128)."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (cells + 2, cells + 2)).astype(np.float32)
    plane = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    plane.setflags(write=False)
    return plane


def pattern_field(pattern: Pattern) -> Plane:
    """How much of the pattern's second colour shows at every pixel, 0 .. 1, float32 (128, 128)."""
    a = math.radians(pattern.angle)
    u = (math.cos(a) * X + math.sin(a) * Y) * (2 * math.pi / pattern.period)
    v = (-math.sin(a) * X + math.cos(a) * Y) * (2 * math.pi / pattern.period)
    kind, phase = pattern.kind, (pattern.seed % 628) / 100
    if kind == "striped":
        field = _soft(np.sin(u + phase))
    elif kind == "dotted":
        field = _soft(np.cos(u + phase) + np.cos(v) - 0.55)
    elif kind == "checked":
        field = 0.5 * _soft(np.sin(u + phase)) + 0.5 * _soft(np.sin(v + phase))
    elif kind == "tiled":
        field = np.clip((np.maximum(np.cos(u + phase), np.cos(v)) - 0.8) * 5, 0, 1)
    elif kind == "cloudy":
        field = np.clip(0.5 + 0.7 * noise(pattern.seed, 5) + 0.25 * noise(pattern.seed + 1, 11), 0, 1)
    elif kind == "blobs":
        field = _soft(2.2 * noise(pattern.seed, 6))
    elif kind == "gradient":
        field = np.clip(0.5 + (math.cos(a) * (X - 64) + math.sin(a) * (Y - 64)) / 150, 0, 1)
    else:
        field = 0.3 * (0.5 + 0.5 * noise(pattern.seed, 4))
    return (pattern.strength * field).astype(np.float32)


def strands(period: float, seed: int, curly: bool, centre: tuple[float, float]) -> Plane:
    """Light and dark along hair, about [-1, 1]: strands that run from the crown, or curls."""
    phase = 2.5 * noise(seed, 7)
    if curly:
        return np.sin(X * (6.3 / period) + phase) * np.sin(Y * (6.3 / period) + phase)
    # From the crown outwards: the angle around it counts strands, and straight down far below it.
    x, y = X - centre[0], np.maximum(Y - centre[1] + 30, 6.0)
    return np.sin(x * (1 + 24 / (y + 8)) * (6.3 / period) * 0.8 + phase)


def _soft(wave: Plane) -> Plane:
    """A wave turned into bands with soft edges, 0 .. 1."""
    return np.clip(0.5 + 1.6 * wave, 0, 1)


def relief(coverage: Plane, angle: float, sigma: float) -> Plane:
    """Light on a shape as if it bulged: about [-1, 1], bright on the side `angle` (degrees) points to."""
    soft = cv2.GaussianBlur(coverage, (0, 0), sigma)
    a = math.radians(angle)
    dx = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    slope = -(math.cos(a) * dx + math.sin(a) * dy) * (2.5 * sigma)
    return np.clip(slope, -1, 1)
