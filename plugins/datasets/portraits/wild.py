"""Wild artifacts: faults of a generator, made by editing the scene and never by diffusion."""

from __future__ import annotations

import numpy as np

from benchkit_plugins.datasets.portraits.artifact import Artifact, Disc, Kind, Target
from benchkit_plugins.datasets.portraits.records import Scene
from benchkit_plugins.datasets.portraits.splits import generator, scene_at
from benchkit_plugins.datasets.portraits.wild_faces import FACE_KINDS
from benchkit_plugins.datasets.portraits.wild_hands import HAND_KINDS
from benchkit_plugins.datasets.portraits.wild_melts import MELT_KINDS
from benchkit_plugins.datasets.portraits.wild_signs import SIGN_KINDS

_KINDS: dict[str, Kind] = {kind.name: kind for kind in (*HAND_KINDS, *FACE_KINDS, *SIGN_KINDS, *MELT_KINDS)}

KINDS: tuple[str, ...] = tuple(_KINDS)
"""Names of all kinds of artifacts."""

MARRED_SPLITS = ("pool", "validation", "test", "wild")
"""Splits with artifacts; every fifth of their images has none, all other splits are clean."""

_COUNTS = (0.2, 0.4, 0.4)  # share of images with one, two and three artifacts


def sample_artifacts(scene: Scene, rng: np.random.Generator) -> tuple[Artifact, ...]:
    """Draw one to three artifacts that are possible in the scene and lie in different places."""
    wanted = 1 + int(rng.choice(len(_COUNTS), p=_COUNTS))
    taken: frozenset[str] = frozenset()
    chosen: list[Artifact] = []
    while len(chosen) < wanted:
        options = {name: _free(scene, name, taken) for name in KINDS if name not in {a.kind for a in chosen}}
        options = {name: targets for name, targets in options.items() if targets}
        if not options:
            break
        weights = np.array([_KINDS[name].weight for name in options])
        name = list(options)[int(rng.choice(len(options), p=weights / weights.sum()))]
        target = _pick(options[name], rng)
        taken |= target.claims
        chosen.append(_artifact(name, target, rng))
    return tuple(chosen)


def sample_artifact(scene: Scene, kind: str, severity: float, rng: np.random.Generator) -> Artifact | None:
    """Draw one artifact of a kind at a severity (0 .. 1); None if the scene has no place for it."""
    targets = _free(scene, kind, frozenset())
    if not targets:
        return None
    target = _pick(targets, rng)
    return Artifact(kind, severity, target.index, target.point, int(rng.integers(2**31)))


def apply(scene: Scene, artifacts: tuple[Artifact, ...]) -> Scene:
    """The scene with the artifacts in it; pure, and the order does not matter."""
    for artifact in sorted(artifacts, key=lambda a: (KINDS.index(a.kind), a.target, a.seed)):
        scene = _KINDS[artifact.kind].edit(scene, artifact)
    return scene


def place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    """Where in the clean scene's picture an annotator would mark the artifact, as discs in pixels."""
    return _KINDS[artifact.kind].place(scene, artifact)


def brush_radius(kind: str) -> int:
    """Over how many pixels a brush joins what changed, for this kind."""
    return _KINDS[kind].close


def artifacts_at(split: str, index: int) -> tuple[Artifact, ...]:
    """The artifacts of one image, () for clean ones; KeyError or IndexError like `scene_at`."""
    rng = generator(split, index, "artifacts")
    if split not in MARRED_SPLITS or index % 5 == 0:
        return ()
    return sample_artifacts(scene_at(split, index), rng)


def _free(scene: Scene, kind: str, taken: frozenset[str]) -> list[Target]:
    return [target for target in _KINDS[kind].targets(scene) if not target.claims & taken]


def _pick(targets: list[Target], rng: np.random.Generator) -> Target:
    weights = np.array([target.weight for target in targets])
    return targets[int(rng.choice(len(targets), p=weights / weights.sum()))]


def _artifact(kind: str, target: Target, rng: np.random.Generator) -> Artifact:
    """Draw severities that are rather visible, as annotated artifacts are: a tenth below 0.4, half above 0.76."""
    severity = float(rng.uniform(0.001, 1.0) ** 0.4)
    return Artifact(kind, severity, target.index, target.point, int(rng.integers(2**31)))
