"""Draws torso, neck and neckline into a canvas."""

from __future__ import annotations

import numpy as np

from benchkit_plugins.datasets.portraits import paint as P
from benchkit_plugins.datasets.portraits.geometry import Canvas, curve
from benchkit_plugins.datasets.portraits.records import Clothes, Face


def draw_body(canvas: Canvas, clothes: Clothes, face: Face) -> None:
    """Shoulders and torso down to the image's lower edge."""
    half, y = clothes.shoulder_width / 2, clothes.shoulder_y
    neck = face.width * 0.24
    side = np.concatenate((
        [(neck, y - 2)], curve((neck + 3, y - 1), (half - 4, y + 1), (half, y + 14), 8), [(half + 1, 140.0)],
    ))  # fmt: skip
    shape = np.concatenate((side, side[::-1] * (-1, 1))) + np.array((64, 0))
    # The torso stays in the middle while the head moves: lean its neck towards the head.
    lean = np.clip(1 - (shape[:, 1] - y) / 20, 0, 1) * (face.x - 64) * 0.6
    shape[:, 0] += lean
    canvas.stroke(shape, 1.8, P.P_CLOTHES_LINE, closed=True)
    canvas.polygon(shape, P.P_CLOTHES)


def draw_neck(canvas: Canvas, clothes: Clothes, face: Face) -> None:
    """Neck and neckline, over the hair that falls behind the head."""
    y, w = clothes.shoulder_y, face.width * 0.24
    x = 64 + (face.x - 64) * 0.6
    chin = np.array([face.x, face.y + face.height * 0.3])
    base = np.array([x, y + 1.0])
    if clothes.neckline == "high":
        canvas.stroke(np.array([chin, base - (0, 6)]), 2 * w, P.P_NECK)
        top, low, lean = y - 4.5, y + 4.0, (face.x - x) * 0.5
        collar = np.concatenate((
            curve((x + lean - w - 1.5, top), (x + lean, top + 4), (x + lean + w + 1.5, top)),
            curve((x + w + 4, low), (x, low + 7), (x - w - 4, low)),
        ))  # fmt: skip
        canvas.stroke(collar, 1.6, P.P_CLOTHES_LINE, closed=True)
        canvas.polygon(collar, P.P_TRIM)
        return
    depth = {"round": 6.0, "v": 15.0, "collar": 10.0}[clothes.neckline]
    if clothes.neckline == "round":
        cut = curve((x - w - 4, y - 2), (x, y + 2 * depth), (x + w + 4, y - 2), 11)
    else:
        cut = np.array([(x - w - 3, y - 2), (x, y + depth), (x + w + 3, y - 2)])
    canvas.polygon(cut, P.P_NECK)
    canvas.stroke(np.array([chin, base - (0, 2)]), 2 * w, P.P_NECK)
    canvas.stroke(cut, 2.2, P.P_TRIM)
    if clothes.neckline == "collar":
        for side in (-1, 1):
            flap = np.array(
                [
                    (x + side * (w + 2), y - 4),
                    (x + side * 1.2, y + depth),
                    (x + side * (w + 6), y + depth + 3),
                    (x + side * (w + 7), y - 1),
                ]
            )
            canvas.stroke(flap, 1.4, P.P_CLOTHES_LINE, closed=True)
            canvas.polygon(flap, P.P_TRIM)
        canvas.stroke(np.array([(x, y + depth), (x, 140.0)]), 1.2, P.P_CLOTHES_LINE)
