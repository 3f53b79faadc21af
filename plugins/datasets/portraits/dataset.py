"""`portraits`: the embedded benchmark world as a dataset; no download, exact truth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from benchkit.api import BenchkitError, Dataset, ImageFacts, Sample, hookimpl
from benchkit_plugins.datasets.portraits.records import SIZE

#: Splits offered to comparisons; the checkpoint's own training stream is not one.
SIZES = {"pool": 500, "validation": 100, "test": 500, "wild": 2000, "clean": 2000, "parts": 2000}


@dataclass(frozen=True)
class Portraits(Dataset):
    """Procedural 128x128 people with hands and signs; wild artifacts are edits of the scene, marked by three
    simulated annotators (label: at least two of three). `clean` has no artifacts, `wild` has them, a fifth of `test`
    has none."""

    name = "portraits"
    autoencode = True

    def splits(self) -> Mapping[str, int]:
        return dict(SIZES)

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        size = SIZES.get(split)
        if size is None:
            raise BenchkitError(f"dataset 'portraits' has no split '{split}': it has {', '.join(SIZES)}")
        wrong = [i for i in indices if not 0 <= i < size]
        if wrong:
            raise BenchkitError(f"split '{split}' of dataset 'portraits' has {size} images: there is no {wrong[0]}")
        return [_sample(split, index) for index in indices]

    def inspect(self, split: str, indices: Sequence[int]) -> list[ImageFacts]:
        from benchkit_plugins.datasets.portraits.marks import MARKED_SPLITS

        size, marked = (SIZE, SIZE), split in MARKED_SPLITS
        return [ImageFacts(_name(split, index), size, marked, captioned=True) for index in indices]

    def labelled(self, count: int, seed: int) -> list[int]:
        from benchkit_plugins.datasets.portraits.splits import labelled_indices

        if count > SIZES["pool"]:
            raise BenchkitError(f"'labelled: {count}' is more than the pool of {SIZES['pool']}: ask for fewer")
        return labelled_indices(seed, count)

    def fingerprint(self) -> str:
        return _fingerprint()


def _name(split: str, index: int) -> str:
    return f"{split}-{index:05d}"


def _sample(split: str, index: int) -> Sample:
    from benchkit_plugins.datasets.portraits.caption import caption
    from benchkit_plugins.datasets.portraits.draw import render
    from benchkit_plugins.datasets.portraits.marks import MARKED_SPLITS, read_marked
    from benchkit_plugins.datasets.portraits.records import PARTS
    from benchkit_plugins.datasets.portraits.splits import scene_at

    scene = scene_at(split, index)
    name = _name(split, index)
    if split not in MARKED_SPLITS:
        rendering = render(scene)
        parts = {"parts": rendering.parts, "part_names": PARTS}
        return Sample(name, rendering.image, None, caption(scene), attributes=parts)
    found = read_marked(split, index)
    kinds: dict[str, np.ndarray] = {}
    for mark in found.artifacts:
        kind = mark.artifact.kind
        kinds[kind] = kinds[kind] | mark.mask if kind in kinds else mark.mask
    severities = [[mark.artifact.kind, mark.artifact.severity] for mark in found.artifacts]
    return Sample(
        name, found.image, found.label, caption(scene), kinds, {"artifacts": severities, "votes": found.votes}
    )


@cache
def _fingerprint() -> str:
    """sha256 over the world's source and its shipped marks: what decides every pixel and label."""
    total = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        total.update(file.read_bytes())
    folder = resources.files("benchkit.assets") / "portraits"
    for asset in sorted(folder.iterdir(), key=lambda f: f.name) if folder.is_dir() else ():
        total.update(asset.read_bytes())
    return total.hexdigest()


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [Portraits]
