"""Wrong faces: eyes too many, out of place or unlike, noses and mouths that wandered or doubled."""

from __future__ import annotations

import math
from dataclasses import replace

from benchkit_plugins.datasets.portraits.artifact import Artifact, Disc, Kind, Target, lerp, random
from benchkit_plugins.datasets.portraits.face import face_frame
from benchkit_plugins.datasets.portraits.palette import IRISES
from benchkit_plugins.datasets.portraits.records import Eye, Face, Mouth, Nose, Scene


def _with_eye(face: Face, index: int, eye: Eye) -> Face:
    return replace(face, eyes=(*face.eyes[:index], eye, *face.eyes[index + 1 :]))


def _disc(face: Face, x: float, y: float, radius: float) -> Disc:
    """A disc around a point of the face's frame."""
    px, py = face_frame(face).point(x, y)
    return px, py, radius


# --- eyes ------------------------------------------------------------------------------------------------------------


def _added_targets(scene: Scene) -> list[Target]:
    """Slots: 0 forehead, 1 and 2 cheeks, 3 and 4 doubled above an eye; hair or a hat may cover the forehead."""
    claims = frozenset({"eyes"})
    open_brow = scene.hat is None and scene.hair.fringe in ("none", "side", "centre")
    slots = [1, 2, 3, 4] + ([0, 0] if open_brow else [])
    if scene.face.beard is not None and scene.face.beard.style == "full":
        slots = [s for s in slots if s not in (1, 2)]
    return [Target((s,), claims) for s in slots]


def _extra_eye(face: Face, artifact: Artifact) -> Eye:
    slot, s = artifact.target[0], artifact.severity
    model = max(face.eyes, key=lambda eye: eye.openness)
    wobble = random(artifact).uniform(-1, 1, 2)
    side = -1 if slot in (1, 3) else 1
    x, y = {
        0: (0.0, -0.27 * face.height),
        1: (-0.27 * face.width, 0.14 * face.height),
        2: (0.27 * face.width, 0.14 * face.height),
    }.get(slot, (side * 0.225 * face.width, model.y - 0.17 * face.height))
    width = model.width * lerp(0.62, 1.12, s)
    return replace(model, x=x + float(wobble[0]), y=y + float(wobble[1]), width=width, tilt=float(wobble[0]) * 12)


def _add_eye(scene: Scene, artifact: Artifact) -> Scene:
    face = scene.face
    return replace(scene, face=replace(face, eyes=(*face.eyes, _extra_eye(face, artifact))))


def _added_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    eye = _extra_eye(scene.face, artifact)
    return (_disc(scene.face, eye.x, eye.y, eye.width / 2 + 4.5),)


def _eye_targets(scene: Scene) -> list[Target]:
    claims = frozenset({"eyes"})
    return [Target((k,), claims) for k, eye in enumerate(scene.face.eyes) if eye.openness > 0.2]


def _moved_eye(face: Face, artifact: Artifact) -> Eye:
    eye = face.eyes[artifact.target[0]]
    outward = 1.0 if eye.x > 0 else -1.0
    a = math.radians(float(random(artifact).choice((-75, -105, 60, 90, 120, 10))))
    reach = lerp(2.6, 12.0, artifact.severity)
    x = eye.x + outward * math.cos(a) * reach
    return replace(eye, x=max(-0.4 * face.width, min(0.4 * face.width, x)), y=eye.y + math.sin(a) * reach)


def _move_eye(scene: Scene, artifact: Artifact) -> Scene:
    return replace(scene, face=_with_eye(scene.face, artifact.target[0], _moved_eye(scene.face, artifact)))


def _moved_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    old, new = scene.face.eyes[artifact.target[0]], _moved_eye(scene.face, artifact)
    radius = old.width / 2 + 4.5
    return _disc(scene.face, old.x, old.y, radius), _disc(scene.face, new.x, new.y, radius)


def _mismatched_eye(face: Face, artifact: Artifact) -> Eye:
    eye, rng, s = face.eyes[artifact.target[0]], random(artifact), artifact.severity
    shares = [sum(abs(a - b) for a, b in zip(iris, eye.iris, strict=True)) for iris in IRISES]
    iris = IRISES[max(range(len(IRISES)), key=lambda k: shares[k])]
    grow = lerp(0.16, 0.62, s) if rng.random() < 0.6 else -lerp(0.2, 0.5, s)
    gaze = (-math.copysign(lerp(0.6, 1.5, s), eye.gaze[0] or 1.0), float(rng.uniform(-1.2, 1.2)) * s)
    tilt = eye.tilt + float(rng.uniform(-34, 34)) * s
    return replace(eye, width=eye.width * (1 + grow), iris=iris, gaze=gaze, tilt=tilt)


def _mismatch_eye(scene: Scene, artifact: Artifact) -> Scene:
    return replace(scene, face=_with_eye(scene.face, artifact.target[0], _mismatched_eye(scene.face, artifact)))


def _mismatched_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    eye, new = scene.face.eyes[artifact.target[0]], _mismatched_eye(scene.face, artifact)
    return (_disc(scene.face, eye.x, eye.y, max(eye.width, new.width) / 2 + 4.0),)


# --- mouth and nose --------------------------------------------------------------------------------------------------


def _mouth_targets(scene: Scene) -> list[Target]:
    """Targets: 0 displaced, 1 doubled; a beard grows around its mouth, so there the mouth only doubles."""
    claims = frozenset({"mouth"})
    return [Target((k,), claims) for k in ((1,) if scene.face.beard is not None else (0, 1))]


def _wandered_mouth(face: Face, artifact: Artifact) -> Mouth:
    mouth, rng, s = face.mouths[0], random(artifact), artifact.severity
    side = float(rng.choice((-1, 1)))
    if artifact.target[0] == 1:
        # Above, over the upper lip and the nose: below there is hardly any chin.
        dy = -lerp(6.0, 10.5, s) - mouth.openness * 0.4
        width = mouth.width * lerp(0.66, 1.1, s)
        return replace(mouth, x=side * 3.0, y=mouth.y + dy, width=width, tilt=side * lerp(0, 16, s))
    dx, dy = side * lerp(3.0, 10.5, s), float(rng.uniform(-0.5, 0.25)) * lerp(2, 8, s)
    return replace(mouth, x=mouth.x + dx, y=mouth.y + dy, tilt=-side * lerp(8, 38, s))


def _edit_mouth(scene: Scene, artifact: Artifact) -> Scene:
    face, new = scene.face, _wandered_mouth(scene.face, artifact)
    mouths = (*face.mouths, new) if artifact.target[0] == 1 else (new,)
    return replace(scene, face=replace(face, mouths=mouths))


def _mouth_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    old, new = scene.face.mouths[0], _wandered_mouth(scene.face, artifact)
    discs = tuple(_disc(scene.face, m.x, m.y, m.width / 2 + 4.5) for m in (old, new))
    return discs[1:] if artifact.target[0] == 1 else discs


def _nose_targets(scene: Scene) -> list[Target]:
    return [Target((k,), frozenset({"nose"})) for k in (0, 1)]


def _wandered_nose(face: Face, artifact: Artifact) -> Nose:
    nose, rng, s = face.noses[0], random(artifact), artifact.severity
    side = float(rng.choice((-1, 1)))
    if artifact.target[0] == 1:
        return replace(
            nose, x=side * nose.width * lerp(0.9, 1.2, s), y=nose.y + float(rng.uniform(-2, 2)), tilt=side * 10.0 * s
        )
    return replace(
        nose,
        x=nose.x + side * lerp(2.6, 9.0, s),
        y=nose.y + float(rng.uniform(-1, 1)) * lerp(1, 5, s),
        tilt=side * lerp(10, 62, s),
        width=nose.width * lerp(1.05, 1.5, s),
        height=nose.height * lerp(1.0, 1.2, s),
    )


def _edit_nose(scene: Scene, artifact: Artifact) -> Scene:
    face, new = scene.face, _wandered_nose(scene.face, artifact)
    noses = (*face.noses, new) if artifact.target[0] == 1 else (new,)
    return replace(scene, face=replace(face, noses=noses))


def _nose_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    old, new = scene.face.noses[0], _wandered_nose(scene.face, artifact)
    discs = tuple(_disc(scene.face, n.x, n.y - n.height * 0.4, n.height * 0.62 + 4) for n in (old, new))
    return discs[1:] if artifact.target[0] == 1 else discs


FACE_KINDS = (
    Kind("eye_added", _added_targets, _add_eye, _added_place, 0.8),
    Kind("eye_misplaced", _eye_targets, _move_eye, _moved_place, 1.0),
    Kind("eye_mismatched", _eye_targets, _mismatch_eye, _mismatched_place, 1.0),
    Kind("mouth_displaced", _mouth_targets, _edit_mouth, _mouth_place, 1.0),
    Kind("nose_displaced", _nose_targets, _edit_nose, _nose_place, 0.8),
)
"""Kinds that edit the features of the face."""
