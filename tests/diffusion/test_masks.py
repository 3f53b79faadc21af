"""Masks between resolutions, and the blends: properties that hold for every mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchkit.diffusion import masks
from benchkit.errors import BenchkitError


@st.composite
def mask_and_factor(draw: st.DrawFn) -> tuple[torch.Tensor, int]:
    factor, count = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    height, width = draw(st.integers(1, 5)) * factor, draw(st.integers(1, 5)) * factor
    array = draw(hnp.arrays(bool, (count, height, width)))
    return torch.from_numpy(array), factor


@settings(max_examples=60, deadline=None)
@given(mask_and_factor())
def test_a_cell_is_selected_exactly_if_one_of_its_pixels_is(case: tuple[torch.Tensor, int]) -> None:
    mask, factor = case
    latent = masks.to_latent(mask, factor)
    count, height, width = mask.shape
    assert latent.shape == (count, 1, height // factor, width // factor)
    assert latent.dtype == torch.bool
    for n, y, x in np.ndindex(count, height // factor, width // factor):
        cell = mask[n, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        assert bool(latent[n, 0, y, x]) == bool(cell.any())


@settings(max_examples=60, deadline=None)
@given(mask_and_factor())
def test_to_latent_and_back_covers_the_mask_and_is_settled_after_once(case: tuple[torch.Tensor, int]) -> None:
    mask, factor = case
    latent = masks.to_latent(mask, factor)
    image = masks.to_image(latent, factor)
    assert image.shape == mask.shape
    assert bool((image | ~mask).all())
    assert torch.equal(masks.to_latent(image, factor), latent)
    assert bool(image.any()) == bool(mask.any())


@settings(max_examples=40, deadline=None)
@given(mask_and_factor())
def test_a_blend_takes_each_side_bit_for_bit(case: tuple[torch.Tensor, int]) -> None:
    mask = case[0].unsqueeze(1)
    shape = (mask.shape[0], 3, *mask.shape[2:])
    outside, inside = torch.randn(shape), torch.randn(shape)
    result = masks.blend(outside, inside.masked_fill(~mask, torch.nan), mask)
    where = mask.expand(shape)
    assert torch.equal(result[where], inside[where])
    assert torch.equal(result[~where], outside[~where])
    assert torch.equal(masks.paste_background(outside, inside, case[0]), result)


def test_thin_regions_survive() -> None:
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[0, 13, :] = True
    assert masks.to_latent(mask, 8)[0, 0].tolist() == [[False] * 4, [True] * 4, [False] * 4, [False] * 4]


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.zeros(1, 30, 32, dtype=torch.bool), "30x32"),
        (torch.zeros(1, 32, 30, dtype=torch.bool), "32x30"),
        (torch.zeros(1, 32, 32), "bool"),
        (torch.zeros(32, 32, dtype=torch.bool), "N, H, W"),
    ],
)
def test_other_masks_are_refused(mask: torch.Tensor, words: str) -> None:
    with pytest.raises(BenchkitError, match=words):
        masks.to_latent(mask, 8)


def test_other_latent_masks_are_refused() -> None:
    with pytest.raises(BenchkitError, match="latent mask"):
        masks.to_image(torch.zeros(1, 4, 4, dtype=torch.bool), 8)
