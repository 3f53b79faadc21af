"""`noise-images`: small images that cost nothing to make, for measuring memory. A plugin file of `memory.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchkit.api import Dataset, ImageFacts, Sample


@dataclass(frozen=True)
class NoiseImages(Dataset):
    """Images of noise whose brightest part is annotated, 32 x 32 pixels, 10,000 in each split."""

    name = "noise-images"

    def splits(self) -> Mapping[str, int]:
        return {"clean": 10_000, "pool": 10_000, "test": 10_000}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        return [self._sample(split, index) for index in indices]

    def _sample(self, split: str, index: int) -> Sample:
        rng = np.random.default_rng([index, *split.encode()])
        image = rng.integers(0, 128, (32, 32, 3), np.uint8)
        mask = np.zeros((32, 32), bool)
        if split != "clean":
            top, left = rng.integers(0, 24, 2)
            mask[top : top + 8, left : left + 8] = True
            image[mask] += 100
        return Sample(f"{split}-{index}", image, None if split == "clean" else mask)

    def inspect(self, split: str, indices: Sequence[int]) -> list[ImageFacts]:
        return [ImageFacts(f"{split}-{i}", (32, 32), split != "clean", positive=split != "clean") for i in indices]

    def labelled(self, count: int, seed: int) -> list[int]:
        return list(range(count))

    def fingerprint(self) -> str:
        return "noise-images 1"
