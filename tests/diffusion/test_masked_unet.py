"""A masked evaluation is exact where nothing is approximated, and close to exact where something is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchkit.diffusion import masked_unet
from benchkit.diffusion.families import FAMILIES
from benchkit.diffusion.masked_unet import (
    Evaluation,
    Record,
    can_be_halved,
    complete_config,
    count_multiply_adds,
    find_levels,
    find_unsupported,
    find_work,
    make_whole_levels,
)

SIDE = 16
#: The blocks of SD 1.x in small, with three levels.
SMALL = {
    "sample_size": SIDE,
    "layers_per_block": 1,
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 2,
    "norm_num_groups": 8,
    "cross_attention_dim": 24,
}


def make(**changes: Any) -> Any:
    import diffusers

    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(**{**SMALL, **changes}).eval()


@pytest.fixture(scope="module")
def unet() -> Any:
    return make()


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Two latents and a text."""
    noise = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 1, 4, SIDE, SIDE, generator=noise)
    return first, second, torch.randn(1, 7, 24, generator=noise)


def record_of(unet: Any, latent: Tensor, text: Tensor, **more: Any) -> Record:
    record = Record()
    shape = latent.shape[-2], latent.shape[-1]
    with torch.inference_mode():
        Evaluation(unet, make_whole_levels(unet.config, shape), record)(latent, 500, text, **more)
    return record


def box(rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


@pytest.fixture(params=[8, 64], ids=["tiles of 4", "tiles of 1"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_unet, "LARGE_LEVEL", request.param)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("width", [SIDE, 24])
def test_the_recorded_output_is_that_of_the_network(unet: Any, layout: torch.memory_format, width: int) -> None:
    network = make().to(memory_format=layout)
    noise = torch.Generator().manual_seed(2)
    latent, text = torch.randn(1, 4, SIDE, width, generator=noise), torch.randn(1, 7, 24, generator=noise)
    with torch.inference_mode():
        expected = network(latent, 500, text).sample
    output = record_of(network, latent, text).output
    assert output is not None and torch.allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize(("dtype", "places"), [(torch.float16, 1e-2), (torch.bfloat16, 1e-1)])
@pytest.mark.parametrize("changes", [{}, {"use_linear_projection": True, "upcast_attention": True}])
def test_half_precision_agrees_up_to_its_rounding(dtype: torch.dtype, places: float, changes: dict[str, Any]) -> None:
    network = make(**changes).to(dtype)
    noise = torch.Generator().manual_seed(4)
    latent, text = (torch.randn(shape, generator=noise).to(dtype) for shape in ((1, 4, SIDE, SIDE), (1, 7, 24)))
    with torch.inference_mode():
        expected = network(latent, 500, text).sample
    output = record_of(network, latent, text).output
    assert output is not None and output.dtype == dtype
    assert torch.allclose(output.float(), expected.float(), atol=places)


def test_it_knows_the_further_conditions_of_sdxl() -> None:
    config = {
        **FAMILIES["sdxl"]["unet"],
        "block_out_channels": [16, 32, 32],
        "norm_num_groups": 8,
        "cross_attention_dim": 24,
        "attention_head_dim": [2, 4, 4],
        "transformer_layers_per_block": [1, 1, 2],
        "projection_class_embeddings_input_dim": 6 * 256 + 16,
    }
    network = make(**{key: value for key, value in config.items() if not key.startswith("_")})
    noise = torch.Generator().manual_seed(3)
    latent, text = torch.randn(1, 4, SIDE, SIDE, generator=noise), torch.randn(1, 7, 24, generator=noise)
    added = {"text_embeds": torch.randn(1, 16, generator=noise), "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]])}
    with torch.inference_mode():
        expected = network(latent, 500, text, added_cond_kwargs=added).sample
        other = network(latent, 500, text, added_cond_kwargs={**added, "time_ids": added["time_ids"] * 2}).sample
    output = record_of(network, latent, text, added_cond_kwargs=added).output
    assert output is not None and torch.allclose(output, expected, atol=1e-5)
    assert not torch.allclose(output, other, atol=1e-3)
    assert find_unsupported(network.config) is None
    assert count_multiply_adds(network.config, (SIDE, SIDE))


@pytest.mark.usefixtures("tiles")
def test_with_all_tiles_active_it_equals_the_dense_evaluation(unet: Any, inputs: tuple[Tensor, ...]) -> None:
    record = record_of(unet, inputs[0], inputs[2])
    levels = find_levels(unet.config, torch.ones(SIDE, SIDE, dtype=torch.bool))
    with torch.inference_mode():
        found = Evaluation(unet, levels, record)(inputs[1], 500, inputs[2])
        expected = unet(inputs[1], 500, inputs[2]).sample
    assert record.output is not None and not torch.allclose(record.output, expected, atol=1e-2)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("tiles")
def test_an_unchanged_latent_gives_the_recorded_output(unet: Any, inputs: tuple[Tensor, ...]) -> None:
    record = record_of(unet, inputs[0], inputs[2])
    levels = find_levels(unet.config, box(slice(1, 3), slice(1, 3)), halo=1)
    assert 0 < len(levels[0].pixels) < SIDE**2
    with torch.inference_mode():
        found = Evaluation(unet, levels, record)(inputs[0], 500, inputs[2])
    assert record.output is not None and torch.allclose(found, record.output, atol=1e-5)
    assert torch.equal(found[0, :, 8:], record.output[0, :, 8:])


def test_a_wider_halo_is_closer_to_the_exact_result(unet: Any, inputs: tuple[Tensor, ...]) -> None:
    record = record_of(unet, inputs[0], inputs[2])
    mask = box(slice(6, 9), slice(6, 9))
    latent = torch.where(mask, inputs[1], inputs[0])
    with torch.inference_mode():
        exact = unet(latent, 500, inputs[2]).sample
        masked = [
            Evaluation(unet, find_levels(unet.config, mask, halo), record)(latent, 500, inputs[2]) for halo in (0, 1, 2)
        ]
    assert record.output is not None
    errors = [float((one - exact)[..., mask].square().mean()) for one in (record.output, *masked)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 10
    assert torch.equal(masked[0][..., 10:, :], record.output[..., 10:, :]), "outside of its tiles the record stays"


@pytest.mark.parametrize("changes", [{}, {"use_linear_projection": True, "layers_per_block": 2}])
def test_multiply_adds_are_those_that_torch_counts(changes: dict[str, Any]) -> None:
    network = make(**changes)
    # Torch counts attention only where it is computed as two products. The embeddings belong to no level.
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter, torch.inference_mode():
        network(torch.zeros(1, 4, SIDE, 24), 500, torch.zeros(1, 1, 24))
    assert sum(count_multiply_adds(network.config, (SIDE, 24))) == pytest.approx(
        counter.get_total_flops() / 2, rel=0.01
    )


def test_the_work_of_a_mask_is_the_part_that_its_evaluation_computes(unet: Any, inputs: tuple[Tensor, ...]) -> None:
    record, mask = record_of(unet, inputs[0], inputs[2][:, :1]), box(slice(0, 2), slice(5, 7))
    evaluation = Evaluation(unet, find_levels(unet.config, mask), record)
    with torch.inference_mode():
        evaluation(inputs[1], 500, inputs[2][:, :1])
    costs = count_multiply_adds(unet.config, (SIDE, SIDE))
    # Keys and values of the text are computed whole.
    assert find_work(unet.config, costs, mask) == pytest.approx(sum(evaluation.multiply_adds) / sum(costs), rel=0.02)
    assert find_work(unet.config, costs, torch.ones(SIDE, SIDE, dtype=torch.bool)) == 1
    assert can_be_halved(unet.config, (SIDE, 20)) and not can_be_halved(unet.config, (SIDE, 18))


@pytest.mark.parametrize("family", ["sd-1", "sd-2", "sdxl"])
def test_published_denoisers_are_supported(family: str) -> None:
    config = complete_config(FAMILIES[family]["unet"])
    assert find_unsupported(config) is None
    square = torch.zeros(64, 64, dtype=torch.bool)
    square[20:40, 20:40] = True
    costs = count_multiply_adds(config, (64, 64))
    assert len(costs) == len(config["block_out_channels"])
    assert 0.1 < find_work(config, costs, square) < 0.5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"down_block_types": ["DownBlock2D", "KDownBlock2D"]}, "down_block_types: KDownBlock2D"),
        ({"class_embed_type": "timestep"}, "class_embed_type: timestep"),
        ({"time_embedding_act_fn": "silu"}, "time_embedding_act_fn: silu"),
        ({"cross_attention_dim": [24, 24, 24]}, r"cross_attention_dim: \[24, 24, 24\]"),
        ({"resnet_time_scale_shift": "scale_shift"}, "resnet_time_scale_shift: scale_shift"),
    ],
)
def test_other_denoisers_are_named(changes: dict[str, Any], words: str) -> None:
    import re

    found = find_unsupported({**make().config, **changes})
    assert found is not None and re.search(words, found)
