"""Melted pictures: parts that run into each other, faces and hands that lose their shape."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits.artifact import Artifact, Disc, Kind, Target, lerp, random
from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.face import face_frame
from benchkit_plugins.datasets.portraits.hand_sampling import hand_frame
from benchkit_plugins.datasets.portraits.records import CLOTHES, FACE, HAIR, HAND, SIGN, Merge, Scene, Warp

_PAIRS = {(HAND, FACE): 3.0, (HAND, HAIR): 2.0, (HAND, SIGN): 3.0, (HAND, CLOTHES): 1.2, (HAIR, CLOTHES): 0.6}
_NEAR = 9  # pixels between two parts that may still run together


@lru_cache(maxsize=8)
def _parts(scene: Scene) -> NDArray[np.uint8]:
    return render(scene).parts


def _merge_targets(scene: Scene) -> list[Target]:
    """Pairs of parts that touch or nearly do, each at the three seams farthest from each other's middle."""
    parts, found = _parts(scene), []
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_NEAR, _NEAR))
    for (first, second), weight in _PAIRS.items():
        planes = [cv2.dilate((parts == k).astype(np.uint8), brush) for k in (first, second)]
        seam = planes[0] & planes[1]
        count, _, stats, centres = cv2.connectedComponentsWithStats(seam)
        for k in range(1, count):
            if stats[k, cv2.CC_STAT_AREA] >= 30:
                point = (float(centres[k][0]), float(centres[k][1]))
                found.append(Target((first, second), _merge_claims(scene, point, second), point, weight))
    return found


def _merge_claims(scene: Scene, point: tuple[float, float], second: int) -> frozenset[str]:
    """The nearest hand, and the features of the face if the face takes part."""
    nearest = min(
        range(len(scene.hands)),
        key=lambda k: (scene.hands[k].x - point[0]) ** 2 + (scene.hands[k].y - point[1]) ** 2,
    )
    return frozenset({f"hand{nearest}"} | ({"eyes", "mouth", "nose"} if second == FACE else set()))


def _merge_radius(artifact: Artifact) -> float:
    return lerp(7.0, 15.0, artifact.severity)


def _merge(scene: Scene, artifact: Artifact) -> Scene:
    (first, second), (x, y), s = artifact.target, artifact.point, artifact.severity
    radius = _merge_radius(artifact)
    merge = Merge(first, second, x, y, radius, lerp(0.45, 1.0, s))
    # What runs together also flows: a weak warp bends the seam.
    warp = Warp(x, y, radius, lerp(1.5, 9.0, s), 18.0, 0.0, artifact.seed % (2**31 - 1))
    return replace(scene, merges=(*scene.merges, merge), warps=(*scene.warps, warp))


def _merge_place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    return ((*artifact.point, 1.35 * _merge_radius(artifact)),)


def _face_targets(scene: Scene) -> list[Target]:
    return [Target((0,), frozenset({"eyes", "mouth", "nose"}))]


def _face_warp(scene: Scene, artifact: Artifact) -> Warp:
    face, rng, s = scene.face, random(artifact), artifact.severity
    across, down = rng.uniform((-0.2, -0.16), (0.2, 0.3)).tolist()
    x, y = face_frame(face).point(across * face.width, down * face.height)
    radius = lerp(11.0, 19.0, s) * float(rng.uniform(0.9, 1.15))
    smear = lerp(0.0, 0.6, s) if rng.random() < 0.5 else 0.0
    return Warp(x, y, radius, lerp(4.0, 15.0, s), float(rng.uniform(15, 24)), smear, int(rng.integers(2**31 - 1)))


def _hand_targets(scene: Scene) -> list[Target]:
    return [Target((k,), frozenset({f"hand{k}"})) for k in range(len(scene.hands))]


def _hand_warp(scene: Scene, artifact: Artifact) -> Warp:
    hand, rng, s = scene.hands[artifact.target[0]], random(artifact), artifact.severity
    across, up = rng.uniform((-5, 4), (5, 13)).tolist()
    x, y = hand_frame(hand).point(across, -up)
    radius = lerp(10.0, 17.0, s) * float(rng.uniform(0.9, 1.15))
    smear = lerp(0.0, 0.65, s) if rng.random() < 0.5 else 0.0
    return Warp(x, y, radius, lerp(4.0, 14.0, s), float(rng.uniform(13, 20)), smear, int(rng.integers(2**31 - 1)))


def _melt_face(scene: Scene, artifact: Artifact) -> Scene:
    return replace(scene, warps=(*scene.warps, _face_warp(scene, artifact)))


def _melt_hand(scene: Scene, artifact: Artifact) -> Scene:
    return replace(scene, warps=(*scene.warps, _hand_warp(scene, artifact)))


def _around(warp: Warp) -> tuple[Disc, ...]:
    return ((warp.x, warp.y, 1.35 * warp.radius),)


MELT_KINDS = (
    Kind("objects_merged", _merge_targets, _merge, _merge_place, 4.8, close=4),
    Kind("face_melted", _face_targets, _melt_face, lambda s, a: _around(_face_warp(s, a)), 3.3, close=6),
    Kind("hand_melted", _hand_targets, _melt_hand, lambda s, a: _around(_hand_warp(s, a)), 4.8, close=5),
)
"""Kinds that are done to the finished picture."""
