"""ReNoise's regularisation against loops that spell out its definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchkit_plugins.inverters import _regularise as regularise


def draws(count: int, channels: int, levels: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 4, 5, channels, levels, generator=generator)


def divergence_by_hand(eps: Tensor, target: Tensor) -> Tensor:
    total = torch.zeros((), dtype=eps.dtype)
    for channel in range(eps.shape[0]):
        for y in range(0, eps.shape[1] - 3, 4):
            for x in range(0, eps.shape[2] - 3, 4):
                patch_0, patch_1 = (p[channel, y : y + 4, x : x + 4].reshape(16) for p in (eps, target))
                v0, v1 = (((p - p.mean()) ** 2).sum() / 15 + 1e-6 for p in (patch_0, patch_1))
                shift = (patch_0.mean() - patch_1.mean()) ** 2
                total = total + torch.abs(torch.log(v1 / v0) + (v0 + shift) / v1 - 1)
    return total


def correlation_by_hand(eps: Tensor, shifts: Tensor) -> Tensor:
    total = torch.zeros((), dtype=eps.dtype)
    for channel in range(eps.shape[0]):
        plane = eps[channel]
        for level in range(shifts.shape[1]):
            for axis in (0, 1):
                k = math.floor(float(shifts[channel, level]) * (plane.shape[axis] // 2))
                total = total + (plane * torch.roll(plane, k, axis)).mean() ** 2
            plane = F.avg_pool2d(plane[None, None], 2)[0, 0]
    return total


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (32, 16), (12, 20)])
def test_losses_are_the_sums_their_definition_says(size: tuple[int, int]) -> None:
    eps, target = torch.randn(2, 3, 4, *size, dtype=torch.float64)
    levels = regularise.pyramid_levels(*size)
    shifts = torch.rand(3, 4, levels)
    kl, correlation = regularise.patch_divergence(eps, target), regularise.pair_correlation(eps, shifts)
    for i in range(3):
        assert kl[i] == pytest.approx(divergence_by_hand(eps[i], target[i]).item(), rel=1e-12)
        assert correlation[i] == pytest.approx(correlation_by_hand(eps[i], shifts[i]).item(), rel=1e-12)


def test_the_pyramid_ends_at_a_side_of_eight() -> None:
    assert [regularise.pyramid_levels(s, s) for s in (4, 8, 9, 16, 64, 128)] == [1, 1, 2, 2, 4, 5]
    assert regularise.pyramid_levels(64, 16) == 2


def test_the_whole_is_four_rounds_of_one_and_five_steps() -> None:
    eps, target = torch.randn(2, 1, 2, 16, 16, dtype=torch.float64)
    rolls = draws(1, 2, 2)
    expected = eps[0]
    for outer in range(4):
        leaf = expected.clone().requires_grad_()
        (slope,) = torch.autograd.grad(divergence_by_hand(leaf, target[0]), leaf)
        expected = expected - 0.065 * slope.clamp(-100, 100)
        for inner in range(5):
            leaf = expected.clone().requires_grad_()
            (slope,) = torch.autograd.grad(correlation_by_hand(leaf, rolls[0, outer, inner]), leaf)
            expected = expected - 20 * slope / 5
    assert torch.allclose(regularise.regularise_noise(eps, target, rolls)[0], expected, atol=1e-12)


def test_a_steep_divergence_is_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regularise, "ROUNDS", 1)
    monkeypatch.setattr(regularise, "CORRELATION_STEPS", 0)
    eps, target = torch.randn(2, 1, 1, 8, 8, dtype=torch.float64)
    moved = regularise.regularise_noise(eps, target * 1e-4, torch.zeros(1, 1, 0, 1, 1))
    assert (moved - eps).abs().max() == pytest.approx(0.065 * 100)


def test_no_image_touches_another_bit_for_bit() -> None:
    eps, target = torch.randn(2, 5, 4, 16, 16)
    rolls = draws(5, 4, 2)
    together = regularise.regularise_noise(eps, target, rolls)
    order = [3, 1]
    assert torch.equal(regularise.regularise_noise(eps[order], target[order], rolls[order]), together[order])


def test_it_works_within_inference_mode_and_alters_no_input() -> None:
    eps, target = torch.randn(2, 2, 4, 8, 8)
    rolls = draws(2, 4, 1)
    expected = regularise.regularise_noise(eps, target, rolls)
    with torch.inference_mode():
        inside = [t.clone() for t in (eps, target, rolls)]
        assert torch.equal(regularise.regularise_noise(*inside), expected)
        assert torch.equal(inside[0], eps)
    assert not expected.requires_grad


def test_structured_noise_becomes_less_correlated() -> None:
    white = torch.randn(4, 4, 16, 16)
    structured = white + 0.3 * torch.roll(white, 1, -1)
    rolls = draws(4, 4, 2)
    after = regularise.regularise_noise(structured, white, rolls)

    def correlation(x: Tensor) -> float:
        return float((x * torch.roll(x, 1, -1)).mean(dim=(-2, -1)).square().sum())

    assert correlation(after) < 0.5 * correlation(structured)


def test_planes_smaller_than_a_patch_have_no_divergence() -> None:
    eps = torch.randn(2, 4, 2, 2)
    assert regularise.patch_divergence(eps, eps).tolist() == [0, 0]
    assert regularise.regularise_noise(eps, eps, draws(2, 4, 1)).shape == eps.shape
