"""Latent inversion: from clean latents to noisier ones, one inverter step at a time (eq. 2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchkit.api import InversionContext, Inverter, Noise
from benchkit.diffusion.checks import call
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.diffusion.schedule import Predict, Schedule


def compute_trajectory(
    inverter: Inverter,
    predict: Predict,
    schedule: Schedule,
    z_0: Tensor,
    rng: Noise,
    start: tuple[int, Tensor] | None,
    steps: int,
) -> list[Tensor]:
    """Return the inverted latents after each step beyond `start`, up to `steps`, each (N, C, h, w).

    predict(z, t): eps for the images' captions. start: (number of steps, latents there), to continue an earlier
    trajectory; None is (0, z_0). Raises BenchkitError if the schedule has fewer steps or `start` lies beyond `steps`,
    PluginError if the inverter breaks its contract.
    """
    done, z = start or (0, z_0)
    if not 0 <= done <= schedule.check_steps(steps):
        raise BenchkitError(f"cannot continue to {steps} steps from step {done}")
    trajectory = []
    for k in range(done + 1, steps + 1):
        t, (phi, psi) = schedule.t(k), schedule.coefficients(k)
        at = InversionContext(
            z_s=z.clone(),  # copies: an inverter that works in place must not change latents already returned
            z_0=z_0.clone(),
            eps=lambda z, t=t: predict(z, t),  # type: ignore[misc]
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
