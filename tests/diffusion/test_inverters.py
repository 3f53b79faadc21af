"""Inverters against the closed form of Gaussian data, their own recursion, and each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from benchkit.api import InversionContext, Inverter
from benchkit.diffusion.inversion import compute_trajectory
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.resample import resample
from benchkit.diffusion.schedule import Schedule
from benchkit.errors import BenchkitError, PluginError
from benchkit_plugins.inverters._anderson import fixed_point
from benchkit_plugins.inverters.ddim import Ddim
from benchkit_plugins.inverters.fixed_point import FixedPoint
from benchkit_plugins.inverters.renoise import ReNoise, renoise_step
from benchkit_plugins.inverters.sdedit import SdEdit

Predict = Callable[[Tensor, int], Tensor]
IDS = ["a", "b", "c"]
ALL = [
    Ddim(),
    ReNoise(),
    ReNoise(iterations=9),
    ReNoise(regularise=True),
    ReNoise(iterations=9, regularise=True, target="identity"),
    FixedPoint(),
    SdEdit(),
]


def latents(count: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.8 * torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(7)).to(dtype)


def invert(inverter: Inverter, predict: Predict, schedule: Schedule, z_0: Tensor, steps: int) -> list[Tensor]:
    return compute_trajectory(inverter, predict, schedule, z_0, ImageNoise(0, IDS[: len(z_0)]), None, steps)


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


@pytest.mark.parametrize("iterations", [0, 1, 3, 5, 9, 12])
def test_renoise_is_its_scalar_recursion(
    schedule: Schedule, gaussian: Predict, gaussian_slope: Callable[[int], float], iterations: int
) -> None:
    """For eps = c z every iterate is a multiple of z_s, so the whole trajectory is one number."""
    z_0 = latents(dtype=torch.float64)
    levels = invert(ReNoise(iterations=iterations), gaussian, schedule, z_0, 50)
    gain = 1.0
    for k, z in enumerate(levels, start=1):
        t, c = schedule.t(k), gaussian_slope(schedule.t(k))
        a_s, a_t = schedule.alpha_bar[k - 1], schedule.alpha_bar[k]
        phi = (a_s / a_t) ** 0.5
        psi = (1 - a_s) ** 0.5 - phi * (1 - a_t) ** 0.5
        rounds, first, stop = (min(iterations, 5), 0, 5) if t < 250 else (iterations, 8, 10)
        x, estimates = 1.0, []
        for _ in range(rounds + 1):
            estimates.append(c * x)
            x = (1 - psi * estimates[-1]) / phi
        if kept := estimates[first:stop]:
            x = (1 - psi * sum(kept) / len(kept)) / phi
        gain *= x
        assert torch.allclose(z, gain * z_0, rtol=1e-12, atol=0)


def test_renoise_without_iterations_is_ddim_bit_for_bit(schedule: Schedule, wavy: Predict) -> None:
    z_0 = latents()
    ours, plain = (invert(i, wavy, schedule, z_0, 50) for i in (ReNoise(iterations=0), Ddim()))
    assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))


def test_ddim_is_equation_2_with_eps_at_the_cleaner_latent(schedule: Schedule, wavy: Predict) -> None:
    z = latents(dtype=torch.float64)
    for k, level in enumerate(invert(Ddim(), wavy, schedule, z, 50), start=1):
        phi, psi = schedule.coefficients(k)
        z = (z - psi * wavy(z, schedule.t(k))) / phi
        assert torch.allclose(level, z)


@pytest.mark.parametrize("memory", [0, 1, 3])
def test_fixed_point_solves_equation_2(
    schedule: Schedule, gaussian: Predict, gaussian_slope: Callable[[int], float], memory: int
) -> None:
    """With eps = c z, eq. 2 reads z_t = z_s / (phi + psi c)."""
    z_0 = latents(dtype=torch.float64)
    levels = invert(FixedPoint(tolerance=1e-13, memory=memory), gaussian, schedule, z_0, 50)
    gain = 1.0
    for k, z in enumerate(levels, start=1):
        phi, psi = schedule.coefficients(k)
        gain /= phi + psi * gaussian_slope(schedule.t(k))
        assert torch.allclose(z, gain * z_0, rtol=1e-11)


@pytest.mark.parametrize(("steps", "bound"), [(10, 1e-9), (20, 1e-9), (50, 1e-8)])
def test_fixed_point_returns_to_the_start(schedule: Schedule, wavy: Predict, steps: int, bound: float) -> None:
    z_0 = latents(dtype=torch.float64)
    z_t = invert(FixedPoint(tolerance=1e-12), wavy, schedule, z_0, steps)[-1]
    assert rms(z_t - z_0) > 0.01
    assert rms(resample(wavy, schedule, z_t, steps) - z_0) < bound


def test_fixed_point_returns_at_float32_and_default_settings(schedule: Schedule, wavy: Predict) -> None:
    z_0 = latents()
    z_t = invert(FixedPoint(), wavy, schedule, z_0, 20)[-1]
    assert rms(resample(wavy, schedule, z_t, 20) - z_0) < 2e-4


def test_each_remedy_returns_nearer_than_ddim(schedule: Schedule, wavy: Predict) -> None:
    z_0 = latents(dtype=torch.float64)

    def error(inverter: Inverter) -> float:
        return rms(resample(wavy, schedule, invert(inverter, wavy, schedule, z_0, 10)[-1], 10) - z_0)

    ddim, renoise, exact, sdedit = (error(i) for i in (Ddim(), ReNoise(), FixedPoint(tolerance=1e-10), SdEdit()))
    assert exact < 1e-6 < renoise < ddim < sdedit


def test_sdedit_is_forward_noising_with_the_image_noise(schedule: Schedule, gaussian: Predict) -> None:
    z_0, rng = latents(), ImageNoise(0, IDS)
    for k, z in enumerate(invert(SdEdit(), gaussian, schedule, z_0, 50), start=1):
        a = schedule.alpha_bar[k]
        assert torch.allclose(z, a**0.5 * z_0 + (1 - a) ** 0.5 * rng.normal((4, 8, 8)), atol=1e-6)


@pytest.mark.parametrize("inverter", ALL, ids=str)
def test_a_trajectory_continues_from_any_level_bit_for_bit(
    schedule: Schedule, wavy: Predict, inverter: Inverter
) -> None:
    z_0, rng = latents(), ImageNoise(0, IDS)
    whole = compute_trajectory(inverter, wavy, schedule, z_0, rng, None, 4)
    assert len(whole) == 4
    rest = compute_trajectory(inverter, wavy, schedule, z_0, rng, (2, whole[1]), 4)
    assert len(rest) == 2
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[2:], strict=True))
    assert compute_trajectory(inverter, wavy, schedule, z_0, rng, (4, whole[-1]), 4) == []


@pytest.mark.parametrize("inverter", ALL, ids=str)
def test_no_image_depends_on_its_neighbours(schedule: Schedule, wavy: Predict, inverter: Inverter) -> None:
    z_0 = latents()
    z_0[1] *= 3 if inverter.uses_noise() else 30  # a neighbour that converges later, if at all
    together = invert(inverter, wavy, schedule, z_0, 2)[-1]
    order = [2, 0]
    rng = ImageNoise(0, [IDS[i] for i in order])
    apart = compute_trajectory(inverter, wavy, schedule, z_0[order], rng, None, 2)[-1]
    assert torch.equal(apart, together[order])


@pytest.mark.parametrize("inverter", ALL, ids=str)
def test_forwards_are_counted_exactly(sd1: dict[str, Any], inverter: Inverter) -> None:
    # Timesteps 1, 251, 501 and 751: both of ReNoise's regimes.
    schedule, calls = Schedule.from_scheduler(sd1, 4), []
    unit_noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))

    def counting(z: Tensor, t: int) -> Tensor:
        calls.append(t)
        return unit_noise + 0.1 * z

    invert(inverter, counting, schedule, latents(), 4)
    for t in schedule.timesteps:
        if isinstance(inverter, FixedPoint):
            assert 1 <= calls.count(t) <= inverter.network_evaluations(t) == 50
        else:
            assert calls.count(t) == inverter.network_evaluations(t)


def test_forwards_by_hand() -> None:
    assert [ReNoise(iterations=r).network_evaluations(201) for r in (0, 1, 5, 9)] == [1, 2, 6, 6]
    assert [ReNoise(iterations=r).network_evaluations(261) for r in (0, 1, 5, 9)] == [1, 2, 6, 10]
    # The regularisation's target costs one more, where something is regularised.
    assert ReNoise(iterations=1, regularise=True).network_evaluations(201) == 3
    assert ReNoise(iterations=1, regularise=True).network_evaluations(261) == 2
    assert ReNoise(iterations=8, regularise=True).network_evaluations(261) == 10
    assert (Ddim().network_evaluations(1), SdEdit().network_evaluations(1)) == (1, 0)


def test_what_uses_noise_says_so(schedule: Schedule, wavy: Predict) -> None:
    z_0 = latents()
    for inverter in ALL:
        noises = (ImageNoise(seed, IDS) for seed in (0, 1))
        first, second = (compute_trajectory(inverter, wavy, schedule, z_0, rng, None, 2)[-1] for rng in noises)
        assert torch.equal(first, second) != inverter.uses_noise()


@pytest.mark.parametrize("target", ["forward", "identity"])
def test_regularisation_follows_its_recipe(schedule: Schedule, wavy: Predict, target: str) -> None:
    """Spelt out at one step: the iterate moves by regularised estimates, the mean takes raw ones."""
    from benchkit_plugins.inverters._regularise import regularise_noise

    z_0, rng, k = latents(dtype=torch.float64), ImageNoise(0, IDS), 3
    t, a = schedule.t(k), schedule.alpha_bar[k]
    phi, psi = schedule.coefficients(k)
    z_s = z_0 + 0.1
    forward = a**0.5 * z_0 + (1 - a) ** 0.5 * rng.normal((4, 8, 8), "renoise-forward").double()
    goal = wavy(forward if target == "forward" else z_0, t)

    def regularised(eps: Tensor, i: int) -> Tensor:
        return regularise_noise(eps, goal, rng.uniform((4, 5, 4, 1), f"renoise-rolls/{t}/{i}"))

    e_0 = wavy(z_s, t)
    e_1 = wavy((z_s - psi * regularised(e_0, 0)) / phi, t)
    expected = (z_s - psi * regularised((e_0 + e_1) / 2, 2)) / phi
    at = InversionContext(
        z_s=z_s, z_0=z_0, eps=lambda z: wavy(z, t), predict=wavy, t=t, phi=phi, psi=psi, alpha_bar=a, rng=rng
    )
    result = ReNoise(regularise=True, target=target).step(at)
    assert torch.allclose(result, expected, rtol=1e-12)
    assert not torch.allclose(result, ReNoise().step(at))


def test_nothing_is_regularised_before_the_averages_begin() -> None:
    """Timestep 250 or later: a = 8."""
    seen: list[int] = []

    def regularised(eps: Tensor, i: int) -> Tensor:
        seen.append(i)
        return eps

    z = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    plain = renoise_step(lambda x: 0.3 * x, z, 1.1, -0.2, 250, 9)
    assert torch.equal(renoise_step(lambda x: 0.3 * x, z, 1.1, -0.2, 250, 9, regularised), plain)
    assert seen == [8, 9, 10]
    assert ReNoise(regularise=True, iterations=7).network_evaluations(250) == 8


def test_levels_that_do_not_exist_are_refused(schedule: Schedule, wavy: Predict) -> None:
    z_0, rng = latents(), ImageNoise(0, IDS)
    for start, steps in ((None, 51), ((12, z_0), 10), ((-1, z_0), 10)):
        with pytest.raises(BenchkitError):
            compute_trajectory(Ddim(), wavy, schedule, z_0, rng, start, steps)


@dataclass(frozen=True)
class Careless(Inverter):
    """Returns whatever it is told to."""

    name = "careless"
    result: object = None

    def step(self, at: InversionContext) -> Tensor:
        at.z_s.zero_()
        at.z_0.zero_()
        return self.result(at) if callable(self.result) else self.result  # type: ignore[return-value]

    def network_evaluations(self, t: int) -> int:
        return 0


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "NoneType"),
        (torch.zeros(3, 4, 8, 7), "shape"),
        (torch.zeros(3, 4, 8, 8, dtype=torch.float64), "float64"),
        (torch.full((3, 4, 8, 8), math.nan), "finite"),
        (lambda at: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_broken_inverter_is_named(schedule: Schedule, wavy: Predict, result: object, words: str) -> None:
    with pytest.raises(PluginError, match=f"inverter 'careless'.*{words}"):
        invert(Careless(result=result), wavy, schedule, latents(), 2)


def test_a_step_in_place_cannot_alter_levels_already_reached(schedule: Schedule, wavy: Predict) -> None:
    z_0 = latents()
    levels = invert(Careless(result=lambda at: at.z_s + at.t), wavy, schedule, z_0, 3)
    assert [float(z.mean()) for z in levels] == [1, 21, 41]
    assert torch.equal(z_0, latents())


def test_running_out_of_memory_is_not_the_plugins_fault(schedule: Schedule) -> None:
    def network(z: Tensor, t: int) -> Tensor:
        raise MemoryError

    with pytest.raises(MemoryError):
        invert(Ddim(), network, schedule, latents(), 1)


def test_anderson_solves_what_plain_iteration_cannot() -> None:
    """x = b - A x with eigenvalues up to 3 diverges when simply iterated."""
    diagonal = torch.linspace(0.5, 3, 12, dtype=torch.float64).view(1, 1, 3, 4)
    start = torch.ones(2, 1, 3, 4, dtype=torch.float64)

    def update(x: Tensor) -> Tensor:
        return start - diagonal * x

    solution = start / (1 + diagonal)
    assert torch.allclose(fixed_point(update, start, 1e-10, 50, memory=5), solution)
    assert rms(fixed_point(update, start, 1e-10, 50, memory=0) - solution) > 0.1


def test_a_network_gone_nan_shows() -> None:
    start = torch.ones(1, 1, 2, 2)
    assert bool(fixed_point(lambda x: x * math.nan, start, 1e-5, 5, memory=3).isnan().all())


def test_a_converged_image_costs_no_further_change() -> None:
    start = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    calls: list[Tensor] = []

    def update(x: Tensor) -> Tensor:
        calls.append(x.flatten().clone())
        return 0.5 * x

    fixed_point(update, start, 1e-6, 40, memory=0)
    assert len(calls) > 10
    assert all(float(call[0]) == 0 for call in calls)
