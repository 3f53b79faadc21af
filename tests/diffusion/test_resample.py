"""Eq. 5 and eq. 6: the blend, resampling, and that no method depends on the other methods of a grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchkit.api import LatentContext, LatentCorruptor
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.pipeline import corrupt_latents
from benchkit.diffusion.resample import corrupt, corrupt_and_resample, resample
from benchkit.diffusion.schedule import Schedule
from benchkit.errors import BenchkitError, PluginError

Predict = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Says(LatentCorruptor):
    """Returns what its function makes of the context."""

    name = "says"
    work: Callable[[LatentContext], object] = lambda at: at.z_t
    steps: int = 3

    def corrupt(self, at: LatentContext) -> Tensor:
        return self.work(at)  # type: ignore[return-value]


def context(schedule: Schedule, level: int = 3, count: int = 5) -> LatentContext:
    generator = torch.Generator().manual_seed(0)
    z_t, z_0 = torch.randn(2, count, 4, 8, 8, generator=generator)
    mask = torch.rand(count, 1, 8, 8, generator=generator) < 0.3
    ids = [f"image-{i}" for i in range(count)]
    return LatentContext(
        z_t=z_t,
        z_0=z_0,
        mask=mask,
        alpha_bar=schedule.alpha_bar[level],
        image_side=64,
        captions=(None,) * count,
        rng=ImageNoise(0, ids),
    )


NEGATE = Says(work=lambda at: -at.z_t)
NOISE = Says(work=lambda at: at.noise())
KEEP = Says()


def test_resampling_gaussian_data_scales_it_as_the_closed_form_says(
    schedule: Schedule, gaussian: Predict, gaussian_slope: Callable[[int], float]
) -> None:
    z = torch.randn(2, 4, 4, 4, dtype=torch.float64)
    gain = 1.0
    for k in range(20, 0, -1):
        phi, psi = schedule.coefficients(k)
        gain *= phi + psi * gaussian_slope(schedule.t(k))
    assert torch.allclose(resample(gaussian, schedule, z, 20), gain * z)


def test_small_steps_approach_the_exact_flow(sd1: dict[str, Any]) -> None:
    """The flow keeps each value's place in its distribution, N(0, alpha_bar 0.8^2 + 1 - alpha_bar)."""

    def spread(alpha_bar: float) -> float:
        return math.sqrt(alpha_bar * 0.8**2 + 1 - alpha_bar)

    errors = []
    for steps in (50, 200, 1000):
        schedule = Schedule.from_scheduler({**sd1, "steps_offset": 0}, steps)
        level, slopes = 2 * steps // 5, dict(zip(schedule.timesteps, schedule.alpha_bar[1:], strict=True))

        def exact(z: Tensor, t: int, slopes: dict[int, float] = slopes) -> Tensor:
            return math.sqrt(1 - slopes[t]) / spread(slopes[t]) ** 2 * z

        gain = float(resample(exact, schedule, torch.ones(1, 1, 1, 1, dtype=torch.float64), level))
        errors.append(abs(gain / (spread(schedule.alpha_bar[0]) / spread(schedule.alpha_bar[level])) - 1))
    assert errors[2] < 2e-3
    assert errors[2] < errors[1] / 4 < errors[0] / 8


def test_level_zero_resamples_nothing(schedule: Schedule, gaussian: Predict) -> None:
    z = torch.randn(1, 4, 4, 4)
    assert resample(gaussian, schedule, z, 0) is z
    with pytest.raises(BenchkitError):
        resample(gaussian, schedule, z, 51)


def test_the_blend_is_exact_on_both_sides(schedule: Schedule) -> None:
    at = context(schedule)
    z = corrupt(NEGATE, at)
    inside = at.mask.expand_as(z)
    assert torch.equal(z[~inside], at.z_t[~inside])
    assert torch.equal(z[inside], -at.z_t[inside])


def test_empty_and_full_masks(schedule: Schedule) -> None:
    at = context(schedule)
    empty, full = (torch.full_like(at.mask, value) for value in (False, True))
    assert torch.equal(corrupt(NEGATE, replace(at, mask=empty)), at.z_t)
    assert torch.equal(corrupt(NEGATE, replace(at, mask=full)), -at.z_t)


def test_a_method_is_its_blend_resampled(schedule: Schedule, wavy: Predict) -> None:
    at = context(schedule)
    for corruptor in (NEGATE, KEEP, NOISE):
        result = corrupt_and_resample(lambda z, t, c: wavy(z, t), no_text, schedule, corruptor, at)
        assert torch.equal(result, resample(wavy, schedule, corrupt(corruptor, at), 3))


def test_the_network_sees_each_step_once_under_the_images_captions(schedule: Schedule) -> None:
    at, seen = replace(context(schedule), captions=("a", "b", None, "c", "d")), []

    def network(z: Tensor, t: int, condition: object) -> Tensor:
        seen.append((t, condition))
        return 0.1 * z

    corrupt_and_resample(network, lambda captions: captions, schedule, NEGATE, at)
    assert seen == [(t, at.captions) for t in (41, 21, 1)]


def no_text(captions: tuple[str | None, ...]) -> None:
    return None


def test_level_zero_decodes_what_the_corruptor_made(schedule: Schedule) -> None:
    at = context(schedule, level=0)
    result = corrupt_and_resample(_no_network, no_text, schedule, Says(work=NOISE.work, steps=0), at)
    assert torch.equal(result, torch.where(at.mask, at.noise(), at.z_t))


def _no_network(z: Tensor, t: int, condition: Tensor) -> Tensor:
    raise AssertionError("no network call is needed")


@pytest.mark.parametrize("count", [5, 16])
def test_no_method_depends_on_the_others_bit_for_bit(tiny_checkpoint: Path, count: int) -> None:
    """On a real network, whose kernels choose their algorithm by batch size."""
    from benchkit.diffusion.backend import DiffusionBackend

    backend = DiffusionBackend.load(tiny_checkpoint)
    at = context(backend.schedule, count=count)
    together = corrupt_latents(backend, [NEGATE, KEEP, NOISE], at)
    assert torch.equal(corrupt_latents(backend, [NOISE], at)[0], together[2])
    swapped = corrupt_latents(backend, [NOISE, NEGATE], at)
    assert torch.equal(swapped[0], together[2])
    assert torch.equal(swapped[1], together[0])


def test_latents_of_another_step_are_refused(schedule: Schedule) -> None:
    with pytest.raises(BenchkitError, match=r"'says' takes 4 steps.*inverted to alpha_bar"):
        corrupt_and_resample(_no_network, no_text, schedule, Says(steps=4), context(schedule))


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda at: None, "NoneType"),
        (lambda at: at.z_t[:, :, :4], "shape"),
        (lambda at: at.z_t.double(), "float64"),
        (lambda at: at.z_t * math.inf, "finite"),
        (lambda at: dict[str, Tensor]()["missing"], "KeyError"),
        (lambda at: at.z_t.mul_(2), "z_t in place"),
        (lambda at: at.z_0.zero_() + at.z_t, "z_0 in place"),
        (lambda at: at.z_t + at.mask.logical_not_(), "mask in place"),
    ],
)
def test_a_broken_corruptor_is_named_and_harms_nobody(
    schedule: Schedule, work: Callable[[LatentContext], object], words: str
) -> None:
    at, untouched = context(schedule), context(schedule)
    with pytest.raises(PluginError, match=f"corruptor 'says'.*{words}"):
        corrupt(Says(work=work), at)
    assert torch.equal(at.z_t, untouched.z_t)
    assert torch.equal(at.z_0, untouched.z_0)
    assert torch.equal(at.mask, untouched.mask)


def test_what_stands_outside_the_mask_is_not_read(schedule: Schedule) -> None:
    at = context(schedule)
    z = corrupt(Says(work=lambda at: at.z_t.masked_fill(~at.mask, math.nan)), at)
    assert torch.equal(z, at.z_t)
