"""A dataset and a detector as small as can be; the tests name this file by --plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.api import BenchkitError, Dataset, Detector, Sample, hookimpl

if TYPE_CHECKING:
    from torch import nn

SIDE = 32
SIZES = {"pool": 8, "test": 6, "clean": 20, "wild": 4}


@dataclass(frozen=True)
class Shapes(Dataset):
    """Noise with a bright square; in `clean` nobody has marked anything."""

    name = "shapes"
    autoencode = True

    def splits(self) -> Mapping[str, int]:
        return SIZES

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        if split not in SIZES:
            raise BenchkitError(f"dataset 'shapes' has no split '{split}'")
        return [self._sample(split, i) for i in indices]

    def _sample(self, split: str, index: int) -> Sample:
        rng = np.random.default_rng([list(SIZES).index(split), index])
        image = rng.integers(0, 128, (SIDE, SIDE, 3), dtype=np.uint8)
        row, column = rng.integers(0, SIDE - 12, 2)
        mask = np.zeros((SIDE, SIDE), bool)
        mask[row : row + 12, column : column + 12] = True
        image[mask] += 100
        parts: dict[str, Any] = {"parts": mask.astype(np.uint8) * 3, "corner": np.array([row, column])}
        kinds = {} if split == "clean" else {"square": mask}
        marked = None if split == "clean" else mask
        return Sample(f"{split}-{index}", image, marked, f"a square at {row}", kinds, parts)

    def labelled(self, count: int, seed: int) -> list[int]:
        return sorted(np.random.default_rng(seed).choice(SIZES["pool"], count, replace=False).tolist())

    def fingerprint(self) -> str:
        return "1"


@dataclass(frozen=True)
class Dot(Detector):
    """One convolution."""

    name = "dot"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Conv2d(3, 2, 1)


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [Shapes]


@hookimpl
def benchkit_detectors() -> list[type[Detector]]:
    return [Dot]
