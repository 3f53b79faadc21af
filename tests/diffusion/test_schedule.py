"""The schedule against the published constants of SD 1.x and against diffusers' own DDIM."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from benchkit.api import add_noise
from benchkit.diffusion.resample import resample
from benchkit.diffusion.schedule import Schedule, to_epsilon
from benchkit.errors import BenchkitError

diffusers = pytest.importorskip("diffusers")


def ddim(config: dict[str, Any], steps: int) -> Any:
    scheduler = diffusers.DDIMScheduler(**config)
    scheduler.set_timesteps(steps)
    return scheduler


def test_constants_of_sd1(schedule: Schedule) -> None:
    assert schedule.steps == 50
    assert schedule.timesteps[:3] == (1, 21, 41)
    assert schedule.timesteps[-1] == 981
    # alphas_cumprod of SD 1.x begins 0.99915, 0.998296 and ends 0.0047.
    assert schedule.alpha_bar[0] == pytest.approx(0.99915, abs=1e-9)
    assert schedule.alpha_bar[1] == pytest.approx(0.998296, abs=1e-6)
    full = Schedule.from_scheduler(diffusers.DDIMScheduler(**{**SD1_LIKE, "steps_offset": 0}), 1000)
    assert full.alpha_bar[-1] == pytest.approx(0.004660, abs=1e-6)
    # So the familiar sigma_max = 14.6146, and sigma_min = 0.0292.
    assert math.sqrt(1 / full.alpha_bar[-1] - 1) == pytest.approx(14.6146, abs=1e-3)
    assert math.sqrt(1 / full.alpha_bar[1] - 1) == pytest.approx(0.02917, abs=1e-5)


SD1_LIKE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "sd1": {},
    "alpha to one": {"set_alpha_to_one": True, "steps_offset": 0},
    "trailing": {"timestep_spacing": "trailing"},
    "linspace": {"timestep_spacing": "linspace"},
    "linear": {"beta_schedule": "linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2", "steps_offset": 0},
    "zero snr": {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
    "zero snr leading": {"rescale_betas_zero_snr": True},
    "trained": {"trained_betas": [0.001 + 0.00001 * i for i in range(1000)]},
}


@pytest.mark.parametrize("steps", [1, 2, 7, 10, 50, 333])
@pytest.mark.parametrize("variant", VARIANTS)
def test_levels_are_those_of_diffusers(variant: str, steps: int) -> None:
    config = {**SD1_LIKE, **VARIANTS[variant]}
    scheduler = ddim(config, steps)
    ours = Schedule.from_scheduler(scheduler, steps)
    assert ours.timesteps == tuple(reversed(scheduler.timesteps.tolist()))
    theirs = [float(scheduler.final_alpha_cumprod), *(float(scheduler.alphas_cumprod[t]) for t in ours.timesteps)]
    assert ours.alpha_bar == pytest.approx(theirs, rel=1e-4, abs=2e-7)
    assert Schedule.from_scheduler(dict(scheduler.config), steps) == ours


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("variant", ["sd1", "alpha to one", "trailing", "linear", "cosine", "trained"])
def test_sampling_loop_is_that_of_diffusers(variant: str, prediction: str) -> None:
    config = {**SD1_LIKE, **VARIANTS[variant], "prediction_type": prediction}
    scheduler = ddim(config, 50)
    ours = Schedule.from_scheduler(scheduler)
    start = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0))

    def network(z: Tensor, t: int) -> Tensor:
        return torch.tanh(0.7 * z + 0.1 * math.sin(t))

    expected = start
    for t in scheduler.timesteps.tolist():
        expected = scheduler.step(network(expected, t), t, expected).prev_sample
    alpha_bar = dict(zip(ours.timesteps, ours.alpha_bar[1:], strict=True))
    z = resample(lambda z, t: to_epsilon(network(z, t), z, alpha_bar[t], ours.prediction), ours, start, ours.steps)
    # Predicted samples divide by sqrt(1 - alpha_bar), where diffusers' alphas, float32, have lost digits.
    tolerance = 3e-5 if prediction == "sample" else 1e-5
    assert (z - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize(("spacing", "steps"), [("linspace", 50), ("linspace", 7), ("trailing", 7), ("leading", 7)])
def test_each_step_is_that_of_diffusers_between_true_neighbours(spacing: str, steps: int) -> None:
    """diffusers takes t - 1000 // S for t's predecessor, whichever timestep really came before."""
    scheduler = ddim({**SD1_LIKE, "timestep_spacing": spacing}, steps)
    ours = Schedule.from_scheduler(scheduler, steps)
    z, eps = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for k in range(2, ours.steps + 1):
        gap = ours.t(k) - ours.t(k - 1)
        scheduler.num_inference_steps = Fraction(1000, gap)  # so that diffusers' subtraction finds the neighbour
        expected = scheduler.step(eps, ours.t(k), z).prev_sample
        phi, psi = ours.coefficients(k)
        assert torch.allclose(phi * z + psi * eps, expected, atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_every_prediction_stands_for_the_noise_that_was_added(prediction: str) -> None:
    z_0, noise = torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)
    a = 0.37
    z_t = add_noise(z_0, noise, a)
    output = {
        "epsilon": noise,
        "v_prediction": math.sqrt(a) * noise - math.sqrt(1 - a) * z_0,
        "sample": z_0,
    }[prediction]
    assert torch.allclose(to_epsilon(output, z_t, a, prediction), noise)  # type: ignore[arg-type]


def test_noising_agrees_with_diffusers(sd1: dict[str, Any]) -> None:
    scheduler = ddim(sd1, 50)
    ours = Schedule.from_scheduler(scheduler)
    z_0, noise = torch.randn(2, 1, 4, 8, 8)
    expected = scheduler.add_noise(z_0, noise, torch.tensor([ours.t(10)]))
    assert torch.allclose(add_noise(z_0, noise, ours.alpha_bar[10]), expected, atol=1e-6)


def test_a_step_of_the_true_noise_moves_along_the_trajectory(schedule: Schedule) -> None:
    z_0, noise = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64)
    for k in (1, 2, 25, 50):
        z_t = add_noise(z_0, noise, schedule.alpha_bar[k])
        z_s = add_noise(z_0, noise, schedule.alpha_bar[k - 1])
        phi, psi = schedule.coefficients(k)
        assert torch.allclose(phi * z_t + psi * noise, z_s)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"clip_sample": True}, "clip_sample"),
        ({"thresholding": True}, "thresholding"),
        ({"prediction_type": "flow_prediction"}, "flow_prediction"),
        ({"beta_schedule": "exp"}, "beta_schedule"),
        ({"timestep_spacing": "karras"}, "timestep_spacing"),
    ],
)
def test_a_scheduler_that_cannot_be_inverted_is_refused(sd1: dict[str, Any], change: dict[str, Any], word: str) -> None:
    with pytest.raises(BenchkitError, match=word):
        Schedule.from_scheduler({**sd1, **change})


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_step_counts_are_refused(sd1: dict[str, Any], steps: int) -> None:
    with pytest.raises(BenchkitError, match="1000"):
        Schedule.from_scheduler(sd1, steps)


def test_an_offset_beyond_the_last_timestep_is_refused(sd1: dict[str, Any]) -> None:
    with pytest.raises(BenchkitError, match="steps_offset"):
        Schedule.from_scheduler(sd1, 1000)


def test_levels_outside_the_schedule_are_refused(schedule: Schedule) -> None:
    for bad in (lambda: schedule.t(0), lambda: schedule.t(51), lambda: schedule.coefficients(0)):
        with pytest.raises(BenchkitError, match="50"):
            bad()


def test_a_level_without_signal_is_refused(sd1: dict[str, Any]) -> None:
    schedule = Schedule.from_scheduler({**sd1, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"})
    assert schedule.alpha_bar[-1] == 0
    assert all(math.isfinite(value) for value in schedule.coefficients(49))
    with pytest.raises(BenchkitError, match="rescale_betas_zero_snr"):
        schedule.coefficients(50)


def test_a_schedule_is_hashable_and_remembers_its_prediction(sd1: dict[str, Any]) -> None:
    a, b = (Schedule.from_scheduler({**sd1, "prediction_type": "v_prediction"}) for _ in range(2))
    assert hash(a) == hash(b)
    assert a == b
    assert a.prediction == "v_prediction"
