"""A dataset that can draw fresh images; the tests name this file by --plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchkit.api import Dataset, Sample, hookimpl, param
from benchkit.readers.season import digest_season, read_season

SIDE = 32


@dataclass(frozen=True)
class FreshShapes(Dataset):
    """Noise with a bright square, from a secret."""

    name = "shapes-fresh"
    autoencode = True
    season: str | None = param(None, doc="the file of a season's images")

    def splits(self) -> Mapping[str, int]:
        return {"season": len(read_season(self.season))} if self.season else {}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        assert self.season is not None
        return [read_season(self.season)[i] for i in indices]

    def draw_fresh(self, secret: str, indices: Sequence[int], autoencode: Callable[[Any], Any]) -> list[Sample]:
        samples = []
        for index in indices:
            rng = np.random.default_rng([*secret.encode(), index])
            image = rng.integers(0, 128, (SIDE, SIDE, 3), dtype=np.uint8)
            row, column = rng.integers(0, SIDE - 12, 2)
            mask = np.zeros((SIDE, SIDE), bool)
            mask[row : row + 12, column : column + 12] = True
            image[mask] += 100
            samples.append(Sample(f"season-{index}", image, mask, None, {"square": mask}))
        return samples

    def labelled(self, count: int, seed: int) -> list[int]:
        return []

    def fingerprint(self) -> str:
        return f"1 {digest_season(self.season) if self.season else ''}"


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [FreshShapes]
