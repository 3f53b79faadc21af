"""Draws arms and hands into a canvas."""

from __future__ import annotations

import math

import numpy as np

from benchkit_plugins.datasets.portraits import paint as P
from benchkit_plugins.datasets.portraits.geometry import Canvas, Frame, Points, curve
from benchkit_plugins.datasets.portraits.hand_sampling import finger_joints, hand_frame
from benchkit_plugins.datasets.portraits.records import Arm, Finger, Hand

OUTLINE = 1.0
"""Width of the dark line around fingers and sleeves, pixels."""


def draw_arm(canvas: Canvas, arm: Arm, bare: bool) -> None:
    """Upper arm and forearm; `bare` draws the skin that the sleeve leaves free (an arm without hand has none)."""
    shoulder, elbow, wrist = np.array(arm.shoulder), np.array(arm.elbow), np.array(arm.wrist)
    cuff = elbow + (wrist - elbow) * arm.sleeve
    upper, lower = np.array([shoulder, elbow]), np.array([elbow, cuff])
    wide = arm.width + 2.0
    canvas.stroke(upper, wide + 2 * OUTLINE, P.P_CLOTHES_LINE)
    canvas.stroke(upper, wide, P.P_SLEEVE)
    if bare:
        skin = np.array([elbow + (wrist - elbow) * max(0.0, arm.sleeve - 0.15), wrist])
        canvas.stroke(skin, 11.4 + 2 * OUTLINE, P.P_HAND_LINE)
        canvas.stroke(skin, 11.4, P.P_HAND)
    _bar(canvas, lower, arm.width + 2 * OUTLINE, P.P_CLOTHES_LINE, OUTLINE)
    _bar(canvas, lower, arm.width, P.P_SLEEVE, 0.0)
    if bare:
        along = (wrist - elbow) / max(1.0, float(np.hypot(*(wrist - elbow))))
        _bar(canvas, np.array([cuff - along * 3.2, cuff]), arm.width + 0.6, P.P_TRIM, 0.0, round_start=False)
    # The joint must show no line across the sleeve.
    canvas.stroke(np.array([shoulder + (elbow - shoulder) * 0.6, elbow]), wide, P.P_SLEEVE)
    canvas.disc((float(elbow[0]), float(elbow[1])), arm.width / 2, P.P_SLEEVE)


def draw_hand(canvas: Canvas, hand: Hand) -> None:
    """Palm and fingers, each with its own dark outline so that fingers can be counted."""
    frame = hand_frame(hand)
    palm = frame.apply(_palm(hand))
    line = [f for f in hand.fingers if f.visible]
    free, folded = [f for f in line if not f.folded], [f for f in line if f.folded]
    canvas.stroke(palm, 2 * OUTLINE, P.P_HAND_LINE, closed=True)
    canvas.polygon(palm, P.P_HAND_LINE)
    for finger in reversed(free):
        _finger(canvas, frame, finger, hand.back)
    for web in hand.webs:
        _web(canvas, frame, hand.fingers[web.first], hand.fingers[web.second], web.amount)
    canvas.polygon(palm, P.P_HAND)
    # The wrist joins the arm without a line.
    canvas.stroke(np.array([frame.point(0, hand.palm_height * 0.3), hand.arm.wrist]), 11.4, P.P_HAND)
    _creases(canvas, frame, hand)
    for finger in folded:
        _finger(canvas, frame, finger, False)


def _palm(hand: Hand) -> Points:
    """The palm's outline in the hand's frame, narrower at the wrist."""
    w, h = hand.palm_width / 2, hand.palm_height / 2
    return np.array([
        (-w * 0.92, -h + 2.0), (-w * 0.5, -h + 0.4), (w * 0.3, -h - 0.2), (w * 0.94, -h + 1.6), (w, -h * 0.2),
        (w * 0.98, h * 0.3), (w * 0.66, h * 0.82), (w * 0.46, h), (-w * 0.46, h), (-w * 0.8, h * 0.66), (-w * 0.98, 0),
    ])  # fmt: skip


def _finger(canvas: Canvas, frame: Frame, finger: Finger, nail: bool) -> None:
    joints = np.array(finger_joints(finger))
    line = frame.apply(joints if len(joints) < 3 else curve_through(joints))
    canvas.stroke(line, finger.width + 2 * OUTLINE, P.P_HAND_LINE)
    canvas.stroke(line, finger.width, P.P_HAND)
    if finger.folded:
        return
    if nail:
        tip, before = line[-1], line[-3]
        along = (tip - before) / max(1e-6, float(np.hypot(*(tip - before))))
        canvas.stroke(np.array([tip - along * 0.4, tip + along * 1.0]), 3.4, P.P_NAIL)
    else:
        middle, side = line[len(line) // 2], line[-1] - line[0]
        across = np.array([-side[1], side[0]]) / max(1e-6, float(np.hypot(*side))) * finger.width * 0.24
        canvas.stroke(np.array([middle - across, middle + across]), 0.9, P.P_HAND_CREASE)


def curve_through(joints: Points) -> Points:
    """A smooth curve from the first joint by way of the second to the third, (7, 2)."""
    first, middle, last = joints
    control = 2 * middle - (first + last) / 2
    return curve(tuple(first), tuple(control), tuple(last), 7)


def _web(canvas: Canvas, frame: Frame, first: Finger, second: Finger, amount: float) -> None:
    """Fill between two fingers up to `amount` (0 .. 1) of their length, and wipe the line between them."""
    lines = [curve_through(np.array(finger_joints(f))) for f in (first, second)]
    reach = max(2, round(1 + amount * 6))
    shape = np.concatenate((lines[0][:reach], lines[1][:reach][::-1]))
    canvas.polygon(frame.apply(shape), P.P_HAND)
    for a, b in zip(lines[0][:reach], lines[1][:reach], strict=True):
        canvas.stroke(frame.apply(np.array([a, b])), min(first.width, second.width) * 0.8, P.P_HAND)


def _creases(canvas: Canvas, frame: Frame, hand: Hand) -> None:
    """Lines of the palm, or knuckles of the back."""
    w, h = hand.palm_width / 2, hand.palm_height / 2
    if hand.pose != "open":
        return
    if not hand.back:
        canvas.stroke(
            frame.apply(curve((w * 0.55, -h * 0.25), (0, -h * 0.1), (w * 0.05, h * 0.75))), 1.0, P.P_HAND_CREASE
        )
        canvas.stroke(
            frame.apply(curve((-w * 0.7, -h * 0.35), (-w * 0.1, -h * 0.2), (w * 0.2, -h * 0.7))), 1.0, P.P_HAND_CREASE
        )
        return
    for finger in hand.fingers[:4]:
        if finger.visible:
            a = math.radians(finger.angle * 0.5)
            x, y = finger.x - 2.2 * math.sin(a), finger.y + 2.2
            canvas.stroke(frame.apply([(x - 1.3, y), (x + 1.3, y)]), 1.0, P.P_HAND_CREASE)


def _bar(canvas: Canvas, line: Points, width: float, paint: int, extend: float, round_start: bool = True) -> None:
    """A thick line with a round start and a square end, `extend` pixels longer at that end."""
    along = line[1] - line[0]
    along = along / max(1e-6, float(np.hypot(*along)))
    across = np.array([-along[1], along[0]]) * width / 2
    stop = line[1] + along * extend
    canvas.polygon(np.array([line[0] + across, stop + across, stop - across, line[0] - across]), paint)
    if round_start:
        canvas.disc((float(line[0][0]), float(line[0][1])), width / 2, paint)
