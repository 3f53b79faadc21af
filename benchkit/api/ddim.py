"""One deterministic DDIM step and its inverse: the only place where both formulas stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def denoise_step(z_t: Tensor, eps: Tensor, phi: float, psi: float) -> Tensor:
    """Return z_s = phi z_t + psi eps, one DDIM step towards the clean end (eq. 6, eta = 0).

    z_t, eps: (N, C, h, w). phi, psi: coefficients of the step, from `Schedule.coefficients`.
    """
    return phi * z_t + psi * eps


def invert_step(z_s: Tensor, eps: Tensor, phi: float, psi: float) -> Tensor:
    """Return z_t = (z_s - psi eps) / phi, one DDIM inversion step for a given noise estimate (eq. 2).

    z_s, eps: (N, C, h, w). phi, psi: coefficients of the step, from `Schedule.coefficients`.
    """
    return (z_s - psi * eps) / phi
