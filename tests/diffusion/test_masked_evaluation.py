"""The masked evaluation of benchmarks/masked_evaluation.py is exact where nothing is approximated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.benchmarks import load_benchmark

masked = load_benchmark("masked_evaluation")
SIDE = 16


@pytest.fixture(scope="module")
def unet() -> Any:
    """SD 1.x's blocks in small, with three levels."""
    import diffusers

    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=SIDE,
        layers_per_block=1,
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2,
        norm_num_groups=8,
        cross_attention_dim=24,
    ).eval()


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Two latents and a text."""
    noise = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 1, 4, SIDE, SIDE, generator=noise)
    return first, second, torch.randn(1, 7, 24, generator=noise)


@pytest.fixture(scope="module")
def record(unet: Any, inputs: tuple[Tensor, Tensor, Tensor]) -> Any:
    record = masked.Record()
    with torch.inference_mode():
        masked.Evaluation(unet, masked.make_levels(unet, SIDE), record)(inputs[0], 500, inputs[2])
    return record


def test_the_recorded_output_is_that_of_the_network(unet: Any, inputs: tuple[Tensor, ...], record: Any) -> None:
    with torch.inference_mode():
        expected = unet(inputs[0], 500, inputs[2]).sample
    assert torch.allclose(record.output, expected, atol=1e-5)


@pytest.mark.parametrize("large", [8, 64], ids=["tiles of 4", "tiles of 1"])
def test_with_all_tiles_active_it_equals_the_dense_evaluation(
    unet: Any, inputs: tuple[Tensor, ...], record: Any, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masked, "LARGE_LEVEL", large)
    levels = masked.make_levels(unet, SIDE, torch.ones(SIDE, SIDE, dtype=torch.bool))
    with torch.inference_mode():
        found = masked.Evaluation(unet, levels, record)(inputs[1], 500, inputs[2])
        expected = unet(inputs[1], 500, inputs[2]).sample
    assert not torch.allclose(record.output, expected, atol=1e-2)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("large", [8, 64], ids=["tiles of 4", "tiles of 1"])
def test_an_unchanged_latent_gives_the_recorded_output(
    unet: Any, inputs: tuple[Tensor, ...], record: Any, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masked, "LARGE_LEVEL", large)
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[1:3, 1:3] = True
    levels = masked.make_levels(unet, SIDE, mask)
    assert 0 < len(levels[SIDE].pixels) < SIDE**2
    with torch.inference_mode():
        found = masked.Evaluation(unet, levels, record)(inputs[0], 500, inputs[2])
    assert torch.allclose(found, record.output, atol=1e-5)
    assert torch.equal(found[0, :, 8:], record.output[0, :, 8:])


def test_outside_of_its_tiles_it_returns_the_recorded_output(
    unet: Any, inputs: tuple[Tensor, ...], record: Any
) -> None:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[:4, :4] = True
    latent = torch.where(mask, inputs[1], inputs[0])
    with torch.inference_mode():
        found = masked.Evaluation(unet, masked.make_levels(unet, SIDE, mask), record)(latent, 500, inputs[2])
        exact = unet(latent, 500, inputs[2]).sample
    assert torch.equal(found[..., 8:, :], record.output[..., 8:, :])
    error = (found - exact)[..., mask].square().mean()
    assert 0 < error < (record.output - exact)[..., mask].square().mean() / 10
