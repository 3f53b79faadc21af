"""Masked resampling: exact for the images that are not masked, the round trip outside of the tiles of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchkit.api import LatentContext
from benchkit.diffusion import masked_resample
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.masked_resample import resample_all, resample_masked
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.pipeline import corrupt_latents, resample_latents
from benchkit.errors import BenchkitError
from benchkit_plugins.corruptors.gaussian import Gaussian
from benchkit_plugins.corruptors.none import RoundTrip

SIDE, STEPS = 32, 3
CAPTIONS = ("a", "b", None)


@pytest.fixture(scope="module")
def backend(tiny_checkpoint: Path) -> DiffusionBackend:
    return DiffusionBackend.load(tiny_checkpoint, steps=10)


@pytest.fixture(scope="module")
def z_t() -> Tensor:
    return torch.randn(3, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def masks() -> Tensor:
    """A compact mask, one that covers everything, and an empty one."""
    masks = torch.zeros(3, 1, SIDE, SIDE, dtype=torch.bool)
    masks[0, 0, :3, :3] = True
    masks[1] = True
    return masks


def corrupted(z_t: Tensor, masks: Tensor, seed: int) -> Tensor:
    noise = torch.randn(z_t.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(masks, noise, z_t)


def psnr(found: Tensor, exact: Tensor) -> float:
    return float(10 * torch.log10((exact.max() - exact.min()) ** 2 / (found - exact).square().mean()))


def test_only_images_with_compact_masks_are_approximated(backend: DiffusionBackend, z_t: Tensor, masks: Tensor) -> None:
    start = corrupted(z_t, masks, 1)
    (found,) = resample_all(backend, z_t, [start], masks, backend.embed(CAPTIONS), STEPS)
    exact = resample_latents(backend, start, CAPTIONS, STEPS)
    assert torch.allclose(found[1:], exact[1:], atol=1e-5)
    inside, difference = masks[0, 0], (found[0] - exact[0]).abs()
    assert difference.max() > 1e-4, "it is an approximation"
    assert psnr(found[0][:, inside], exact[0][:, inside]) > 40


def test_outside_of_its_tiles_an_image_is_its_round_trip(backend: DiffusionBackend, z_t: Tensor, masks: Tensor) -> None:
    condition, row = backend.embed(CAPTIONS)[0:1], slice(0, 1)
    (found,) = resample_masked(backend, z_t[row], [corrupted(z_t, masks, 1)[row]], masks[0, 0], condition, STEPS)
    trip = resample_latents(backend, z_t[row], CAPTIONS[:1], STEPS)
    assert torch.allclose(found[..., 16:, 16:], trip[..., 16:, 16:], atol=1e-5)
    assert not torch.allclose(found[..., :2, :2], trip[..., :2, :2], atol=0.1)
    (same,) = resample_masked(backend, z_t[row], [z_t[row]], masks[0, 0], condition, STEPS)
    assert torch.allclose(same, trip, atol=1e-5)


def test_a_result_does_not_depend_on_other_corruptions(backend: DiffusionBackend, z_t: Tensor, masks: Tensor) -> None:
    starts, condition = [corrupted(z_t, masks, seed) for seed in (1, 2)], backend.embed(CAPTIONS)
    both = resample_all(backend, z_t, starts, masks, condition, STEPS)
    for start, found in zip(starts, both, strict=True):
        (alone,) = resample_all(backend, z_t, [start], masks, condition, STEPS)
        assert torch.equal(alone, found)


def test_with_a_mask_of_everything_it_equals_exact_resampling(
    backend: DiffusionBackend, z_t: Tensor, masks: Tensor
) -> None:
    start, condition = corrupted(z_t, masks, 1), backend.embed(CAPTIONS)
    (found,) = resample_masked(backend, z_t[1:2], [start[1:2]], masks[1, 0], condition[1:2], STEPS)
    assert torch.allclose(found, resample_latents(backend, start[1:2], CAPTIONS[1:2], STEPS), atol=1e-5)


@pytest.mark.parametrize(("limit", "value"), [("MOST_WORK", 0.0), ("SMALLEST_SIDE", SIDE + 1)])
def test_work_and_size_decide_which_images_are_masked(
    backend: DiffusionBackend, z_t: Tensor, masks: Tensor, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    start = corrupted(z_t, masks, 1)
    monkeypatch.setattr(masked_resample, limit, value)
    (found,) = resample_all(backend, z_t, [start], masks, backend.embed(CAPTIONS), STEPS)
    assert torch.equal(found, resample_latents(backend, start, CAPTIONS, STEPS))


def test_corruptors_are_blended_and_resampled(backend: DiffusionBackend, z_t: Tensor, masks: Tensor) -> None:
    """The pipeline's masked way gives what its exact way gives, up to the approximation."""
    noise = ImageNoise(0, ["a", "b", "c"])
    at = LatentContext(z_t, z_t + 1, masks, backend.schedule.alpha_bar[STEPS], 128, CAPTIONS, noise)
    corruptors = [Gaussian(steps=STEPS), RoundTrip(steps=STEPS)]
    exact, masked = (corrupt_latents(backend, corruptors, at, masked=way) for way in (False, True))
    for one, other in zip(exact, masked, strict=True):
        assert torch.allclose(one[1:], other[1:], atol=1e-5)
        assert psnr(other[0], one[0]) > 40
    assert torch.allclose(exact[1], masked[1], atol=1e-5), "nothing is corrupted: both are the round trip"
    with pytest.raises(BenchkitError, match="were inverted to"):
        corrupt_latents(backend, [Gaussian(steps=2)], at, masked=True)
