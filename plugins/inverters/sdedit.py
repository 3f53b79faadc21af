"""SDEdit: no inversion, forward noise alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, add_noise, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SdEdit(Inverter):
    """Inverts nothing: forward-noises the whole latent at each level (eq. 4); shows what inversion buys.

    The noise is the image's own, at every level the same and the same that corruptors are given; so under this
    inverter `renoise-masked` changes nothing, by construction.
    """

    name = "sdedit"

    def uses_noise(self) -> bool:
        return True

    def step(self, at: InversionContext) -> Tensor:
        noise = at.rng.normal(tuple(at.z_0.shape[1:])).to(at.z_0)
        return add_noise(at.z_0, noise, at.alpha_bar)

    def network_evaluations(self, t: int) -> int:
        return 0


@hookimpl
def benchkit_inverters() -> list[type[Inverter]]:
    return [SdEdit]
