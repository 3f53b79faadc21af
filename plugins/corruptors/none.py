"""No corruption: the round trip through autoencoder, inversion and resampling, the control of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RoundTrip(LatentCorruptor):
    """Leaves z_t as it is; what changes is what autoencoder and inversion do by themselves."""

    name = "none"

    def corrupt(self, at: LatentContext) -> Tensor:
        return at.z_t


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [RoundTrip]
