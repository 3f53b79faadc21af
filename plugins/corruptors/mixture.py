"""A mixture of corruptors: one of them, drawn by weight, corrupts each image."""

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
    """Corrupts each image by one of the corruptors in `of`, which is drawn by `weights`.

    An image is the same as that corruptor makes alone. Corruptors may differ in space and in steps. No paper proposes
    this. Raises BenchkitError for fewer than two corruptors and for weights that do not fit them.
    """

    name = "mixture"
    of: str = param("renoise-masked:steps=10+gaussian:steps=10", doc="corruptors, A+B or A+(B:key=value,key=value)")
    weights: str = param("equal", doc="one weight per corruptor, such as 3+1; or `equal`")

    def __post_init__(self) -> None:
        if len(self.parts()) < 2:
            raise BenchkitError(f"corruptor 'mixture': of={self.of} is one corruptor: join two or more by +")
        self.probabilities()

    def parts(self) -> tuple[str, ...]:
        return split_parts(self.of)

    def probabilities(self) -> list[float]:
        """Return the probability of each part."""
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
        """Return the part of each image, (N,) int64, from the image's own draw."""
        import torch  # here, so that listing plugins loads no torch

        ends = list(accumulate(self.probabilities()))
        # Dividing by the last end removes a rounding gap below 1, in which a part of weight 0 could be drawn.
        bounds = torch.tensor([end / ends[-1] for end in ends], dtype=torch.float64)
        # Each mixture has its own stream; otherwise a mixture inside another one would reuse the draw that chose it.
        draws = rng.uniform((), stream=f"mixture {self.of} {self.weights}").double()
        return (draws[:, None] >= bounds[None]).sum(dim=1)


@hookimpl
def benchkit_corruptors() -> list[type[Corruptor]]:
    return [Mixture]
