"""Random draws of an image: they depend on (seed, image id, stream) only."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence

import torch

from benchkit.errors import BenchkitError


class ImageNoise:
    """The noise of a batch of images (`benchkit.api.Noise`): row i depends on the seed, ids[i] and the stream only.

    So an image has the same noise for every method, in every batch and on every device. Draws are float32 on the CPU;
    the caller moves them. Equal arguments give equal draws at every call.
    """

    def __init__(self, seed: int, ids: Sequence[str]) -> None:
        self.seed = seed
        self.ids = tuple(ids)

    def normal(self, shape: Sequence[int], stream: str = "") -> torch.Tensor:
        """Return standard normal draws, (N, *shape) float32."""
        return self._draw(torch.randn, shape, stream)

    def uniform(self, shape: Sequence[int], stream: str = "") -> torch.Tensor:
        """Return uniform draws in [0, 1), (N, *shape) float32."""
        return self._draw(torch.rand, shape, stream)

    def _draw(self, draw: Callable[..., torch.Tensor], shape: Sequence[int], stream: str) -> torch.Tensor:
        rows = torch.empty((len(self.ids), *shape), dtype=torch.float32)
        for row, image in zip(rows, self.ids, strict=True):
            # JSON keeps ("a", "bc") and ("ab", "c") apart.
            digest = hashlib.sha256(json.dumps([self.seed, image, stream]).encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))
            # A flat draw depends on the number of elements only, not on the memory layout.
            flat = draw(math.prod(shape), generator=generator, dtype=torch.float32)
            row.copy_(flat.reshape(tuple(shape)))
        return rows


def draw_references(seed: int, ids: Sequence[str], positions: Sequence[int], count: int) -> list[int]:
    """Return for each image the position of another image in its set of `count`, uniform from (seed, image id).

    ids, positions: of the images in the set. Raises BenchkitError for a set of one image.
    """
    if count < 2:
        raise BenchkitError("a reference image is another image of the same set: give at least two images")
    # The text seeds the draws: another word would change results.
    draws = ImageNoise(seed, ids).uniform((), stream="partner").tolist()
    others = [int(draw * (count - 1)) for draw in draws]
    return [other + (other >= own) for other, own in zip(others, positions, strict=True)]
