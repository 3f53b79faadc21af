"""Draws the sign and its letters into a canvas."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits import paint as P
from benchkit_plugins.datasets.portraits.geometry import SCALE, Canvas, Frame, Points
from benchkit_plugins.datasets.portraits.letters import Stroke, letter_strokes, letter_width
from benchkit_plugins.datasets.portraits.records import SIZE, Break, Glyph, Sign


def sign_frame(sign: Sign) -> Frame:
    """The board's frame: origin at its centre."""
    return Frame(sign.x, sign.y, sign.angle)


def glyph_centres(sign: Sign) -> list[tuple[float, float]]:
    """Where each letter's centre lies in the board's frame, pixels: widths by letter, equal gaps."""
    widths = [letter_width(g.letter, sign.font) * sign.letter_height for g in sign.glyphs]
    ink = (sign.font.stroke + sign.font.serif) * sign.letter_height
    room = sign.width - 2 * sign.border_width - 5 - ink
    gap = min(ink + 6.0, (room - sum(widths)) / max(1, len(widths) - 1))
    total = sum(widths) + gap * (len(widths) - 1)
    x, centres = -total / 2, []
    for width, glyph in zip(widths, sign.glyphs, strict=True):
        centres.append((x + width / 2 + glyph.dx * sign.letter_height, glyph.dy * sign.letter_height))
        x += width + gap
    return centres


def draw_sign(canvas: Canvas, sign: Sign) -> None:
    """Board, border and letters."""
    frame = sign_frame(sign)
    half = (sign.width / 2, sign.height / 2)
    canvas.polygon(frame.apply(_board(half, sign.corner)), P.P_SIGN_BORDER)
    inner = (half[0] - sign.border_width, half[1] - sign.border_width)
    canvas.polygon(frame.apply(_board(inner, max(0.5, sign.corner - sign.border_width))), P.P_SIGN)
    for glyph, centre in zip(sign.glyphs, glyph_centres(sign), strict=True):
        if glyph.blend is not None and glyph.weight > 0:
            _blended(canvas, frame, sign, glyph, centre)
        else:
            for stroke in glyph_lines(glyph, sign):
                canvas.stroke(frame.apply(stroke * sign.letter_height + centre), _ink_width(sign), P.P_INK)


def glyph_lines(glyph: Glyph, sign: Sign) -> list[Stroke]:
    """A letter's polylines in letter heights, with its breaks cut out and moved."""
    lines: list[Stroke] = []
    for k, stroke in enumerate(letter_strokes(glyph.letter, sign.font)):
        breaks = [b for b in glyph.breaks if b.stroke == k]
        lines.extend(_broken(stroke, breaks) if breaks else [stroke])
    return lines


def _ink_width(sign: Sign) -> float:
    return sign.font.stroke * sign.letter_height


def _board(half: tuple[float, float], corner: float) -> Points:
    """A rectangle with rounded corners."""
    a = np.linspace(0, np.pi / 2, 5)
    arc = np.column_stack((np.cos(a), np.sin(a))) * corner + (half[0] - corner, half[1] - corner)
    mirror = arc[::-1] * (-1, 1)
    return np.concatenate((arc, mirror, arc * (-1, -1), mirror * (-1, -1)))


def _broken(stroke: Stroke, breaks: list[Break]) -> list[Stroke]:
    """The stroke cut at its breaks: spans outside stay, spans inside are moved or left out."""
    lengths = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))))
    total = lengths[-1]

    def span(start: float, stop: float) -> Stroke:
        at = np.unique(np.concatenate(([start * total, stop * total], lengths)))
        at = at[(at >= start * total) & (at <= stop * total)]
        return np.column_stack((np.interp(at, lengths, stroke[:, 0]), np.interp(at, lengths, stroke[:, 1])))

    pieces, here = [], 0.0
    for b in sorted(breaks, key=lambda b: b.start):
        if b.start > here + 1e-3:
            pieces.append(span(here, b.start))
        if not b.erased:
            pieces.append(span(b.start, b.stop) + np.array((b.dx, b.dy)))
        here = max(here, b.stop)
    if here < 1 - 1e-3:
        pieces.append(span(here, 1.0))
    return pieces


def _blended(canvas: Canvas, frame: Frame, sign: Sign, glyph: Glyph, centre: tuple[float, float]) -> None:
    """A shape between two letters: the level set of a mix of their signed distances."""
    assert glyph.blend is not None
    fields = [_distance(frame, sign, letter, centre) for letter in (glyph.letter, glyph.blend)]
    mixed = (1 - glyph.weight) * fields[0] + glyph.weight * fields[1]
    # Mixed distances shrink thin strokes away: lower the level so that the ink keeps about its amount.
    wanted = (1 - glyph.weight) * float((fields[0] > 0).mean()) + glyph.weight * float((fields[1] > 0).mean())
    level = float(np.quantile(mixed, 1 - wanted))
    canvas.ids[(mixed > level) & (fields[0] > -1e3)] = P.P_INK


def _distance(frame: Frame, sign: Sign, letter: str, centre: tuple[float, float]) -> NDArray[np.float32]:
    """Signed distance to a letter (inside positive), canvas pixels, over the whole canvas."""
    plane = Canvas()
    for stroke in letter_strokes(letter, sign.font):
        plane.stroke(frame.apply(stroke * sign.letter_height + centre), _ink_width(sign), 1)
    inside = cv2.distanceTransform(plane.ids, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - plane.ids, cv2.DIST_L2, 3)
    field: NDArray[np.float32] = inside - outside
    assert field.shape == (SIZE * SCALE, SIZE * SCALE)
    return field
