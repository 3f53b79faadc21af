"""Draws a head's skin and features into a canvas."""

from __future__ import annotations

import math

import numpy as np

from benchkit_plugins.datasets.portraits import paint as P
from benchkit_plugins.datasets.portraits.geometry import CIRCLE, Canvas, Frame, Points, curve
from benchkit_plugins.datasets.portraits.records import Brow, Eye, Face, Mouth, Nose

_TURN = np.linspace(0, 2 * math.pi, 49)[:-1]


def face_frame(face: Face) -> Frame:
    """The frame all features live in: origin at the face's centre, tilted with the head."""
    return Frame(face.x, face.y, face.tilt)


def outline(face: Face, grow: float = 0.0) -> Points:
    """The head's outline in its own frame, `grow` pixels outside the skin, (48, 2), from the right clockwise."""
    c, s = np.cos(_TURN), np.sin(_TURN)
    narrow = 1.0 - 0.24 * face.jaw * np.clip(s, 0, 1) ** 2
    x = (face.width / 2 + grow) * np.sign(c) * np.abs(c) ** 0.88 * narrow
    y = (face.height / 2 + grow) * np.sign(s) * np.abs(s) ** 0.94
    return np.column_stack((x, y))


def draw_head(canvas: Canvas, face: Face) -> None:
    """Ears, skin and all features but hair; glasses come later, over the hair."""
    frame = face_frame(face)
    for side in (-1, 1):
        centre = (side * (face.width / 2 - 0.4), face.height * 0.03)
        canvas.ellipse(frame, centre, (4.6, face.ear / 2 + 1.0), P.P_FACE_LINE)
        canvas.ellipse(frame, centre, (3.8, face.ear / 2), P.P_FACE)
        canvas.ellipse(frame, (centre[0] + side * 0.8, centre[1]), (1.7, face.ear * 0.3), P.P_EAR_SHADE)
    canvas.polygon(frame.apply(outline(face, 0.8)), P.P_FACE_LINE)
    canvas.polygon(frame.apply(outline(face)), P.P_FACE)


def draw_features(canvas: Canvas, face: Face) -> None:
    """Beard, nose, mouth, eyes and brows over the skin."""
    frame = face_frame(face)
    if face.beard is not None:
        _beard(canvas, frame, face)
    for nose in face.noses:
        _nose(canvas, frame, nose)
    for k, mouth in enumerate(face.mouths):
        _mouth(canvas, frame, mouth, k)
    for k, eye in enumerate(face.eyes):
        _eye(canvas, frame, eye, k)
    for brow in face.brows:
        _brow(canvas, frame, brow)


def draw_glasses(canvas: Canvas, face: Face) -> None:
    """Spectacles: two rims, a bridge and the temples."""
    glasses = face.glasses
    if glasses is None or len(face.eyes) < 2:
        return
    frame, r = face_frame(face), glasses.radius
    y, gap = -0.045 * face.height, face.width * 0.215
    for side in (-1, 1):
        power = 1.0 if glasses.shape == "round" else 0.55
        rim = np.sign(CIRCLE) * np.abs(CIRCLE) ** power * (r, r * (1.0 if power == 1.0 else 0.8)) + (side * gap, y)
        canvas.stroke(frame.apply(rim), glasses.thickness, P.P_GLASSES, closed=True)
        arm = [(side * (gap + r), y - 1), (side * face.width / 2, y - 2)]
        canvas.stroke(frame.apply(arm), glasses.thickness, P.P_GLASSES)
    bridge = curve((-gap + r, y - 1), (0, y - 3), (gap - r, y - 1), 5)
    canvas.stroke(frame.apply(bridge), glasses.thickness, P.P_GLASSES)


def _eye(canvas: Canvas, frame: Frame, eye: Eye, k: int) -> None:
    local = Frame(*frame.point(eye.x, eye.y), frame.angle + eye.tilt)
    half = eye.width / 2
    if eye.openness < 0.12:
        canvas.stroke(local.apply(curve((-half, 0.2), (0, 2.8), (half, 0.2))), 1.6, P.P_EYE_LINE)
        return
    up, down = half * (0.45 + 0.75 * eye.openness), half * (0.35 + 0.5 * eye.openness)
    top = curve((-half, 0.4), (0, -2 * up + 0.4), (half, 0.4))
    bottom = curve((half, 0.4), (0, 2 * down * 0.8), (-half, 0.4))
    shape = local.apply(np.concatenate((top, bottom)))
    # The iris is cut by the lids: draw it, then repaint what lies outside the eye's own opening.
    x, y, w, h = _bounds(shape, 4.0, canvas.ids.shape[0])
    if w <= 0 or h <= 0:
        return
    window = canvas.ids[y : y + h, x : x + w]
    before = window.copy()
    canvas.polygon(shape, P.P_WHITE)
    inside = window == P.P_WHITE
    radius = min(half * 0.62, 2.9)
    centre = local.point(eye.gaze[0] * half * 0.26, -0.3 + eye.gaze[1] * 0.8)
    canvas.disc(centre, radius, P.P_IRIS + k % 8)
    canvas.disc(centre, radius * 0.5, P.P_PUPIL)
    canvas.disc((centre[0] + radius * 0.35, centre[1] - radius * 0.4), radius * 0.28, P.P_GLINT)
    np.copyto(window, before, where=~inside)
    canvas.stroke(local.apply(top), 1.5, P.P_EYE_LINE)
    canvas.stroke(local.apply(bottom), 0.6, P.P_EYE_LINE)


def _bounds(points: Points, margin: float, side: int) -> tuple[int, int, int, int]:
    """The canvas window (x, y, width, height) around image points, clipped to the canvas."""
    scale = side / 128
    low = np.clip(np.floor((points.min(axis=0) - margin) * scale), 0, side).astype(int)
    high = np.clip(np.ceil((points.max(axis=0) + margin) * scale), 0, side).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _brow(canvas: Canvas, frame: Frame, brow: Brow) -> None:
    side = 1 if brow.x > 0 else -1
    half = brow.width / 2
    inner, outer = (brow.x - side * half, brow.y + brow.slope / 2), (brow.x + side * half, brow.y - brow.slope / 2)
    line = curve(inner, (brow.x + side, brow.y - 2 * brow.arch), outer)
    canvas.stroke(frame.apply(line), brow.thickness, P.P_BROW)
    canvas.stroke(frame.apply(line[:6]), brow.thickness + 0.6, P.P_BROW)


def _nose(canvas: Canvas, frame: Frame, nose: Nose) -> None:
    local = Frame(*frame.point(nose.x, nose.y), frame.angle + nose.tilt)
    w, h = nose.width / 2, nose.height
    if nose.style == 0:
        line = np.concatenate(
            (curve((-w * 0.3, -h), (-w * 0.2, -h * 0.4), (-w, -0.8)), [(-w * 0.5, 1.2), (w * 0.5, 1.0)])
        )
        canvas.stroke(local.apply(line), 1.3, P.P_FACE_SHADE)
        canvas.ellipse(local, (w * 0.2, -1.6), (1.5, 1.3), P.P_FACE_LIGHT)
    elif nose.style == 1:
        wedge = np.array([(w * 0.2, -h), (-w * 0.35, -h * 0.5), (-w, -0.6), (-w * 0.6, 1.2), (0, 1.6), (w * 0.2, -1)])
        canvas.polygon(local.apply(wedge), P.P_FACE_SHADE)
        canvas.stroke(local.apply([(w * 0.25, -h * 0.8), (w * 0.35, -2)]), 1.4, P.P_FACE_LIGHT)
        canvas.stroke(local.apply(curve((-w * 0.9, 0.2), (0, 2.6), (w * 0.9, 0.2))), 1.1, P.P_FACE_LINE)
    else:
        canvas.stroke(local.apply(curve((-w, -1.6), (-w * 1.2, 1.6), (-w * 0.3, 1.0), 6)), 1.2, P.P_FACE_LINE)
        canvas.stroke(local.apply(curve((w, -1.6), (w * 1.2, 1.6), (w * 0.3, 1.0), 6)), 1.2, P.P_FACE_LINE)
        canvas.stroke(local.apply(curve((-w * 0.4, 1.0), (0, 2.4), (w * 0.4, 1.0), 5)), 1.1, P.P_FACE_SHADE)
        canvas.stroke(local.apply([(0, -h * 0.9), (0, -3)]), 1.6, P.P_FACE_LIGHT)


def _mouth(canvas: Canvas, frame: Frame, mouth: Mouth, k: int) -> None:
    local = Frame(*frame.point(mouth.x, mouth.y), frame.angle + mouth.tilt)
    half, lift, lip = mouth.width / 2, mouth.curve, mouth.fullness
    paint, dark = P.P_LIP + k % 8, P.P_LIP_DARK + k % 8
    gap = mouth.openness
    corner = -lift
    # Control points of a quadratic sit twice as far out as the curve they bend.
    up = curve((-half, corner), (0, 2 * (lift * 0.5 - gap * 0.4 - lip * 0.55) - corner), (half, corner))
    low = curve((half, corner), (0, 2 * (lift * 0.5 + gap * 0.6 + lip * 0.6) - corner), (-half, corner))
    canvas.polygon(local.apply(np.concatenate((up, low))), paint)
    if gap < 1.0:
        middle = curve((-half - 0.6, corner - 0.2), (0, lift - corner), (half + 0.6, corner - 0.2))
        canvas.stroke(local.apply(middle), 1.2, dark)
        return
    inner_up = curve((-half * 0.86, corner), (0, 2 * (lift * 0.5 - gap * 0.4) - corner), (half * 0.86, corner))
    inner_low = curve((half * 0.86, corner), (0, 2 * (lift * 0.5 + gap * 0.6) - corner), (-half * 0.86, corner))
    canvas.polygon(local.apply(np.concatenate((inner_up, inner_low))), P.P_MOUTH_IN)
    if mouth.teeth:
        canvas.polygon(local.apply(np.concatenate((inner_up, inner_up[::-1] * (0.9, 1) + (0, gap * 0.42)))), P.P_TEETH)
    elif gap > 4:
        canvas.ellipse(local, (0, lift * 0.5 + gap * 0.36), (half * 0.42, gap * 0.2), P.P_TONGUE)


def _beard(canvas: Canvas, frame: Frame, face: Face) -> None:
    beard = face.beard
    assert beard is not None
    mouth = face.mouths[0]
    top = mouth.y - mouth.fullness * 0.6 - 1.4 - mouth.openness * 0.4
    if beard.style == "full":
        ring = outline(face, 1.2)
        jaw = ring[1:24] * (1.0, 1.0 + beard.length * 0.012) + (0, 0)
        inner = curve(
            (-face.width * 0.46, face.height * 0.06),
            (0, face.height * 0.3),
            (face.width * 0.46, face.height * 0.06),
            13,
        )
        inner[:, 1] = np.minimum(inner[:, 1], top - 1)
        canvas.polygon(frame.apply(np.concatenate((jaw, inner))), P.P_BEARD)
    elif beard.style == "goatee":
        canvas.ellipse(frame, (0, mouth.y + 1.5), (mouth.width * 0.62, 7.4 + mouth.openness * 0.5), P.P_BEARD)
        chin = (0.0, face.height / 2 - 4.0 + beard.length * 0.4)
        canvas.ellipse(frame, chin, (mouth.width * 0.4, 5.0 + beard.length * 0.4), P.P_BEARD)
    for side in (-1, 1):
        tash = np.concatenate((
            curve((0, top - 2.4), (side * mouth.width * 0.36, top - 3.6), (side * mouth.width * 0.66, top + 2.6)),
            curve((side * mouth.width * 0.66, top + 2.6), (side * mouth.width * 0.3, top + 0.6), (0, top + 1.0)),
        ))  # fmt: skip
        canvas.polygon(frame.apply(tash), P.P_BEARD)
