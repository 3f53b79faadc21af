"""Fixed-point inversion: solve eq. 2 to a tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FixedPoint(Inverter):
    """Solves eq. 2 for z_t to a tolerance by Anderson-accelerated iteration, so that resampling returns to z_0.

    An image that does not converge within max_iterations gets the iterate with the smallest change.
    """

    name = "fixed-point"
    tolerance: float = param(1e-5, gt=0, doc="root mean square change of an image at which iteration stops")
    max_iterations: int = param(50, ge=1, doc="largest number of network evaluations per step and image")
    memory: int = param(3, ge=0, doc="earlier iterates that are combined; 0 is plain iteration")

    def step(self, at: InversionContext) -> Tensor:
        from benchkit_plugins.inverters._anderson import fixed_point

        return fixed_point(lambda x: at.solve(at.eps(x)), at.z_s, self.tolerance, self.max_iterations, self.memory)

    def network_evaluations(self, t: int) -> int:
        return self.max_iterations


@hookimpl
def benchkit_inverters() -> list[type[Inverter]]:
    return [FixedPoint]
