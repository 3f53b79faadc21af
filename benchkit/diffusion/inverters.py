"""Inverters: from clean latents to noisier ones along the DDIM trajectory (eq. 2).

The pure functions come first, each beside its equation; the plugins that feed them follow. Being plugins, they are
imported whenever plugins are listed; so whatever needs torch is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, Noise, hookimpl, param
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.diffusion.schedule import Predict, Schedule

    Eps = Callable[[Tensor], Tensor]

FIRST_REGIME_END = 250
FIRST_REGIME_ITERATIONS = 5


def renoise_regime(t: int, iterations: int) -> tuple[int, int, int]:
    """R, a and b at timestep t: how often ReNoise iterates, and that it averages the eps_i with a <= i < b."""
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
    """One ReNoise step from z_s to z_t (Garibi et al. 2024, algorithm 1).

    eps(z): the noise predicted at t. iterations: R >= 0; 0 is plain DDIM inversion. regularised(eps_i, i): applied to
    what moves the iterate, from i = a on, and once more (with i = R + 1) to the mean of the raw estimates.
    """
    iterations, first, stop = renoise_regime(t, iterations)
    x, averaged = z_s, []
    for i in range(iterations + 1):
        estimate = eps(x)
        if first <= i < stop:
            averaged.append(estimate)
        if regularised is not None and i >= first:
            estimate = regularised(estimate, i)
        x = (z_s - psi * estimate) / phi
    if not averaged:
        return x
    mean = sum(averaged[1:], averaged[0]) / len(averaged)
    if regularised is not None:
        mean = regularised(mean, iterations + 1)
    return (z_s - psi * mean) / phi


def trajectory(
    inverter: Inverter,
    predict: Predict,
    schedule: Schedule,
    z_0: Tensor,
    rng: Noise,
    start: tuple[int, Tensor] | None,
    steps: int,
) -> list[Tensor]:
    """The inverted latents of the levels after `start` up to `steps`, in order, each (N, C, h, w).

    predict(z, t): eps with the captions bound. start: a level and its latents, to go on from what an earlier call
    reached; None is (0, z_0). An empty list if nothing is left to do. Raises BenchkitError for a level that the
    schedule lacks or that lies beyond `steps`, PluginError if the inverter breaks its contract.
    """
    from benchkit.diffusion.checks import call

    level, z = start or (0, z_0)
    if not 0 <= level <= schedule.check_level(steps):
        raise BenchkitError(f"cannot continue to {steps} steps from level {level}")
    levels = []
    for k in range(level + 1, steps + 1):
        t = schedule.t(k)
        phi, psi = schedule.coefficients(k)
        at = InversionContext(
            z_s=z.clone(),  # copies: a step that works in place must not alter the levels already handed out
            z_0=z_0.clone(),
            eps=_at_timestep(predict, t),
            predict=predict,
            t=t,
            phi=phi,
            psi=psi,
            alpha_bar=schedule.alpha_bar[k],
            rng=rng,
        )
        z = call(inverter, partial(inverter.step, at), like=z)
        levels.append(z)
    return levels


def _at_timestep(predict: Predict, t: int) -> Eps:
    return lambda z: predict(z, t)


@dataclass(frozen=True)
class Ddim(Inverter):
    """Plain DDIM inversion: eps is taken at z_s instead of at the unknown z_t (ReNoise with R = 0)."""

    name = "ddim"

    def step(self, at: InversionContext) -> Tensor:
        return at.solve(at.eps(at.z_s))

    def forwards(self, t: int) -> int:
        return 1


@dataclass(frozen=True)
class ReNoise(Inverter):
    """ReNoise (Garibi et al. 2024): iterate eq. 2 and average the noise estimates. The paper's inverter.

    Regularisation is off by default, unlike in its authors' examples; with it, `target` says what the patch
    statistics are held to: eps of the forward-noised z_0 (one noise per image for all steps), or eps(z_0, t).
    """

    name = "renoise"
    iterations: int = param(1, ge=0, doc="renoise iterations R; 1 for SD and SDXL with DDIM-50, 9 for few-step models")
    regularise: bool = param(False, doc="regularise the noise estimates as the authors' examples do")
    target: str = param("forward", choices=("forward", "identity"), doc="what regularisation compares with")

    def uses_noise(self) -> bool:
        return self.regularise

    def step(self, at: InversionContext) -> Tensor:
        regularised = self._regulariser(at) if self._regularises(at.t) else None
        return renoise_step(at.eps, at.z_s, at.phi, at.psi, at.t, self.iterations, regularised)

    def forwards(self, t: int) -> int:
        iterations, _, _ = renoise_regime(t, self.iterations)
        return iterations + 1 + self._regularises(t)

    def _regularises(self, t: int) -> bool:
        iterations, first, _ = renoise_regime(t, self.iterations)
        return self.regularise and iterations >= first

    def _regulariser(self, at: InversionContext) -> Callable[[Tensor, int], Tensor]:
        from benchkit.diffusion import regularise

        target = at.eps(self._target_latents(at))
        channels, height, width = at.z_s.shape[1:]
        levels = regularise.pyramid_levels(height, width)
        shape = (regularise.ROUNDS, regularise.CORRELATION_STEPS, channels, levels)

        def regularised(eps: Tensor, i: int) -> Tensor:
            draws = at.rng.uniform(shape, stream=f"renoise-rolls/{at.t}/{i}")
            return regularise.regularise_noise(eps, target, draws.to(eps.device))

        return regularised

    def _target_latents(self, at: InversionContext) -> Tensor:
        from benchkit.diffusion.schedule import add_noise

        if self.target == "identity":
            return at.z_0
        # A stream of its own: this noise must not be the one a corruptor puts inside the mask.
        noise = at.rng.normal(tuple(at.z_0.shape[1:]), stream="renoise-forward").to(at.z_0)
        return add_noise(at.z_0, noise, at.alpha_bar)


@dataclass(frozen=True)
class FixedPoint(Inverter):
    """Solves eq. 2 for z_t to a tolerance, so that resampling returns to the start: the test of all the rest.

    Anderson-accelerated; an image that has converged stays as it is while its neighbours go on. One that does not
    converge within max_iterations keeps the iterate nearest to a solution.
    """

    name = "fixed-point"
    tolerance: float = param(1e-5, gt=0, doc="root mean square of the last change of an image, in latent units")
    max_iterations: int = param(50, ge=1, doc="network forwards a step may cost an image")
    memory: int = param(3, ge=0, doc="earlier iterates Anderson acceleration combines; 0 is plain iteration")

    def step(self, at: InversionContext) -> Tensor:
        from benchkit.diffusion.anderson import fixed_point

        def update(x: Tensor) -> Tensor:
            return at.solve(at.eps(x))

        return fixed_point(update, at.z_s, self.tolerance, self.max_iterations, self.memory)

    def forwards(self, t: int) -> int:
        return self.max_iterations


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
        from benchkit.diffusion.schedule import add_noise

        noise = at.rng.normal(tuple(at.z_0.shape[1:])).to(at.z_0)
        return add_noise(at.z_0, noise, at.alpha_bar)

    def forwards(self, t: int) -> int:
        return 0


@hookimpl
def benchkit_inverters() -> list[type[Inverter]]:
    """The built-in inverters."""
    return [ReNoise, Ddim, FixedPoint, SdEdit]
