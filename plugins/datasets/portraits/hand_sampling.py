"""Sampling of hands and arms: poses, and places where they hide neither eyes nor letters."""

from __future__ import annotations

import math

import numpy as np

from benchkit_plugins.datasets.portraits.geometry import Frame
from benchkit_plugins.datasets.portraits.records import Arm, Clothes, Face, Finger, Hand, Point, Sign

POSES = ("open", "fist", "pointing", "victory")
SHARES = (0.34, 0.94, 1.0, 0.94, 0.76, 0.8)


def sample_hands(
    rng: np.random.Generator, face: Face, clothes: Clothes, sign: Sign, count: int
) -> tuple[tuple[Hand, ...], tuple[Arm, ...]]:
    """Draw up to `count` hands (a hand that finds no room is left out, the last never) and the arms that hang idle."""
    order = rng.permutation(2)
    hands: list[Hand] = []
    idle: list[Arm] = []
    for k, side in enumerate(int(s) * 2 - 1 for s in order):
        hand = _place(rng, face, clothes, sign, side, must=not hands) if k < count else None
        if hand is None:
            idle.append(_idle_arm(rng, clothes, face, side))
        else:
            hands.append(hand)
    return tuple(hands), tuple(idle)


def finger_joints(finger: Finger) -> list[Point]:
    """Base, joint and tip of a finger in the hand's frame, pixels; a folded one is a short stub towards the wrist."""
    if finger.folded:
        a = math.radians(finger.angle)
        return [(finger.x, finger.y), (finger.x + finger.length * math.sin(a), finger.y - finger.length * math.cos(a))]
    a, b = math.radians(finger.angle), math.radians(finger.angle + finger.bend)
    # Half a width belongs to the round cap at the tip.
    reach = max(finger.length - finger.width / 2, 1.0)
    x1, y1 = finger.x + 0.5 * reach * math.sin(a), finger.y - 0.5 * reach * math.cos(a)
    return [(finger.x, finger.y), (x1, y1), (x1 + 0.5 * reach * math.sin(b), y1 - 0.5 * reach * math.cos(b))]


def hand_frame(hand: Hand) -> Frame:
    """The frame whose x axis points to the thumb's side and whose y axis points to the wrist."""
    return Frame(hand.x, hand.y, hand.angle, mirror=hand.thumb_side < 0)


def _place(rng: np.random.Generator, face: Face, clothes: Clothes, sign: Sign, side: int, must: bool) -> Hand | None:
    """Try places until eyes, mouth and letters stay free; `must` accepts the least bad one."""
    best, least = None, math.inf
    for _ in range(20):
        hand = _hand(rng, clothes, sign, side)
        cost = _hidden(hand, face, sign)
        if cost == 0:
            return hand
        if cost < least:
            best, least = hand, cost
    return best if must else None


def _hidden(hand: Hand, face: Face, sign: Sign) -> float:
    """How much a hand hides what must stay visible (face's middle, letters) or leaves the image; 0 is fine."""
    frame = hand_frame(hand)
    w, h = hand.palm_width / 2 + 1, hand.palm_height / 2 + 1
    local = [(0.0, h), (0.0, 0.0), (w, 0.0), (-w, 0.0), (w * 0.6, h), (-w * 0.6, h)] + [
        p for f in hand.fingers for p in finger_joints(f)
    ]
    points = frame.apply(np.array(local))
    inner = Frame(face.x, face.y, face.tilt).invert(points) / (face.width * 0.5 + 2.5, face.height * 0.5 + 2.5)
    cost = float(np.maximum(0, 0.92 - np.hypot(inner[:, 0], inner[:, 1])).sum()) * 4
    board = np.abs(Frame(sign.x, sign.y, sign.angle).invert(points))
    if not hand.behind_sign:
        over = (board[:, 0] < sign.width / 2 - 1) & (board[:, 1] < sign.height / 2 + 1)
        cost += float(over.sum())
    else:
        covered = (board[:, 0] < sign.width / 2 + 1) & (board[:, 1] < sign.height / 2 + 1)
        cost += max(0.0, float(covered.sum()) - 8)
    margin = 3.0
    outside = (np.minimum(points, 128 - points).min(axis=1) < -1) | (points[:, 1] < margin)
    return cost + max(0.0, float(outside.sum()) - 5)


def _hand(rng: np.random.Generator, clothes: Clothes, sign: Sign, side: int) -> Hand:
    pose = str(rng.choice(POSES, p=(0.56, 0.15, 0.17, 0.12)))
    behind = bool(rng.random() < 0.22)
    back = bool(rng.random() < 0.35)
    palm = float(rng.uniform(24.5, 27.0))
    height = palm * float(rng.uniform(0.72, 0.8))
    if behind:
        x = sign.x + side * (sign.width / 2 - float(rng.uniform(2, 7)))
        y = sign.y - sign.height / 2 - float(rng.uniform(-1, 4))
        angle = side * float(rng.uniform(-6, 26))
    else:
        x = 64 + side * float(rng.uniform(37, 53))
        y = float(rng.uniform(50, 92))
        angle = side * float(rng.uniform(-16, 34))
    if pose == "pointing" and rng.random() < 0.5:
        angle = side * float(rng.uniform(-40, 70))
    thumb = -side if not back else side
    fingers = sample_fingers(rng, pose, palm, height)
    arm = _arm(rng, (x, y), angle, height, clothes, side)
    return Hand(x, y, angle, thumb, palm, height, pose, back, behind, "left" if side < 0 else "right", fingers, arm)


def sample_fingers(rng: np.random.Generator, pose: str, palm: float, height: float) -> tuple[Finger, ...]:
    """Four fingers and a thumb in a pose; positions in the hand's frame, pixels."""
    length, width = float(rng.uniform(17.5, 20.5)), float(rng.uniform(6.1, 6.6))
    spread = float(rng.uniform(8.5, 14.0))
    extended = {"open": (0, 1, 2, 3), "pointing": (0,), "victory": (0, 1), "fist": ()}[pose]
    fingers = []
    for k in range(4):
        place = 1.5 - k
        x = place * (palm - width) / 3.0
        if k in extended:
            fan = place * spread + float(rng.normal(0, 1.2))
            if pose == "victory":
                fan = (0.5 - k) * (2.4 * spread) + float(rng.normal(0, 1.0)) + 6
            elif pose == "pointing":
                fan = float(rng.uniform(-4, 8))
            bend = float(np.clip(rng.normal(-place * 2.0, 4.0), -9, 9))
            y = -height / 2 + 2.0 + 0.55 * (place - 0.4) ** 2
            fingers.append(Finger(x, y, fan, length * SHARES[k + 1], width, bend))
        else:
            fingers.append(Finger(x, -height / 2 + 2.2, 180.0, height * 0.46, width, folded=True))
    if pose == "open":
        thumb = Finger(
            palm * 0.34,
            height * 0.16,
            float(rng.uniform(44, 64)),
            length * 0.9,
            width + 0.6,
            float(rng.uniform(-24, -6)),
        )
    elif pose == "fist" and rng.random() < 0.3:
        thumb = Finger(palm * 0.36, height * 0.02, float(rng.uniform(8, 26)), length * 0.72, width + 0.6, -6.0)
    else:
        thumb = Finger(palm * 0.36, height * 0.3, -82.0, palm * 0.58, width + 0.4, folded=True)
    return (*fingers, thumb)


def _arm(rng: np.random.Generator, palm: Point, angle: float, height: float, clothes: Clothes, side: int) -> Arm:
    a = math.radians(angle)
    wrist = (palm[0] - math.sin(a) * height * 0.42, palm[1] + math.cos(a) * height * 0.42)
    shoulder = (64 + side * (clothes.shoulder_width / 2 - 9), clothes.shoulder_y + 8)
    # The elbow hangs below, a little outside: between where the hand points from and straight down.
    b = 0.45 * a
    reach = float(rng.uniform(38, 48))
    elbow = (wrist[0] - math.sin(b) * reach, max(wrist[1] + math.cos(b) * reach, shoulder[1] + 22))
    sleeve = float(rng.choice((rng.uniform(0.68, 0.84), rng.uniform(0.3, 0.6)), p=(0.72, 0.28)))
    return Arm(shoulder, elbow, wrist, float(rng.uniform(13.0, 15.0)), sleeve)


def _idle_arm(rng: np.random.Generator, clothes: Clothes, face: Face, side: int) -> Arm:
    shoulder = (64 + side * (clothes.shoulder_width / 2 - 9), clothes.shoulder_y + 8)
    elbow = (shoulder[0] + side * float(rng.uniform(3, 9)), shoulder[1] + 34)
    return Arm(shoulder, elbow, (elbow[0] - side * 6, 160.0), float(rng.uniform(14.0, 16.0)), 1.0)
