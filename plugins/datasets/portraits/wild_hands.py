"""Wrong fingers: too many, too few, grown together, bent the wrong way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchkit_plugins.datasets.portraits.artifact import Artifact, Disc, Kind, Target, lerp, random
from benchkit_plugins.datasets.portraits.hand_sampling import finger_joints, hand_frame
from benchkit_plugins.datasets.portraits.records import SIZE, Finger, Hand, Scene, Web

THUMB = 4


def with_hand(scene: Scene, index: int, hand: Hand) -> Scene:
    """Return the scene with one hand replaced."""
    hands = (*scene.hands[:index], hand, *scene.hands[index + 1 :])
    return replace(scene, hands=hands)


def _claims(hand: int) -> frozenset[str]:
    return frozenset({f"hand{hand}"})


def _with_finger(hand: Hand, index: int, finger: Finger) -> Hand:
    return replace(hand, fingers=(*hand.fingers[:index], finger, *hand.fingers[index + 1 :]))


def _seen(hand: Hand, index: int) -> bool:
    """Return whether more than half of a finger is inside the image."""
    joints = hand_frame(hand).apply(finger_joints(hand.fingers[index]))
    return bool(np.all((joints[len(joints) // 2] > 2.0) & (joints[len(joints) // 2] < SIZE - 2.0)))


def _around(hand: Hand, finger: Finger) -> Disc:
    """Return a disc around a finger, with a margin of the width of a brush."""
    points = hand_frame(hand).apply(finger_joints(finger))
    x, y = (points[0] + points[-1]) / 2
    return float(x), float(y), float(np.hypot(*(points[-1] - points[0]))) / 2 + finger.width + 2.5


# --- finger_added: a second finger from the same knuckle, or one that grows from the palm's edge ---------------------


def _added_targets(scene: Scene) -> list[Target]:
    """Return targets (hand, slot): slots 0 to 3 fork a finger; 5 is at the little finger, 6 between index and thumb."""
    found = []
    for h, hand in enumerate(scene.hands):
        # Only beside stretched fingers: one finger more on a fist is a pointing hand, and that is not wrong.
        if hand.pose == "open":
            slots = [*(k for k in range(4) if _seen(hand, k)), *([5, 5] if _seen(hand, 3) else []), 6]
        elif hand.pose in ("victory", "pointing"):
            slots = [k for k in range(4) if not hand.fingers[k].folded] + [5, 5]
        else:
            slots = []
        found += [Target((h, slot), _claims(h), weight=1.0 / len(slots)) for slot in slots]
    return found


def _extra_finger(hand: Hand, artifact: Artifact) -> tuple[int, Finger]:
    """Return the position of the additional finger in the tuple, and the finger."""
    rng, slot, s = random(artifact), artifact.target[1], artifact.severity
    width = hand.fingers[0].width
    length = max(f.length for f in hand.fingers[:THUMB] if not f.folded) * lerp(0.55, 1.08, s)
    if slot < THUMB:
        old = hand.fingers[slot]
        fork = float(rng.choice((-1, 1))) * lerp(15, 27, float(rng.random()))
        # Before the old finger in the tuple is over it in the picture: the whole new finger shows.
        return slot, replace(old, angle=old.angle + fork, length=old.length * lerp(0.62, 1.08, s), bend=0.0)
    if slot == 5:
        x, angle = -hand.palm_width * 0.44, -float(rng.uniform(34, 62))
        return THUMB, Finger(x, -hand.palm_height * 0.12, angle, length, width)
    return THUMB, Finger(hand.palm_width * 0.42, -hand.palm_height * 0.2, float(rng.uniform(32, 42)), length, width)


def _add_finger(scene: Scene, artifact: Artifact) -> Scene:
    hand = scene.hands[artifact.target[0]]
    at, finger = _extra_finger(hand, artifact)
    return with_hand(scene, artifact.target[0], replace(hand, fingers=(*hand.fingers[:at], finger, *hand.fingers[at:])))


def _added_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    hand = scene.hands[artifact.target[0]]
    return (_around(hand, _extra_finger(hand, artifact)[1]),)


# --- finger_missing: shortened to a stump, at last gone --------------------------------------------------------------


def _missing_targets(scene: Scene) -> list[Target]:
    """Return the fingers of open hands. A pointing hand without its index finger is a fist, which is no artifact."""
    return [
        Target((h, k), _claims(h))
        for h, hand in enumerate(scene.hands)
        if hand.pose == "open"
        for k in range(len(hand.fingers))
        if _seen(hand, k)
    ]


def _stump(finger: Finger, severity: float) -> Finger:
    """Return the stump of a finger; it is invisible if it is shorter than wide."""
    length = finger.length * lerp(0.7, 0.05, severity)
    return replace(finger, length=length, visible=length >= finger.width)


def _drop_finger(scene: Scene, artifact: Artifact) -> Scene:
    h, k = artifact.target
    stump = _stump(scene.hands[h].fingers[k], artifact.severity)
    return with_hand(scene, h, _with_finger(scene.hands[h], k, stump))


def _missing_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    """Return discs at the knuckle and at the end of the stump: annotators do not mark where the finger is missing."""
    h, k = artifact.target
    hand = scene.hands[h]
    finger = hand.fingers[k]
    joints = hand_frame(hand).apply(finger_joints(finger))
    x, y = joints[0] + 0.3 * (joints[-1] - joints[0])
    knuckle = (float(x), float(y), 8.0)
    stump = _stump(finger, artifact.severity)
    if not stump.visible:
        return (knuckle,)
    x, y = hand_frame(hand).apply(finger_joints(stump))[-1]
    return knuckle, (float(x), float(y), 7.5)


# --- fingers_fused ---------------------------------------------------------------------------------------------------


def _fused_targets(scene: Scene) -> list[Target]:
    found = []
    for h, hand in enumerate(scene.hands):
        free = [k for k in range(THUMB) if not hand.fingers[k].folded and _seen(hand, k)]
        found += [Target((h, k), _claims(h)) for k in free if k + 1 in free]
    return found


def _fused_last(hand: Hand, artifact: Artifact) -> int:
    """Return the index of the last of the fused fingers; at high severity three are fused."""
    first = artifact.target[1]
    three = artifact.severity > 0.65 and first + 2 < THUMB and not hand.fingers[first + 2].folded
    return first + (2 if three else 1)


def _fuse_fingers(scene: Scene, artifact: Artifact) -> Scene:
    h, first = artifact.target
    hand = scene.hands[h]
    last = _fused_last(hand, artifact)
    fused = hand.fingers[first : last + 1]
    middle = sum(f.angle for f in fused) / len(fused)
    pull = lerp(0.0, 0.4, artifact.severity)
    for k in range(first, last + 1):
        finger = hand.fingers[k]
        hand = _with_finger(
            hand, k, replace(finger, angle=lerp(finger.angle, middle, pull), bend=finger.bend * (1 - pull))
        )
    amount = lerp(0.3, 1.0, min(1.0, 1.3 * artifact.severity))
    webs = tuple(Web(k, k + 1, amount) for k in range(first, last))
    return with_hand(scene, h, replace(hand, webs=webs))


def _fused_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    hand = scene.hands[artifact.target[0]]
    last = _fused_last(hand, artifact)
    return tuple(_around(hand, hand.fingers[k]) for k in range(artifact.target[1], last + 1))


# --- finger_bent -----------------------------------------------------------------------------------------------------


def _bent_targets(scene: Scene) -> list[Target]:
    return [
        Target((h, k), _claims(h))
        for h, hand in enumerate(scene.hands)
        for k, finger in enumerate(hand.fingers)
        if not finger.folded and _seen(hand, k)
    ]


def _bent(finger: Finger, artifact: Artifact) -> Finger:
    index, rng = artifact.target[1], random(artifact)
    # Outer fingers bend away from the hand, a thumb backwards; middle ones across a neighbour.
    side = {0: 1.0, 3: -1.0, THUMB: 1.0}.get(index, float(rng.choice((-1, 1))))
    return replace(
        finger,
        bend=finger.bend + side * lerp(38, 118, artifact.severity),
        angle=finger.angle + side * lerp(0, 10, artifact.severity),
        length=finger.length * lerp(1.05, 1.2, artifact.severity),
    )


def _bend_finger(scene: Scene, artifact: Artifact) -> Scene:
    h, k = artifact.target
    hand = scene.hands[h]
    return with_hand(scene, h, _with_finger(hand, k, _bent(hand.fingers[k], artifact)))


def _bent_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    hand = scene.hands[artifact.target[0]]
    finger = hand.fingers[artifact.target[1]]
    return _around(hand, finger), _around(hand, _bent(finger, artifact))


HAND_KINDS = (
    Kind("finger_added", _added_targets, _add_finger, _added_place, 2.2, close=4),
    Kind("finger_missing", _missing_targets, _drop_finger, _missing_place, 1.3),
    Kind("fingers_fused", _fused_targets, _fuse_fingers, _fused_place, 1.8, close=5),
    Kind("finger_bent", _bent_targets, _bend_finger, _bent_place, 1.5, close=4),
)
"""Kinds that edit the fingers of one hand."""
