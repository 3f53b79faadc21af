"""Each image by one of several corruptors, drawn by weight: a set whose artifacts have more than one cause."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, CompositeCorruptor, Corruptor, hookimpl, param, split_parts

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import Noise


@dataclass(frozen=True)
class Mixture(CompositeCorruptor):
    """Draws for every image one of the corruptors in `of`; what it makes of the image is what it makes by itself.

    No paper of its own. Parts may differ in space and depth. Raises BenchkitError for fewer than two parts and for
    weights that do not fit them.
    """

    name = "mixture"
    of: str = param("renoise-masked:steps=10+gaussian:steps=10", doc="corruptors, A+B or A+(B:key=value,key=value)")
    weights: str = param("equal", doc="one weight a corruptor, such as 3+1, in any unit; or `equal`")

    def __post_init__(self) -> None:
        if len(self.parts()) < 2:
            raise BenchkitError(f"corruptor 'mixture': of={self.of} is one corruptor: join two or more by +")
        self.shares()

    def parts(self) -> tuple[str, ...]:
        return split_parts(self.of)

    def shares(self) -> list[float]:
        """The parts' probabilities."""
        where = f"corruptor 'mixture': weights={self.weights}"
        texts = ["1"] * len(self.parts()) if self.weights == "equal" else self.weights.split("+")
        try:
            weights = [float(text) for text in texts]
        except ValueError:
            raise BenchkitError(f"{where}: write numbers joined by +, such as 3+1, or equal") from None
        if len(weights) != len(self.parts()):
            raise BenchkitError(f"{where}: {len(weights)} for {len(self.parts())} corruptors: give one for each")
        if not all(math.isfinite(w) and w >= 0 for w in weights) or not sum(weights):
            raise BenchkitError(f"{where}: no weight may be negative, and one must be positive")
        return [weight / sum(weights) for weight in weights]

    def choose(self, rng: Noise) -> Tensor:
        """(N,) int64: the part of each image, from its own draw."""
        import torch  # here, so that listing plugins loads no torch

        ends = list(accumulate(self.shares()))
        # Divided by their last, so that rounding leaves no gap below 1 in which an unwanted part would be drawn.
        bounds = torch.tensor([end / ends[-1] for end in ends], dtype=torch.float64)
        # Each mixture has a stream of its own: one inside another would else see the very number that chose it.
        draws = rng.uniform((), stream=f"mixture {self.of} {self.weights}").double()
        return (draws[:, None] >= bounds[None]).sum(dim=1)


@hookimpl
def benchkit_corruptors() -> list[type[Corruptor]]:
    return [Mixture]
