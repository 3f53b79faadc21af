"""What a wild artifact is: a record of one edit, and the contract every kind of edit fulfils."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits.records import SIZE, Scene

Disc = tuple[float, float, float]
"""x, y and radius in image pixels."""


@dataclass(frozen=True)
class Artifact:
    """One edit of a scene: its kind, how bad it is (0 barely visible .. 1 gross), and what it is done to."""

    kind: str
    severity: float
    target: tuple[int, ...]  # meaning depends on the kind: hand and finger, eye, glyph, two parts
    point: tuple[float, float]  # where, for kinds that need a place; pixels
    seed: int  # of what is left open: directions, replacement letters, noise


@dataclass(frozen=True)
class Target:
    """Something in a scene that a kind can be done to; `claims` names what no second artifact may touch."""

    index: tuple[int, ...]
    claims: frozenset[str]
    point: tuple[float, float] = (0.0, 0.0)
    weight: float = 1.0


@dataclass(frozen=True)
class Kind:
    """A kind of artifact: where it is possible, what it does, and where an annotator would look for it."""

    name: str
    targets: Callable[[Scene], list[Target]]
    edit: Callable[[Scene, Artifact], Scene]
    place: Callable[[Scene, Artifact], tuple[Disc, ...]]
    weight: float
    close: int = 3
    """Radius in pixels over which a brush joins changed pixels."""


def random(artifact: Artifact) -> np.random.Generator:
    """The artifact's own generator: the same draws at every severity."""
    return np.random.default_rng(artifact.seed)


def lerp(low: float, high: float, share: float) -> float:
    """From `low` at 0 to `high` at 1."""
    return low + (high - low) * share


def discs_mask(discs: tuple[Disc, ...]) -> NDArray[np.bool_]:
    """The union of discs as a bool (128, 128) mask."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    mask = np.zeros((SIZE, SIZE), np.bool_)
    for cx, cy, radius in discs:
        mask |= (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
    return mask
