"""Random draws that belong to an image: from (seed, image id, stream) and nothing else."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence

import torch

from benchkit.errors import BenchkitError


class ImageNoise:
    """The images' noise (`benchkit.api.Noise`): row i depends on the seed, on ids[i] and on the stream alone.

    So an image has the same noise for every method, in every batch and on every device. Draws are float32 on the
    CPU; the caller moves them. Equal arguments give equal draws, however often and in whatever order they are asked.
    """

    def __init__(self, seed: int, ids: Sequence[str]) -> None:
        self.seed = seed
        self.ids = tuple(ids)

    def normal(self, shape: Sequence[int], stream: str = "") -> torch.Tensor:
        """Standard normal draws, (N, *shape) float32."""
        return self._draw(torch.randn, shape, stream)

    def uniform(self, shape: Sequence[int], stream: str = "") -> torch.Tensor:
        """Uniform draws in [0, 1), (N, *shape) float32."""
        return self._draw(torch.rand, shape, stream)

    def _draw(self, draw: Callable[..., torch.Tensor], shape: Sequence[int], stream: str) -> torch.Tensor:
        rows = torch.empty((len(self.ids), *shape), dtype=torch.float32)
        for row, image in zip(rows, self.ids, strict=True):
            # One flat draw: its values then depend on the number of elements, never on memory layout.
            flat = draw(math.prod(shape), generator=self._generator(image, stream), dtype=torch.float32)
            row.copy_(flat.reshape(tuple(shape)))
        return rows

    def _generator(self, image: str, stream: str) -> torch.Generator:
        # JSON keeps ("a", "bc") and ("ab", "c") apart.
        digest = hashlib.sha256(json.dumps([self.seed, image, stream]).encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))


def draw_references(seed: int, ids: Sequence[str], positions: Sequence[int], count: int) -> list[int]:
    """For each image the position of another one in its set of `count`, drawn uniformly from (seed, image id).

    ids, positions: of the images, and where they stand in the set. Raises BenchkitError where there is no other.
    """
    if count < 2:
        raise BenchkitError("a reference is another image of the same set: give at least two images")
    draws = ImageNoise(seed, ids).uniform((), stream="partner").tolist()
    others = [int(draw * (count - 1)) for draw in draws]
    return [other + (other >= own) for other, own in zip(others, positions, strict=True)]
