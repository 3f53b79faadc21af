"""ReNoise: the paper's inverter (Garibi et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, add_noise, hookimpl, invert_step, param

if TYPE_CHECKING:
    from torch import Tensor

    Eps = Callable[[Tensor], Tensor]

FIRST_REGIME_END = 250
FIRST_REGIME_ITERATIONS = 5


def renoise_regime(t: int, iterations: int) -> tuple[int, int, int]:
    """Return R, a and b at timestep t: ReNoise iterates R times and averages the eps_i with a <= i < b."""
    if t < FIRST_REGIME_END:
        return min(iterations, FIRST_REGIME_ITERATIONS), 0, 5
    return iterations, 8, 10


def renoise_step(
    eps: Eps,
    z_s: Tensor,
    phi: float,
    psi: float,
    t: int,
    iterations: int,
    regularised: Callable[[Tensor, int], Tensor] | None = None,
) -> Tensor:
    """Return z_t after one ReNoise step from z_s (Garibi et al. 2024, algorithm 1).

    eps(z): the noise predicted at t. iterations: R >= 0; 0 is DDIM inversion. regularised(eps_i, i): applied from i = a
    on to the estimate that updates the iterate, and finally (with i = R + 1) to the mean of the unregularised ones.
    """
    iterations, first, stop = renoise_regime(t, iterations)
    x, averaged = z_s, []
    for i in range(iterations + 1):
        estimate = eps(x)
        if first <= i < stop:
            averaged.append(estimate)
        if regularised is not None and i >= first:
            estimate = regularised(estimate, i)
        x = invert_step(z_s, estimate, phi, psi)
    if not averaged:
        return x
    mean = sum(averaged[1:], averaged[0]) / len(averaged)
    if regularised is not None:
        mean = regularised(mean, iterations + 1)
    return invert_step(z_s, mean, phi, psi)


@dataclass(frozen=True)
class ReNoise(Inverter):
    """ReNoise (Garibi et al. 2024): iterates eq. 2 and averages the noise estimates. The paper's inverter.

    Noise regularisation is off by default, unlike in its authors' examples. Its `target` is eps of the forward-noised
    z_0 (one noise per image for all steps) or, with target=identity, eps(z_0, t).
    """

    name = "renoise"
    iterations: int = param(
        1, ge=0, doc="renoise iterations R: 1 for SD and SDXL with 50 DDIM steps, 9 for few-step models"
    )
    regularise: bool = param(False, doc="regularise the noise estimates, as the authors' examples do")
    target: str = param("forward", choices=("forward", "identity"), doc="target of the regularisation")

    def uses_noise(self) -> bool:
        return self.regularise

    def step(self, at: InversionContext) -> Tensor:
        regularised = self._regulariser(at) if self._regularises(at.t) else None
        return renoise_step(at.eps, at.z_s, at.phi, at.psi, at.t, self.iterations, regularised)

    def network_evaluations(self, t: int) -> int:
        iterations, _, _ = renoise_regime(t, self.iterations)
        return iterations + 1 + self._regularises(t)

    def _regularises(self, t: int) -> bool:
        iterations, first, _ = renoise_regime(t, self.iterations)
        return self.regularise and iterations >= first

    def _regulariser(self, at: InversionContext) -> Callable[[Tensor, int], Tensor]:
        from benchkit_plugins.inverters import _regularise as regularise

        if self.target == "identity":
            target = at.eps(at.z_0)
        else:
            # A separate stream, because this noise must not be the one that corruptors put inside the mask.
            noise = at.rng.normal(tuple(at.z_0.shape[1:]), stream="renoise-forward").to(at.z_0)
            target = at.eps(add_noise(at.z_0, noise, at.alpha_bar))
        channels, height, width = at.z_s.shape[1:]
        levels = regularise.pyramid_levels(height, width)
        shape = (regularise.ROUNDS, regularise.CORRELATION_STEPS, channels, levels)

        def regularised(eps: Tensor, i: int) -> Tensor:
            draws = at.rng.uniform(shape, stream=f"renoise-rolls/{at.t}/{i}")
            return regularise.regularise_noise(eps, target, draws.to(eps.device))

        return regularised


@hookimpl
def benchkit_inverters() -> list[type[Inverter]]:
    return [ReNoise]
