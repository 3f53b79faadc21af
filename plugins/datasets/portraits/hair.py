"""Draws hair and hats into a canvas: what lies behind the head first, what lies over it last."""

from __future__ import annotations

import math

import numpy as np

from benchkit_plugins.datasets.portraits import paint as P
from benchkit_plugins.datasets.portraits.face import face_frame, outline
from benchkit_plugins.datasets.portraits.geometry import Canvas, Frame, Points, curve
from benchkit_plugins.datasets.portraits.records import Face, Hair, Hat


def draw_hair_back(canvas: Canvas, face: Face, hair: Hair) -> None:
    """Hair behind head and neck, over the shoulders."""
    frame, w, h = face_frame(face), face.width / 2, face.height / 2
    if hair.style in ("long", "bob"):
        _hanging(canvas, frame, face, hair)
    elif hair.style == "curly":
        for x, y, r in _curls(face, hair, start=-30, stop=210):
            canvas.disc(frame.point(x, y), r, P.P_HAIR)
    elif hair.style == "bun":
        centre, r = (w * 0.25 * hair.parting, -h - 3.0), 7.5 + hair.volume * 0.4
        canvas.ellipse(frame, centre, (r + 1, r + 1), P.P_HAIR_LINE)
        canvas.ellipse(frame, centre, (r, r), P.P_HAIR)
    elif hair.style == "ponytail":
        side = 1 if hair.parting > 0 else -1
        root, tip = frame.point(side * w * 0.7, -h * 0.75), (face.x + side * (w + 7), face.y + h + 8)
        tail = curve(root, (face.x + side * (w + 20), face.y - h * 0.5), tip, 9)
        for k, width in enumerate((8, 11, 13, 14, 14, 13, 10, 7)):
            canvas.stroke(tail[k : k + 2], width, P.P_HAIR)
        canvas.disc(root, 5.5, P.P_HAIR_LINE)
    elif hair.style == "braids":
        for side in (-1, 1):
            for k in range(4 + round(hair.length * 3)):
                centre = (face.x + side * (w + 1.5 + 0.5 * k), face.y + h * 0.45 + k * 7.2)
                canvas.disc(centre, 5.6 - 0.2 * k, P.P_HAIR_LINE)
                canvas.disc(centre, 4.7 - 0.2 * k, P.P_HAIR)


def _hanging(canvas: Canvas, frame: Frame, face: Face, hair: Hair) -> None:
    """A curtain of hair to the jaw (bob) or over the shoulders (long), with a lighter lock on either side."""
    w, h, v = face.width / 2, face.height / 2, hair.volume
    low = h * 0.98 if hair.style == "bob" else h + (124 - face.y - h) * (0.35 + 0.5 * hair.length)
    flare = w + v + (1.5 if hair.style == "bob" else 3.0)
    half = np.array([(w + v, -h * 0.2), (flare, h * 0.4), (flare + 0.5, low - 6), (flare - 4, low)])
    shape = np.concatenate((half, half[::-1] * (-1, 1)))
    # Long hair hangs down, it does not swing out with the head.
    hang = Frame(face.x, face.y, face.tilt * (0.4 if hair.style == "long" else 0.8))
    canvas.polygon(hang.apply(shape), P.P_HAIR_BACK)
    canvas.polygon(frame.apply(_dome(face, v)), P.P_HAIR_BACK)
    lock = np.array([
        (w - 2.5, -h * 0.3), (w + v, -h * 0.3), (flare, h * 0.4), (flare + 0.5, low - 6), (flare - 4, low),
        (w - 3.5, low - 5), (w - 2, h * 0.5),
    ])  # fmt: skip
    for side in (-1, 1):
        canvas.polygon(hang.apply(lock * (side, 1)), P.P_HAIR)


def draw_hair_front(canvas: Canvas, face: Face, hair: Hair, covered: bool) -> None:
    """Hair over the skull; `covered` says that a hat hides its top."""
    frame, w, h = face_frame(face), face.width / 2, face.height / 2
    if hair.style == "bald":
        return
    v = min(hair.volume, 2.5) if covered else hair.volume
    thin = hair.style in ("short", "spiky", "bun", "ponytail")
    dome = _dome(face, v * (0.7 if thin else 1.0))
    low = -0.02 * h if thin else 0.25 * h
    sides = [(-w - 0.6, low), (-w * 0.9, low + 1)], [(w * 0.9, low + 1), (w + 0.6, low)]
    line = _hairline(face, hair)
    cap = np.concatenate((dome, sides[1][::-1], line[::-1], sides[0][::-1]))
    canvas.polygon(frame.apply(cap), P.P_HAIR)
    canvas.stroke(frame.apply(line), 0.9, P.P_HAIR_LINE)
    if hair.style == "curly" and not covered:
        for x, y, r in _curls(face, hair, start=-200, stop=20):
            canvas.disc(frame.point(x, y), r, P.P_HAIR)
    if hair.style == "spiky" and not covered:
        canvas.polygon(frame.apply(_spikes(face, hair)), P.P_HAIR)
    if not covered:
        _gleam(canvas, frame, face, hair)


def draw_hat(canvas: Canvas, face: Face, hat: Hat) -> None:
    """A hat over the upper skull, its rim above the brows."""
    frame, w, h = face_frame(face), face.width / 2, face.height / 2
    rim = -h * 0.5
    top = -h - (4.0 if hat.style != "brim" else 6.0)
    wide = w + 3.2
    side = [(wide, rim + 2), (wide * 0.98, (rim + top) * 0.55), (wide * 0.72, top + 2.5), (wide * 0.3, top)]
    crown = np.array(side + [(-x, y) for x, y in reversed(side)])
    canvas.polygon(frame.apply(_puff(crown, 0.9)), P.P_HAT_LINE)
    canvas.polygon(frame.apply(crown), P.P_HAT)
    if hat.style == "beanie":
        band = curve((-wide, rim), (0, rim - 5), (wide, rim), 9)
        canvas.stroke(frame.apply(band), 7.5, P.P_HAT_LINE)
        canvas.stroke(frame.apply(band), 6.0, P.P_HAT_BAND)
        canvas.disc(frame.point(0, top - 1), 4.2, P.P_HAT_BAND)
    elif hat.style == "cap":
        upper = curve((-w * 0.95, rim), (0, rim - 7), (w * 0.95, rim))
        _rimmed(canvas, frame, upper, curve((w * 1.02, rim + 3.5), (0, rim + 1), (-w * 1.02, rim + 3.5)), P.P_HAT_BAND)
    else:
        upper = curve((-wide, rim - 1), (0, rim - 4), (wide, rim - 1))
        lower = curve((wide, rim - 7), (0, rim - 10), (-wide, rim - 7))
        canvas.polygon(frame.apply(np.concatenate((upper, lower))), P.P_HAT_BAND)
        reach = wide + 10
        upper = curve((-reach, rim + 3), (0, rim - 7), (reach, rim + 3), 13)
        _rimmed(canvas, frame, upper, curve((reach, rim + 3), (0, rim + 3), (-reach, rim + 3), 13), P.P_HAT)


def _rimmed(canvas: Canvas, frame: Frame, upper: Points, lower: Points, paint: int) -> None:
    """A visor or brim between two edges, with a dark rim."""
    shape = np.concatenate((upper, lower))
    canvas.polygon(frame.apply(_puff(shape, 0.7 if paint == P.P_HAT_BAND else 0.8)), P.P_HAT_LINE)
    canvas.polygon(frame.apply(shape), paint)


def _puff(shape: Points, grow: float) -> Points:
    """The shape a little larger around its middle."""
    centre = (shape.min(axis=0) + shape.max(axis=0)) / 2
    extent = (shape.max(axis=0) - shape.min(axis=0)) / 2
    return centre + (shape - centre) * (1 + grow / extent)


def _dome(face: Face, grow: float) -> Points:
    """The upper half of the skull from left to right, `grow` pixels out."""
    ring = outline(face, grow)
    return np.concatenate((ring[24:], ring[:1]))


def _hairline(face: Face, hair: Hair) -> Points:
    """The lower edge of the front hair, from left temple to right, above the brows."""
    w, h = face.width / 2, face.height / 2
    left, right = (-w * 0.9, -h * 0.16), (w * 0.9, -h * 0.16)
    if hair.fringe == "straight":
        return np.array(
            [
                left,
                (-w * 0.84, -h * 0.5),
                (-w * 0.4, -h * 0.53),
                (0, -h * 0.55),
                (w * 0.4, -h * 0.53),
                (w * 0.84, -h * 0.5),
                right,
            ]
        )
    x = hair.parting * w
    if hair.fringe == "side":
        sweep = curve(
            (x, -h * 0.8), (-x * 0.2 - np.sign(x) * w * 0.6, -h * 0.62), (-np.sign(x) * w * 0.86, -h * 0.38), 7
        )
        near = curve((np.sign(x) * w * 0.88, -h * 0.45), (np.sign(x) * w * 0.75, -h * 0.7), (x, -h * 0.8), 6)
        full = np.concatenate((near, sweep))
        return np.concatenate(([left], full if x < 0 else full[::-1], [right]))
    if hair.fringe == "centre":
        wing = curve((0, -h * 0.86), (w * 0.55, -h * 0.68), (w * 0.84, -h * 0.34), 7)
        return np.concatenate(([left], (wing * (-1, 1))[::-1], wing, [right]))
    brow = curve((-w * 0.86, -h * 0.46), (0, -h * 0.98), (w * 0.86, -h * 0.46), 11)
    return np.concatenate(([left], brow, [right]))


def _curls(face: Face, hair: Hair, start: float, stop: float) -> list[tuple[float, float, float]]:
    """Circles (x, y, radius) around the skull between two angles in degrees; 0 is right, 90 down."""
    count = max(5, int(abs(stop - start) / 17))
    curls = []
    for k in range(count):
        a = math.radians(start + (stop - start) * k / (count - 1))
        wobble = math.sin(7.3 * k + hair.seed % 17)
        r = 5.6 + 1.5 * wobble
        reach = hair.volume * 1.2 + 0.6 * wobble
        drop = 1.0 if math.sin(a) < 0 else 0.85
        x, y = (face.width / 2 + reach) * math.cos(a), (face.height / 2 + reach - 1) * math.sin(a) * drop
        curls.append((x, y, r))
    return curls


def _spikes(face: Face, hair: Hair) -> Points:
    """A crown of spikes along the top of the skull."""
    ring = outline(face, hair.volume * 0.5)[27:46]
    tips = outline(face, hair.volume + 6.5)[27:46]
    shape = ring.copy()
    shape[1::2] = tips[1::2] + np.array((3.0 * math.copysign(1, hair.parting), 0))
    return shape


def _gleam(canvas: Canvas, frame: Frame, face: Face, hair: Hair) -> None:
    """A lighter band and a parting over the dome, so that hair reads as hair."""
    w, h = face.width / 2, face.height / 2
    if hair.style in ("curly", "spiky"):
        return
    x = hair.parting * w
    top = -h - hair.volume * 0.5
    canvas.stroke(frame.apply(curve((x, top + 1), (x * 0.9, -h * 0.9), (x, -h * 0.8), 5)), 1.0, P.P_HAIR_LINE)
    for side in (-1, 1):
        band = curve((x * 0.6 + side * w * 0.3, -h * 0.97), (side * w * 0.75, -h * 0.9), (side * w * 0.94, -h * 0.5), 7)
        canvas.stroke(frame.apply(band[1:6]), 1.8, P.P_HAIR_LIGHT)
