"""Eq. 5 and eq. 6: the blend, the way back, and that no method depends on which others are there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchkit.api import LatentContext, LatentCorruptor
from benchkit.diffusion.noise import ImageNoise
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
    assert torch.equal(corrupt(NEGATE, _with(at, mask=empty)), at.z_t)
    assert torch.equal(corrupt(NEGATE, _with(at, mask=full)), -at.z_t)


def _with(at: LatentContext, **changes: object) -> LatentContext:
    from dataclasses import replace

    return replace(at, **changes)  # type: ignore[arg-type]


def test_each_method_is_its_own_blend_resampled(schedule: Schedule, wavy: Predict) -> None:
    at = context(schedule)
    condition = torch.zeros(5, 1, 1)
    results = corrupt_and_resample(lambda z, t, c: wavy(z, t), schedule, [NEGATE, KEEP, NOISE], at, condition, chunk=2)
    assert len(results) == 3
    for corruptor, result in zip([NEGATE, KEEP, NOISE], results, strict=True):
        assert torch.allclose(result, resample(wavy, schedule, corrupt(corruptor, at), 3), atol=1e-6)
    assert corrupt_and_resample(lambda z, t, c: wavy(z, t), schedule, [], at, condition) == []


def test_the_network_sees_fixed_slices_with_their_own_conditions(schedule: Schedule) -> None:
    at, seen = context(schedule), []
    condition = torch.arange(5.0).view(5, 1, 1)

    def network(z: Tensor, t: int, rows: Tensor) -> Tensor:
        seen.append((t, rows.flatten().tolist()))
        return 0.1 * z

    corrupt_and_resample(network, schedule, [NEGATE, NOISE], at, condition, chunk=2)
    slices = [[0, 1], [2, 3], [4]] * 2
    assert seen == [(t, rows) for t in (41, 21, 1) for rows in slices]


def test_level_zero_decodes_what_the_corruptor_made(schedule: Schedule) -> None:
    at = context(schedule, level=0)
    (result,) = corrupt_and_resample(_no_network, schedule, [Says(work=NOISE.work, steps=0)], at, torch.zeros(5, 1, 1))
    assert torch.equal(result, torch.where(at.mask, at.noise(), at.z_t))


def _no_network(z: Tensor, t: int, condition: Tensor) -> Tensor:
    raise AssertionError("no network call is needed")


@pytest.mark.parametrize("count", [5, 16, 20])
def test_no_method_depends_on_the_others_bit_for_bit(tiny_checkpoint: Path, count: int) -> None:
    """On a real network, whose kernels choose their algorithm by batch size."""
    from benchkit.diffusion.backend import DiffusionBackend

    backend = DiffusionBackend.load(tiny_checkpoint)
    at = context(backend.schedule, count=count)
    condition = backend.embed(["a hat"] * count)

    def run(*corruptors: LatentCorruptor) -> list[Tensor]:
        return corrupt_and_resample(backend.predict, backend.schedule, corruptors, at, condition)

    together = run(NEGATE, KEEP, NOISE)
    assert torch.equal(run(NOISE)[0], together[2])
    swapped = run(NOISE, NEGATE)
    assert torch.equal(swapped[0], together[2])
    assert torch.equal(swapped[1], together[0])
    # A chunk of 16 is what the network sees whether 16 images come alone or with four more behind them.
    first = LatentContext(
        z_t=at.z_t[:16],
        z_0=at.z_0[:16],
        mask=at.mask[:16],
        alpha_bar=at.alpha_bar,
        image_side=64,
        captions=at.captions[:16],
        rng=ImageNoise(0, [f"image-{i}" for i in range(count)][:16]),
    )
    alone = corrupt_and_resample(backend.predict, backend.schedule, [NOISE], first, condition[:16])[0]
    assert torch.equal(alone, together[2][:16])


def test_mixed_steps_and_foreign_contexts_are_refused(schedule: Schedule) -> None:
    at, condition = context(schedule), torch.zeros(5, 1, 1)
    with pytest.raises(BenchkitError, match="different steps"):
        corrupt_and_resample(_no_network, schedule, [KEEP, Says(steps=4)], at, condition)
    with pytest.raises(BenchkitError, match="alpha_bar"):
        corrupt_and_resample(_no_network, schedule, [Says(steps=4)], at, condition)
    with pytest.raises(BenchkitError, match="4 captions for 5"):
        corrupt_and_resample(_no_network, schedule, [KEEP], at, condition[:4])


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
