"""SDEdit: forward noise instead of inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, add_noise, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SdEdit(Inverter):
    """Adds forward noise to the whole latent (eq. 4) instead of inverting it: a control for inversion.

    The noise is the same at every step, and the same that corruptors receive. So with this inverter `renoise-masked`
    changes nothing.
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
