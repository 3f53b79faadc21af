"""No corruption: the round trip, the control of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RoundTrip(LatentCorruptor):
    """Corrupts nothing: f = z_t. The image changes only by autoencoder, inversion and resampling."""

    name = "none"

    def corrupt(self, at: LatentContext) -> Tensor:
        return at.z_t


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [RoundTrip]
