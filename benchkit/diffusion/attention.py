"""Replace the self-attention of a denoiser inside a mask, during one prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import Attend


@contextmanager
def replace_attention(unet: Any, attend: Attend, mask: Tensor) -> Iterator[None]:
    """Within the context, let `attend` compute self-attention inside the mask, in every layer.

    mask: (N, 1, h, w) bool, latent pixels; a token of a coarser layer is inside if any of its latent pixels is. All
    other tokens get the output of the network's own processor, to the bit. Raises BenchkitError for a network without
    self-attention.
    """
    # diffusers' transformer blocks call their self-attention attn1.
    layers = [module for name, module in unet.named_modules() if name.rpartition(".")[2] == "attn1"]
    if not layers:
        raise BenchkitError("this checkpoint's denoiser has no self-attention to perturb: choose another corruptor")
    own = [layer.processor for layer in layers]
    try:
        for layer, processor in zip(layers, own, strict=True):
            layer.set_processor(_Inside(processor, attend, mask))
        yield
    finally:
        for layer, processor in zip(layers, own, strict=True):
            layer.set_processor(processor)


class _Inside:
    """A processor that uses `attend` for the tokens inside the mask, and the layer's own processor for the others."""

    def __init__(self, own: Any, attend: Attend, mask: Tensor) -> None:
        self.own, self.attend, self.mask = own, attend, mask

    def __call__(
        self, layer: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        usual = self.own(layer, hidden_states, encoder_hidden_states, *args, **kwargs)
        if encoder_hidden_states is not None:  # a cross-attention in place of self-attention
            return usual
        count, tokens, _ = hidden_states.shape
        rows, columns = find_token_grid(tokens, *self.mask.shape[-2:])
        query, key, value = (
            to(hidden_states).view(count, tokens, layer.heads, -1).transpose(1, 2)
            for to in (layer.to_q, layer.to_k, layer.to_v)
        )
        attended = self.attend(query, key, value, (rows, columns))
        if attended.shape != value.shape:
            raise ValueError(f"attention of shape {tuple(attended.shape)}, expected {tuple(value.shape)}")
        joined = attended.transpose(1, 2).reshape(count, tokens, -1)
        inside = F.adaptive_max_pool2d(self.mask.float(), (rows, columns)).flatten(2).transpose(1, 2) > 0
        return torch.where(inside.to(usual.device), layer.to_out[0](joined), usual)


def find_token_grid(tokens: int, height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of a layer's tokens: those of the latent, halved (rounded up) until they fit."""
    rows, columns = height, width
    while rows * columns > tokens and rows * columns > 1:
        rows, columns = math.ceil(rows / 2), math.ceil(columns / 2)
    if rows * columns != tokens:
        raise BenchkitError(f"{tokens} attention tokens do not come from halving a latent of {height}x{width}")
    return rows, columns
