"""Evaluate a denoiser only where a mask has changed the latent: an approximation of diffusers' UNet2DConditionModel.

A corrupted latent equals the latent of the round trip outside of its mask. An evaluation of the round trip records the
input of every convolution, the statistics of every group norm, and the keys and values of self-attention. The
evaluation of the corrupted latent then computes the tiles that the mask and its halo touch, and takes everything else
from the record (the idea of Li et al. 2022, Efficient Spatially Sparse Inference). One image at a time: masks of
different images touch different tiles.

Tokens are the pixels of the active tiles of a level, tile by tile: (number, channels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from benchkit.diffusion.loading import make_empty_denoiser

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Pixels by which a mask grows on every level before tiles are chosen. With two of them the predicted noise is 43 dB
#: from the exact one at the size of Stable Diffusion 1.5, with one 36 dB (docs/explanation/performance.md).
HALO = 2
#: Tiles of 4 x 4 pixels on levels with at least so many pixels along the shorter side, where a convolution is cheap to
#: gather. Below, weights outweigh pixels: tiles are single pixels, and a convolution is one product of matrices.
LARGE_LEVEL = 64
#: A level whose active tiles cover a larger part of it than this is computed whole.
WHOLE_ABOVE = 0.5


class Level:
    """The active tiles of one resolution of the network.

    shape: height and width of its maps. tile: height and width of a tile. corners: (N, 2) int, the first row and column
    of each active tile.
    """

    def __init__(self, shape: tuple[int, int], tile: tuple[int, int], corners: Tensor) -> None:
        self.shape, self.tile, self.corners = shape, tile, corners
        rows, columns = (corners[:, axis, None] + torch.arange(tile[axis], device=corners.device) for axis in (0, 1))
        #: Indices of the tokens in a flat map, and in one that is padded by a pixel on each side.
        self.pixels = (rows[:, :, None] * shape[1] + columns[:, None]).flatten()
        self.padded_pixels = ((rows[:, :, None] + 1) * (shape[1] + 2) + columns[:, None] + 1).flatten()

    @classmethod
    def make_whole(cls, shape: tuple[int, int], device: torch.device | str = "cpu") -> Level:
        """Return a level that is one tile."""
        return cls(shape, shape, torch.zeros(1, 2, dtype=torch.long, device=device))

    @classmethod
    def find_touched(cls, mask: Tensor, shape: tuple[int, int], halo: int) -> Level:
        """Return the tiles that a latent mask (h, w) bool touches with its halo; the whole level above WHOLE_ABOVE."""
        tile = 4 if min(shape) >= LARGE_LEVEL and not any(side % 4 for side in shape) else 1
        small = F.adaptive_max_pool2d(mask[None].float(), shape)
        grown = F.max_pool2d(small, 2 * halo + 1, 1, halo)
        active = F.max_pool2d(grown, tile)[0] > 0
        if active.float().mean() > WHOLE_ABOVE:
            return cls.make_whole(shape, mask.device)
        return cls(shape, (tile, tile), active.nonzero() * tile)

    @property
    def size(self) -> int:
        """The number of pixels of a map."""
        return self.shape[0] * self.shape[1]

    @property
    def padded_size(self) -> int:
        """The number of pixels of a padded map."""
        return (self.shape[0] + 2) * (self.shape[1] + 2)

    @property
    def is_whole(self) -> bool:
        """Whether every pixel is active."""
        return len(self.pixels) == self.size

    def find_windows(self, source: Level) -> Tensor:
        """Return what a 3 x 3 convolution of each tile reads: indices (N, rows, columns) into a source's padded map.

        A source with larger maps is convolved with stride 2; one with smaller maps is upsampled, nearest pixel.
        """
        stride = 2 if source.shape[0] > self.shape[0] else 1
        rows, columns = (
            stride * self.corners[:, axis, None]
            + torch.arange(stride * (self.tile[axis] - 1) + 3, device=self.corners.device)
            for axis in (0, 1)
        )
        if source.shape[0] < self.shape[0]:
            rows, columns = (rows - 1) // 2 + 1, (columns - 1) // 2 + 1
        return rows[:, :, None] * (source.shape[1] + 2) + columns[:, None]


def list_shapes(config: Any, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return height and width of a denoiser's maps on every level, for latents of a shape, finest first."""
    return [(shape[0] >> depth, shape[1] >> depth) for depth in range(len(config["block_out_channels"]))]


def find_levels(config: Any, mask: Tensor, halo: int = HALO) -> list[Level]:
    """Return the levels that a latent mask (h, w) bool touches, finest first; config: the denoiser's."""
    height, width = mask.shape
    return [Level.find_touched(mask, shape, halo) for shape in list_shapes(config, (height, width))]


def make_whole_levels(config: Any, shape: tuple[int, int], device: torch.device | str = "cpu") -> list[Level]:
    """Return the levels of an evaluation that computes everything, finest first."""
    return [Level.make_whole(one, device) for one in list_shapes(config, shape)]


@dataclass
class Record:
    """What one whole evaluation leaves for masked ones.

    maps: flat maps by module, those of convolutions padded. statistics: mean and inverse deviation of each group norm.
    output: (1, C, h, w).
    """

    maps: dict[nn.Module, Tensor] = field(default_factory=dict)
    statistics: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)
    output: Tensor | None = None

    def count_bytes(self) -> int:
        """Return the memory that its maps take."""
        return sum(one.numel() * one.element_size() for one in self.maps.values())


class Evaluation:
    """One evaluation of a network for one image; with an empty record it computes everything and records it.

    multiply_adds: after the call, those of each level.
    """

    def __init__(self, unet: Any, levels: Sequence[Level], record: Record) -> None:
        self.unet, self.levels, self.record = unet, levels, record
        self.recording = record.output is None
        self.multiply_adds = [0] * len(levels)

    def __call__(
        self,
        latent: Tensor,
        timestep: int,
        encoder_hidden_states: Tensor,
        added_cond_kwargs: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the network's output (1, C, h, w); outside of the active tiles it is the recorded one.

        The arguments are those of the network: latent (1, C, h, w), text (1, tokens, width).
        """
        unet, depth = self.unet, 0
        self.text = encoder_hidden_states[0]
        self.embedding = self._embed(latent, timestep, encoder_hidden_states, added_cond_kwargs)
        x = self._convolve(unet.conv_in, latent[0].flatten(1).T[self.levels[0].pixels], depth, depth)
        skips = [x]
        for block in unet.down_blocks:
            for i, resnet in enumerate(block.resnets):
                x = self._apply_block(block, i, resnet, x, depth)
                skips.append(x)
            if block.downsamplers:
                x = self._convolve(block.downsamplers[0].conv, x, depth, depth + 1)
                depth += 1
                skips.append(x)
        x = self._apply_block(unet.mid_block, 0, unet.mid_block.resnets[0], x, depth)
        x = self._apply_resnet(unet.mid_block.resnets[1], x, depth)
        for block in unet.up_blocks:
            for i, resnet in enumerate(block.resnets):
                x = self._apply_block(block, i, resnet, torch.cat([x, skips.pop()], 1), depth)
            if block.upsamplers:
                x = self._convolve(block.upsamplers[0].conv, x, depth, depth - 1)
                depth -= 1
        x = F.silu(self._normalise(unet.conv_norm_out, x, depth))
        x = self._convolve(unet.conv_out, x, depth, depth)
        output = torch.zeros_like(latent) if self.record.output is None else self.record.output.clone()
        output[0].flatten(1)[:, self.levels[0].pixels] = x.T
        if self.recording:
            self.record.output = output
        return output

    def _embed(self, latent: Tensor, timestep: int, text: Tensor, added: dict[str, Tensor] | None) -> Tensor:
        """Return the embedding of the timestep and of SDXL's further conditions, as every residual block reads it."""
        embedding = self.unet.time_embedding(self.unet.get_time_embed(latent, timestep))
        more = self.unet.get_aug_embed(emb=embedding, encoder_hidden_states=text, added_cond_kwargs=added)
        return F.silu(embedding if more is None else embedding + more)

    def _apply_block(self, block: Any, i: int, resnet: Any, x: Tensor, depth: int) -> Tensor:
        """Apply a residual block and the transformer behind it, if the block has transformers."""
        x = self._apply_resnet(resnet, x, depth)
        attentions = getattr(block, "attentions", None)
        return self._apply_transformer(attentions[i], x, depth) if attentions else x

    def _apply_resnet(self, resnet: Any, x: Tensor, depth: int) -> Tensor:
        """Apply a residual block, diffusers' ResnetBlock2D."""
        y = F.silu(self._normalise(resnet.norm1, x, depth))
        y = self._convolve(resnet.conv1, y, depth, depth) + self._apply_linear(
            resnet.time_emb_proj, self.embedding, depth
        )
        y = F.silu(self._normalise(resnet.norm2, y, depth))
        y = self._convolve(resnet.conv2, y, depth, depth)
        return y + (x if resnet.conv_shortcut is None else self._apply_linear(resnet.conv_shortcut, x, depth))

    def _apply_transformer(self, transformer: Any, x: Tensor, depth: int) -> Tensor:
        """Apply self-attention, attention to the text and feed-forward layers, diffusers' Transformer2DModel."""
        y = self._apply_linear(transformer.proj_in, self._normalise(transformer.norm, x, depth), depth)
        for block in transformer.transformer_blocks:
            y = y + self._attend(block.attn1, block.norm1(y), depth, to_text=False)
            y = y + self._attend(block.attn2, block.norm2(y), depth, to_text=True)
            hidden, gate = self._apply_linear(block.ff.net[0].proj, block.norm3(y), depth).chunk(2, -1)
            y = y + self._apply_linear(block.ff.net[2], hidden * F.gelu(gate), depth)
        return x + self._apply_linear(transformer.proj_out, y, depth)

    def _attend(self, attention: Any, x: Tensor, depth: int, to_text: bool) -> Tensor:
        """Return the attention of active tokens to the text, or to all tokens: their own and the recorded ones."""
        source, level = (self.text if to_text else x), self.levels[depth]
        query = self._apply_linear(attention.to_q, x, depth)
        key, value = (self._apply_linear(project, source, depth) for project in (attention.to_k, attention.to_v))
        if not to_text:
            key = self._fill(attention.to_k, key, level.pixels, level.size, level)
            value = self._fill(attention.to_v, value, level.pixels, level.size, level)
        self.multiply_adds[depth] += 2 * query.numel() * len(key)
        q, k, v = (y.view(len(y), attention.heads, -1).transpose(0, 1)[None] for y in (query, key, value))
        mixed = F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1).reshape(len(x), -1)
        return self._apply_linear(attention.to_out[0], mixed, depth)

    def _fill(self, module: nn.Module, tokens: Tensor, places: Tensor, size: int, level: Level) -> Tensor:
        """Return a flat map (size, C) with these tokens at their places, and the recorded ones at the others."""
        if self.recording or level.is_whole:
            full = tokens.new_zeros(size, tokens.shape[1])
        else:
            full = self.record.maps[module].clone()
        full[places] = tokens
        if self.recording:
            self.record.maps[module] = full
        return full

    def _convolve(self, conv: Any, tokens: Tensor, source: int, target: int) -> Tensor:
        """Return a 3 x 3 convolution at the active pixels of a level; each tile is gathered with its neighbours."""
        at, to = self.levels[source], self.levels[target]
        padded = self._fill(conv, tokens, at.padded_pixels, at.padded_size, at)
        windows, weight = padded[to.find_windows(at)].permute(0, 3, 1, 2), conv.weight
        if weight.is_contiguous():
            # In the layout of the weights, because they are larger than the tiles and would be copied otherwise.
            windows = windows.contiguous()
        if to.tile == (1, 1):
            if not weight.is_contiguous():  # channels last
                windows, weight = windows.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)
            y = F.linear(windows.flatten(1), weight.flatten(1), conv.bias)
        else:
            y = F.conv2d(windows, weight, conv.bias, conv.stride).permute(0, 2, 3, 1).flatten(0, 2)
        self.multiply_adds[target] += conv.weight[0].numel() * y.numel()
        return y

    def _apply_linear(self, module: Any, x: Tensor, depth: int) -> Tensor:
        """Apply a linear layer or a 1 x 1 convolution."""
        y = F.linear(x, module.weight.flatten(1), module.bias)
        self.multiply_adds[depth] += x.shape[-1] * y.numel()
        return y

    def _normalise(self, norm: nn.GroupNorm, x: Tensor, depth: int) -> Tensor:
        """Apply a group norm. A level that is not whole takes the recorded mean and deviation."""
        if self.recording or self.levels[depth].is_whole:
            groups = x.view(len(x), norm.num_groups, -1).float()
            variance, mean = torch.var_mean(groups, (0, 2), correction=0)
            found = mean, torch.rsqrt(variance + norm.eps)
            if self.recording:
                self.record.statistics[norm] = found
        else:
            found = self.record.statistics[norm]
        mean, scale = (y.repeat_interleave(norm.num_channels // norm.num_groups) for y in found)
        scale = scale * norm.weight
        return torch.addcmul(norm.bias - mean * scale, x.float(), scale).to(x.dtype)


def count_multiply_adds(config: Any, shape: tuple[int, int]) -> list[int]:
    """Return the multiply-adds of a whole evaluation on every level, finest first.

    config: the denoiser's. shape: height and width of the latent. Nothing is computed: a network of this config runs on
    tensors without content.
    """
    network = make_empty_denoiser(config)
    with torch.device("meta"), torch.inference_mode():
        evaluation = Evaluation(network, make_whole_levels(config, shape, "meta"), Record())
        text = torch.empty(1, 1, config["cross_attention_dim"])
        added = None
        if config.get("addition_embed_type"):
            pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
            added = {"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, 6)}
        evaluation(torch.empty(1, config["in_channels"], *shape), 0, text, added)
    return evaluation.multiply_adds


def complete_config(stated: Mapping[str, Any]) -> Any:
    """Return a denoiser's config with the defaults of what its file does not state; BenchkitError for a faulty one."""
    return make_empty_denoiser(stated).config


def find_work(config: Any, costs: Sequence[int], mask: Tensor, halo: int = HALO) -> float:
    """Return the part of an evaluation's multiply-adds that a latent mask (h, w) bool leaves, 0 to 1.

    costs: of `count_multiply_adds`.
    """
    active = [len(level.pixels) / level.size for level in find_levels(config, mask, halo)]
    return sum(cost * part for cost, part in zip(costs, active, strict=True)) / sum(costs)


def can_be_halved(config: Any, shape: tuple[int, int]) -> bool:
    """Return whether height and width of a latent can be halved from each level of the denoiser to the next."""
    return not any(side % 2 ** (len(config["block_out_channels"]) - 1) for side in shape)


def find_unsupported(config: Any) -> str | None:
    """Return which setting of a denoiser's config masked evaluation does not know, `key: value`; None if it knows all.

    The known networks are those of Stable Diffusion 1, 2 and XL, of any size.
    """
    known: dict[str, Any] = {
        "down_block_types": {"DownBlock2D", "CrossAttnDownBlock2D"},
        "up_block_types": {"UpBlock2D", "CrossAttnUpBlock2D"},
        "mid_block_type": {"UNetMidBlock2DCrossAttn"},
        "act_fn": {"silu"},
        "addition_embed_type": {None, "text_time"},
        "resnet_time_scale_shift": {"default"},
        "time_embedding_act_fn": {None},
        "conv_in_kernel": {3},
        "conv_out_kernel": {3},
        "downsample_padding": {1},
        "mid_block_scale_factor": {1},
        "resnet_out_scale_factor": {1},
        "attention_type": {"default"},
        "dual_cross_attention": {False},
        "only_cross_attention": {False},
        "mid_block_only_cross_attention": {None, False},
        "class_embed_type": {None},
        "encoder_hid_dim_type": {None},
        "center_input_sample": {False},
    }
    for key, values in known.items():
        if key in config:
            own = config[key] if isinstance(config[key], list | tuple) else (config[key],)
            for value in own:
                if value not in values:
                    return f"{key}: {value}"
    if not isinstance(config["cross_attention_dim"], int):
        return f"cross_attention_dim: {config['cross_attention_dim']}"
    return None
