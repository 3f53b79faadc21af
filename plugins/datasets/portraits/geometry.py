"""Frames, and a canvas of paint ids that shapes are drawn into."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits.records import SIZE, Point

SCALE = 4
"""Supersampling of the canvas."""
_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV
_FACTOR = SCALE * (1 << _SHIFT)

Points = NDArray[np.float64]

_TURN = np.linspace(0, 2 * math.pi, 29)[:-1]
CIRCLE: Points = np.column_stack((np.cos(_TURN), np.sin(_TURN)))
"""A unit circle as a polygon."""


@dataclass(frozen=True)
class Frame:
    """A local coordinate frame: mirrored in x if asked, rotated clockwise by `angle` degrees, moved to (x, y)."""

    x: float
    y: float
    angle: float = 0.0
    mirror: bool = False

    def apply(self, points: Any) -> Points:
        """Local (n, 2) pixels to image pixels."""
        p = np.asarray(points, np.float64)
        a = math.radians(self.angle)
        c, s = math.cos(a), math.sin(a)
        x = -p[:, 0] if self.mirror else p[:, 0]
        out = np.empty((len(p), 2))
        out[:, 0] = self.x + c * x - s * p[:, 1]
        out[:, 1] = self.y + s * x + c * p[:, 1]
        return out

    def invert(self, points: Any) -> Points:
        """Image pixels to local (n, 2) pixels."""
        p = np.asarray(points, np.float64) - (self.x, self.y)
        a = math.radians(self.angle)
        c, s = math.cos(a), math.sin(a)
        x = c * p[:, 0] + s * p[:, 1]
        return np.column_stack((-x if self.mirror else x, c * p[:, 1] - s * p[:, 0]))

    def point(self, x: float, y: float) -> Point:
        """One local point in image pixels."""
        ((px, py),) = self.apply([(x, y)]).tolist()
        return px, py


class Canvas:
    """A uint8 plane of paint ids at `SCALE` times the image's size; coordinates are image pixels."""

    def __init__(self) -> None:
        self.ids = np.zeros((SIZE * SCALE, SIZE * SCALE), np.uint8)

    def polygon(self, points: Points, paint: int) -> None:
        """Fill a closed polygon of (n, 2) points."""
        cv2.fillPoly(self.ids, [_fixed(points)], paint, cv2.LINE_8, _SHIFT)

    def stroke(self, points: Points, width: float, paint: int, closed: bool = False) -> None:
        """Draw a polyline with round ends and joints, `width` pixels wide."""
        cv2.polylines(self.ids, [_fixed(points)], closed, paint, max(1, round(width * SCALE)), cv2.LINE_8, _SHIFT)

    def ellipse(self, frame: Frame, centre: Point, radii: Point, paint: int) -> None:
        """Fill an axis-aligned ellipse of `frame`."""
        self.polygon(frame.apply(CIRCLE * radii + centre), paint)

    def disc(self, centre: Point, radius: float, paint: int) -> None:
        """Fill a circle given in image pixels."""
        ((x, y),) = _fixed(np.array([centre])).tolist()
        cv2.circle(self.ids, (x, y), max(1, round(radius * _FACTOR)), paint, -1, cv2.LINE_8, _SHIFT)


def _fixed(points: Points) -> NDArray[np.int32]:
    """Image pixels as OpenCV's fixed-point canvas coordinates (pixel centres are whole numbers there)."""
    return np.rint(np.asarray(points) * _FACTOR - (1 << (_SHIFT - 1))).astype(np.int32)


def curve(start: Point, control: Point, stop: Point, count: int = 9) -> Points:
    """A quadratic Bezier curve as (count, 2) points."""
    first, middle, last = _weights(count)
    return first * np.asarray(start) + middle * np.asarray(control) + last * np.asarray(stop)


@cache
def _weights(count: int) -> tuple[Points, Points, Points]:
    """What a curve's three points weigh along it, (count, 1) each."""
    t = np.linspace(0, 1, count)[:, None]
    return (1 - t) ** 2, 2 * t * (1 - t), t**2
