"""The DDIM step and its inverse against the predicted clean latents of the DDIM paper."""

from __future__ import annotations

import torch

from benchkit.api import denoise_step, invert_step
from benchkit.testing.worlds import draws, schedule


def test_a_step_moves_the_predicted_clean_latents_to_the_next_noise_level() -> None:
    levels, k = schedule(), 20
    a_s, a_t = levels.alpha_bar[k - 1], levels.alpha_bar[k]
    z_t, eps = draws(2, 4, 8, 8, "z").double(), draws(2, 4, 8, 8, "eps").double()
    z_0 = (z_t - (1 - a_t) ** 0.5 * eps) / a_t**0.5
    expected = a_s**0.5 * z_0 + (1 - a_s) ** 0.5 * eps
    z_s = denoise_step(z_t, eps, *levels.coefficients(k))
    assert torch.allclose(z_s, expected, atol=1e-12)
    assert torch.allclose(invert_step(z_s, eps, *levels.coefficients(k)), z_t, atol=1e-12)
