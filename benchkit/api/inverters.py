"""Inverters: they map clean latents to noisier ones, one step at a time (eq. 2)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchkit.api.ddim import invert_step
from benchkit.api.plugin import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchkit.api.noise import Noise


@dataclass(frozen=True)
class InversionContext:
    """One inversion step from z_s (step k - 1, counted from the clean end) to z_t (step k), eq. 2.

    z_s, z_0: the current and the clean latents, (N, C, h, w) float32. eps(z): the noise predicted at timestep `t` for
    latents z. predict(z, t): the same at any timestep. phi, psi: coefficients of the step. alpha_bar: cumulative alpha
    of z_t. rng: the images' noise.
    """

    z_s: Tensor
    z_0: Tensor
    eps: Callable[[Tensor], Tensor]
    predict: Callable[[Tensor, int], Tensor]
    t: int
    phi: float
    psi: float
    alpha_bar: float
    rng: Noise

    def solve(self, eps: Tensor) -> Tensor:
        """Return z_t = (z_s - psi eps) / phi, eq. 2 for a given noise estimate (`invert_step`)."""
        return invert_step(self.z_s, eps, self.phi, self.psi)


class Inverter(Plugin):
    """Base class of inverters: from z_0 along the trajectory z_1 ... z_steps, one step at a time."""

    kind: ClassVar[str] = "inverter"

    def uses_noise(self) -> bool:
        """Return whether `step` draws from at.rng, so that the trajectory depends on the seed."""
        return False

    @abstractmethod
    def step(self, at: InversionContext) -> Tensor:
        """Return z_t, (N, C, h, w); each image must be independent of the others in the batch."""

    @abstractmethod
    def network_evaluations(self, t: int) -> int:
        """Return the network evaluations per image of the step to timestep t, an upper bound if it depends on data."""
