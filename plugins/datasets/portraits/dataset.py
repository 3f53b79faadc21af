"""`portraits`: the embedded procedural dataset, without download and with exact labels."""

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

#: Splits of a comparison; the stream on which the checkpoint is trained is not one.
SIZES = {"pool": 500, "validation": 100, "test": 500, "wild": 2000, "clean": 2000, "parts": 2000}


@dataclass(frozen=True)
class Portraits(Dataset):
    """Procedural images of people with hands and signs, 128x128 pixels, with wild artifacts and exact labels.

    Artifacts are edits of the scene. Three simulated annotators annotate them; a pixel is an artifact if at least two
    of three annotated it. `clean` has no artifacts; of the other splits, a fifth of the images has none.
    """

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
            raise BenchkitError(
                f"split '{split}' of dataset 'portraits' has {size} images: there is no number {wrong[0]}"
            )
        return [_sample(split, index) for index in indices]

    def inspect(self, split: str, indices: Sequence[int]) -> list[ImageFacts]:
        from benchkit_plugins.datasets.portraits.marks import ANNOTATED_SPLITS

        labelled = split in ANNOTATED_SPLITS
        return [ImageFacts(_name(split, index), (SIZE, SIZE), labelled, captioned=True) for index in indices]

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
    from benchkit_plugins.datasets.portraits.marks import ANNOTATED_SPLITS, read_annotated
    from benchkit_plugins.datasets.portraits.records import PARTS
    from benchkit_plugins.datasets.portraits.splits import scene_at

    scene = scene_at(split, index)
    name = _name(split, index)
    if split not in ANNOTATED_SPLITS:
        rendering = render(scene)
        parts = {"parts": rendering.parts, "part_names": PARTS}
        return Sample(name, rendering.image, None, caption(scene), attributes=parts)
    image = read_annotated(split, index)
    kinds: dict[str, np.ndarray] = {}
    for visible in image.artifacts:
        kind = visible.artifact.kind
        kinds[kind] = kinds[kind] | visible.mask if kind in kinds else visible.mask
    severities = [[visible.artifact.kind, visible.artifact.severity] for visible in image.artifacts]
    attributes = {"artifacts": severities, "votes": image.votes}
    return Sample(name, image.image, image.label, caption(scene), kinds, attributes)


@cache
def _fingerprint() -> str:
    """Return the sha256 of the source code and the shipped marks, which determine every pixel and label."""
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
