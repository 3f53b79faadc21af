"""The inversion of a batch of images: from clean latents to noisier ones along the DDIM trajectory (eq. 2).

Inverters are plugins that take one step. This module walks the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, Noise
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.diffusion.schedule import Predict, Schedule

    Eps = Callable[[Tensor], Tensor]


def trajectory(
    inverter: Inverter,
    predict: Predict,
    schedule: Schedule,
    z_0: Tensor,
    rng: Noise,
    start: tuple[int, Tensor] | None,
    steps: int,
) -> list[Tensor]:
    """The inverted latents of the steps after `start` up to `steps`, in order, each (N, C, h, w).

    predict(z, t): eps with the captions bound. start: a number of steps and the latents there, to go on from what an
    earlier call reached; None is (0, z_0). An empty list if nothing is left to do. Raises BenchkitError for a step
    that the schedule lacks or that lies beyond `steps`, PluginError if the inverter breaks its contract.
    """
    from benchkit.diffusion.checks import call

    done, z = start or (0, z_0)
    if not 0 <= done <= schedule.check_steps(steps):
        raise BenchkitError(f"cannot continue to {steps} steps from step {done}")
    trajectory = []
    for k in range(done + 1, steps + 1):
        t = schedule.t(k)
        phi, psi = schedule.coefficients(k)
        at = InversionContext(
            z_s=z.clone(),  # copies: a step that works in place must not alter the latents already handed out
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
        trajectory.append(z)
    return trajectory


def _at_timestep(predict: Predict, t: int) -> Eps:
    return lambda z: predict(z, t)
