"""A stroke font of our own: the capitals as polylines and arcs in a unit box, styled by parameters."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits.records import Font

Stroke = NDArray[np.float64]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# A stroke is a list of points (x, y) and arcs (cx, cy, rx, ry, from, to) in degrees; x goes right, y down, 0 deg is
# right, 90 deg down. Consecutive items are joined.
_Item = tuple[float, ...]
_STROKES: dict[str, list[list[_Item]]] = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.64), (0.8, 0.64)]],
    "B": [
        [(0, 1), (0, 0), (0.5, 0.0), (0.5, 0.24, 0.4, 0.24, -90, 90), (0, 0.48)],
        [(0, 0.48), (0.5, 0.74, 0.5, 0.26, -90, 90), (0, 1)],
    ],
    "C": [[(0.5, 0.5, 0.5, 0.5, -42, -318)]],
    "D": [[(0, 1), (0, 0), (0.4, 0), (0.4, 0.5, 0.6, 0.5, -90, 90), (0, 1)]],
    "E": [[(0.95, 0), (0, 0), (0, 1), (0.95, 1)], [(0, 0.48), (0.8, 0.48)]],
    "F": [[(0.95, 0), (0, 0), (0, 1)], [(0, 0.48), (0.8, 0.48)]],
    "G": [[(0.5, 0.5, 0.5, 0.5, -45, -350), (1, 0.56), (0.58, 0.56)]],
    "H": [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0.48), (1, 0.48)]],
    "I": [[(0.5, 0), (0.5, 1)]],
    "J": [[(0.9, 0), (0.9, 0.66), (0.47, 0.66, 0.43, 0.34, 0, 165)]],
    "K": [[(0, 0), (0, 1)], [(0.95, 0), (0, 0.6)], [(0.34, 0.38), (1, 1)]],
    "L": [[(0, 0), (0, 1), (0.95, 1)]],
    "M": [[(0, 1), (0, 0), (0.5, 0.66), (1, 0), (1, 1)]],
    "N": [[(0, 1), (0, 0), (1, 1), (1, 0)]],
    "O": [[(0.5, 0.5, 0.5, 0.5, -90, 270)]],
    "P": [[(0, 1), (0, 0), (0.48, 0), (0.48, 0.28, 0.5, 0.28, -90, 90), (0, 0.56)]],
    "Q": [[(0.5, 0.5, 0.5, 0.5, -90, 270)], [(0.6, 0.66), (1.0, 1.06)]],
    "R": [[(0, 1), (0, 0), (0.48, 0), (0.48, 0.27, 0.48, 0.27, -90, 90), (0, 0.54)], [(0.46, 0.54), (1, 1)]],
    "S": [[(0.5, 0.25, 0.46, 0.25, -22, -270), (0.5, 0.75, 0.5, 0.25, -90, 158)]],
    "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
    "U": [[(0, 0), (0, 0.6), (0.5, 0.6, 0.5, 0.4, 180, 0), (1, 0)]],
    "V": [[(0, 0), (0.5, 1), (1, 0)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)]],
    "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "Y": [[(0, 0), (0.5, 0.52), (1, 0)], [(0.5, 0.52), (0.5, 1)]],
    "Z": [[(0, 0), (1, 0), (0, 1), (1, 1)]],
}
_WIDTHS = {"I": 0.35, "J": 0.62, "E": 0.66, "F": 0.64, "L": 0.62, "M": 0.92, "W": 0.98, "O": 0.82, "Q": 0.82, "S": 0.68}


def letter_width(letter: str, font: Font) -> float:
    """Width of a letter's skeleton in letter heights, about 0.2 .. 1."""
    return _WIDTHS.get(letter, 0.74) * font.width


@lru_cache(maxsize=4096)
def letter_strokes(letter: str, font: Font) -> tuple[Stroke, ...]:
    """The strokes of a capital as (n, 2) polylines in letter heights, centred on the letter; KeyError if unknown."""
    skeleton = [_trace(items, font.squareness) for items in _STROKES[letter]]
    width = letter_width(letter, font)
    strokes = [np.column_stack(((s[:, 0] - 0.5) * width, s[:, 1] - 0.5)) for s in skeleton]
    if font.serif > 0:
        strokes += [tick for s in skeleton for tick in _serifs(s, width, font.serif)]
    return tuple(np.column_stack((s[:, 0] - font.slant * s[:, 1], s[:, 1])) for s in strokes)


def _trace(items: list[_Item], squareness: float) -> Stroke:
    """One stroke as a polyline in the unit box."""
    pieces = []
    for item in items:
        if len(item) == 2:
            pieces.append(np.array([item]))
            continue
        cx, cy, rx, ry, start, stop = item
        angles = np.radians(np.linspace(start, stop, max(4, int(abs(stop - start) / 11))))
        c, s = np.cos(angles), np.sin(angles)
        # A superellipse: the same angles, corners pushed out as the exponent grows.
        power = 2.0 / squareness
        x = cx + rx * np.sign(c) * np.abs(c) ** power
        y = cy + ry * np.sign(s) * np.abs(s) ** power
        pieces.append(np.column_stack((x, y)))
    return np.concatenate(pieces)


def _serifs(stroke: Stroke, width: float, size: float) -> list[Stroke]:
    """Small bars across the ends of a stroke that stand on the base or cap line."""
    bars = []
    for end, inner in ((stroke[0], stroke[1]), (stroke[-1], stroke[-2])):
        stands = min(abs(end[1]), abs(end[1] - 1)) < 1e-6
        upright = abs(end[1] - inner[1]) > 1.2 * abs(end[0] - inner[0])
        if stands and upright:
            x, y = (end[0] - 0.5) * width, end[1] - 0.5
            bars.append(np.array([[x - size / 2, y], [x + size / 2, y]]))
    return bars
