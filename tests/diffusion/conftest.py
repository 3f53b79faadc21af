"""What the diffusion tests share: published constants, exact noise predictions, a tiny checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchkit.diffusion.schedule import Schedule
from tests.helpers.tiny_checkpoint import SD1


@pytest.fixture
def sd1() -> dict[str, Any]:
    return dict(SD1)


@pytest.fixture
def schedule() -> Schedule:
    return Schedule.from_scheduler(SD1)


@pytest.fixture
def gaussian_slope(schedule: Schedule) -> Callable[[int], float]:
    """c of the exact eps(z, t) = c z of data z_0 ~ N(0, 0.8^2)."""

    def slope(t: int) -> float:
        alpha_bar = schedule.alpha_bar[schedule.timesteps.index(t) + 1]
        return math.sqrt(1 - alpha_bar) / (alpha_bar * 0.8**2 + 1 - alpha_bar)

    return slope


@pytest.fixture
def gaussian(gaussian_slope: Callable[[int], float]) -> Callable[[Tensor, int], Tensor]:
    """The exact eps of Gaussian data."""
    return lambda z, t: gaussian_slope(t) * z


@pytest.fixture
def wavy(gaussian_slope: Callable[[int], float]) -> Callable[[Tensor, int], Tensor]:
    """A nonlinear eps, near the Gaussian's, that mixes neighbouring cells but no two images."""
    return lambda z, t: gaussian_slope(t) * (z + 0.4 * torch.sin(2 * z + t) + 0.2 * torch.roll(z, 1, -1))
