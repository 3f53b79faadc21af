"""DDIM inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Ddim(Inverter):
    """DDIM inversion: eps is predicted at z_s instead of the unknown z_t (eq. 2). Equal to ReNoise with R = 0."""

    name = "ddim"

    def step(self, at: InversionContext) -> Tensor:
        return at.solve(at.eps(at.z_s))

    def network_evaluations(self, t: int) -> int:
        return 1


@hookimpl
def benchkit_inverters() -> list[type[Inverter]]:
    return [Ddim]
