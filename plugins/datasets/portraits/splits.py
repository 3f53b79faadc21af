"""Splits of the embedded world: every image is a pure function of (world version, split, index)."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from benchkit_plugins.datasets.portraits.records import Scene
from benchkit_plugins.datasets.portraits.scene import sample_scene

VERSION = 1
"""Version of the world: raise it whenever any scene or its drawing changes."""

SPLITS: dict[str, int | None] = {
    "pool": 500,
    "validation": 100,
    "test": 500,
    "wild": 2000,
    "clean": 2000,
    "parts": 2000,
    "heldout": 500,
    "train": None,
}
"""Number of images per split; None is an unbounded stream (the checkpoint is trained on it)."""


def generator(split: str, index: int, purpose: str = "scene") -> np.random.Generator:
    """The random generator of one image and purpose, unlike every other; KeyError or IndexError if there is none."""
    if split not in SPLITS:
        raise KeyError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    size = SPLITS[split]
    if index < 0 or (size is not None and index >= size):
        raise IndexError(f"split {split!r} has {size} images, there is no index {index}")
    return np.random.default_rng(np.random.SeedSequence([VERSION, _word(split), _word(purpose), index]))


def scene_at(split: str, index: int) -> Scene:
    """The clean scene of one image; KeyError for an unknown split, IndexError beyond its end."""
    return sample_scene(generator(split, index))


def labelled_indices(seed: int, count: int = 100) -> list[int]:
    """The `count` images of the pool that a seed labels, ascending; ValueError if the pool is smaller."""
    size = SPLITS["pool"]
    assert size is not None
    if not 0 <= count <= size:
        raise ValueError(f"cannot draw {count} images from a pool of {size}")
    rng = np.random.default_rng(np.random.SeedSequence([VERSION, _word("labelled"), seed]))
    return sorted(rng.choice(size, count, replace=False).tolist())


@lru_cache(maxsize=64)
def _word(name: str) -> int:
    """A name as a 64-bit number that is the same on every machine and in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
