"""Fixed-point inversion: eq. 2 solved to a tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FixedPoint(Inverter):
    """Solves eq. 2 for z_t to a tolerance, so that resampling returns to the start: the test of all the rest.

    Anderson-accelerated; an image that has converged stays as it is while its neighbours go on. One that does not
    converge within max_iterations keeps the iterate nearest to a solution.
    """

    name = "fixed-point"
    tolerance: float = param(1e-5, gt=0, doc="root mean square of the last change of an image, in latent units")
    max_iterations: int = param(50, ge=1, doc="network evaluations a step may cost an image")
    memory: int = param(3, ge=0, doc="earlier iterates Anderson acceleration combines; 0 is plain iteration")

    def step(self, at: InversionContext) -> Tensor:
        from benchkit_plugins.inverters._anderson import fixed_point

        def update(x: Tensor) -> Tensor:
            return at.solve(at.eps(x))

        return fixed_point(update, at.z_s, self.tolerance, self.max_iterations, self.memory)

    def network_evaluations(self, t: int) -> int:
        return self.max_iterations


@hookimpl
def benchkit_inverters() -> list[type[Inverter]]:
    return [FixedPoint]
