"""What a denoiser evaluation costs if it computes only the masked part of the latent, and how far off the result is.

    python benchmarks/masked_evaluation.py [--threads 1] [--runs 3]

A corrupted latent equals the latent of the round trip outside of a mask. So the activations of the round trip are
recorded, and the corrupted latent is evaluated on the tiles that the mask touches; everywhere else the recorded
activations stay (the idea of Li et al. 2022, Efficient Spatially Sparse Inference). Speed: random weights of SD 1.5's
size, one latent of 64 x 64. Error: these weights, and the trained weights of the embedded checkpoint at 16 x 16.
docs/explanation/performance.md has the figures and the verdict.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

import benchkit
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.schedule import to_epsilon

#: Tiles of 4 x 4 pixels on levels of this side and more, where a convolution is cheap to gather. Below, the weights
#: outweigh the pixels: tiles are single pixels there, and a convolution is one matrix product.
LARGE_LEVEL = 64
#: Pixels by which the mask grows on each level before tiles are chosen.
HALOS = (1, 2, 3)
#: A level whose tiles cover more of it than this is computed whole.
WHOLE_ABOVE = 0.5
#: Two masks of a tenth of the latent on a grid of 16 x 16: rows and columns of squares, and their side.
MASKS = {
    "a box": ([(5, 5)], 5),
    "six blobs": ([(1, 2), (2, 11), (6, 6), (9, 13), (11, 3), (13, 9)], 2),
}


class Level:
    """The active tiles of one resolution. Tokens are the pixels of the active tiles, tile by tile: (N t t, C)."""

    def __init__(self, side: int, tile: int, corners: Tensor) -> None:
        self.side, self.tile, self.corners = side, tile, corners
        inside = torch.arange(tile)
        rows, columns = corners[:, :1] + inside, corners[:, 1:] + inside
        self.pixels = (rows[:, :, None] * side + columns[:, None]).flatten()
        self.padded_pixels = ((rows[:, :, None] + 1) * (side + 2) + columns[:, None] + 1).flatten()

    @classmethod
    def whole(cls, side: int) -> Level:
        return cls(side, side, torch.zeros(1, 2, dtype=torch.long))

    @classmethod
    def touched(cls, mask: Tensor, side: int, halo: int) -> Level:
        """The tiles that the mask (H, W) touches on this level, with its halo; all of them above WHOLE_ABOVE."""
        tile = 4 if side >= LARGE_LEVEL else 1
        small = F.adaptive_max_pool2d(mask[None].float(), side)
        grown = F.max_pool2d(small, 2 * halo + 1, 1, halo)
        active = F.max_pool2d(grown, tile)[0] > 0
        return cls(side, tile, (active | (active.float().mean() > WHOLE_ABOVE)).nonzero() * tile)

    @property
    def is_whole(self) -> bool:
        return len(self.pixels) == self.side**2

    def windows(self, source: int) -> Tensor:
        """Indices (N, w, w) into a padded map of side `source` + 2 that a 3 x 3 convolution of each tile reads.

        A source of twice the side is convolved with stride 2. A source of half the side is upsampled, nearest pixel.
        """
        stride = 2 if source > self.side else 1
        reach = torch.arange(stride * (self.tile - 1) + 3)
        rows, columns = (stride * self.corners[:, i : i + 1] + reach for i in (0, 1))
        if source < self.side:
            rows, columns = (rows - 1) // 2 + 1, (columns - 1) // 2 + 1
        return rows[:, :, None] * (source + 2) + columns[:, None]


@dataclass
class Record:
    """What one dense evaluation leaves for masked ones: maps by module, group statistics and the output."""

    maps: dict[nn.Module, Tensor] = field(default_factory=dict)
    statistics: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)
    output: Tensor | None = None


class Evaluation:
    """One evaluation of a UNet of diffusers at batch 1; with an empty record it computes everything and records it."""

    def __init__(self, unet: Any, levels: dict[int, Level], record: Record) -> None:
        self.unet, self.levels, self.record = unet, levels, record
        self.recording = record.output is None
        self.multiply_adds = self.bytes_read = 0

    def __call__(self, latent: Tensor, timestep: int, text: Tensor) -> Tensor:
        """The predicted noise (1, C, H, W); a masked evaluation returns the recorded noise outside of its tiles."""
        unet, level = self.unet, self.levels[latent.shape[-1]]
        self.text = text[0]
        embedding = unet.get_time_embed(latent, timestep)
        self.embedding = F.silu(unet.time_embedding(embedding))
        x = self._convolve(unet.conv_in, latent[0].flatten(1).T[level.pixels], level, level)
        skips = [x]
        for block in unet.down_blocks:
            for i, resnet in enumerate(block.resnets):
                x = self._block(block, i, resnet, x, level)
                skips.append(x)
            if block.downsamplers:
                lower = self.levels[level.side // 2]
                x = self._convolve(block.downsamplers[0].conv, x, level, lower)
                level = lower
                skips.append(x)
        x = self._block(unet.mid_block, 0, unet.mid_block.resnets[0], x, level)
        x = self._resnet(unet.mid_block.resnets[1], x, level)
        for block in unet.up_blocks:
            for i, resnet in enumerate(block.resnets):
                x = self._block(block, i, resnet, torch.cat([x, skips.pop()], 1), level)
            if block.upsamplers:
                upper = self.levels[level.side * 2]
                x = self._convolve(block.upsamplers[0].conv, x, level, upper)
                level = upper
        x = self._convolve(unet.conv_out, F.silu(self._normalise(unet.conv_norm_out, x, level)), level, level)
        output = torch.zeros_like(latent) if self.record.output is None else self.record.output.clone()
        output[0].flatten(1)[:, level.pixels] = x.T
        if self.recording:
            self.record.output = output
        return output

    def _block(self, block: Any, i: int, resnet: Any, x: Tensor, level: Level) -> Tensor:
        x = self._resnet(resnet, x, level)
        attentions = getattr(block, "attentions", None)
        return self._transformer(attentions[i], x, level) if attentions else x

    def _resnet(self, resnet: Any, x: Tensor, level: Level) -> Tensor:
        y = F.silu(self._normalise(resnet.norm1, x, level))
        y = self._convolve(resnet.conv1, y, level, level) + self._linear(resnet.time_emb_proj, self.embedding)
        y = F.silu(self._normalise(resnet.norm2, y, level))
        y = self._convolve(resnet.conv2, y, level, level)
        return y + (x if resnet.conv_shortcut is None else self._linear(resnet.conv_shortcut, x))

    def _transformer(self, transformer: Any, x: Tensor, level: Level) -> Tensor:
        y = self._linear(transformer.proj_in, self._normalise(transformer.norm, x, level))
        for block in transformer.transformer_blocks:
            y = y + self._attend(block.attn1, block.norm1(y), level)
            y = y + self._attend(block.attn2, block.norm2(y), None)
            hidden, gate = self._linear(block.ff.net[0].proj, block.norm3(y)).chunk(2, -1)
            y = y + self._linear(block.ff.net[2], hidden * F.gelu(gate))
        return x + self._linear(transformer.proj_out, y)

    def _attend(self, attention: Any, x: Tensor, level: Level | None) -> Tensor:
        """Queries of active tokens; keys and values of the text (no level), or recorded ones with these replaced."""
        source = self.text if level is None else x
        query, key, value = (
            self._linear(attention.to_q, x),
            *(self._linear(project, source) for project in (attention.to_k, attention.to_v)),
        )
        if level is not None:
            key = self._fill(attention.to_k, key, level.pixels, level.side**2, level)
            value = self._fill(attention.to_v, value, level.pixels, level.side**2, level)
        self.multiply_adds += 2 * query.numel() * len(key)
        q, k, v = (y.view(len(y), attention.heads, -1).transpose(0, 1)[None] for y in (query, key, value))
        mixed = F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1).reshape(len(x), -1)
        return self._linear(attention.to_out[0], mixed)

    def _fill(self, module: nn.Module, tokens: Tensor, places: Tensor, size: int, level: Level) -> Tensor:
        """A map (size, C) with these tokens at their places, and the recorded ones at the others."""
        if self.recording or level.is_whole:
            full = tokens.new_zeros(size, tokens.shape[1])
        else:
            full = self.record.maps[module].clone()
            self.bytes_read += full.numel() * full.element_size()
        full[places] = tokens
        if self.recording:
            self.record.maps[module] = full
        return full

    def _convolve(self, conv: Any, tokens: Tensor, source: Level, target: Level) -> Tensor:
        """A 3 x 3 convolution: tiles with their halo are gathered from the map of the source level."""
        padded = self._fill(conv, tokens, source.padded_pixels, (source.side + 2) ** 2, source)
        windows = padded[target.windows(source.side)]
        if target.tile == 1:
            y = F.linear(windows.flatten(1), conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias)
        else:
            y = F.conv2d(windows.permute(0, 3, 1, 2), conv.weight, conv.bias, conv.stride)
            y = y.permute(0, 2, 3, 1).flatten(0, 2)
        self.multiply_adds += conv.weight[0].numel() * y.numel()
        return y

    def _linear(self, module: Any, x: Tensor) -> Tensor:
        """A linear layer, or a 1 x 1 convolution."""
        y = F.linear(x, module.weight.flatten(1), module.bias)
        self.multiply_adds += x.shape[-1] * y.numel()
        return y

    def _normalise(self, norm: nn.GroupNorm, x: Tensor, level: Level) -> Tensor:
        """Group norm. A level that is not whole takes the recorded mean and deviation."""
        if self.recording or level.is_whole:
            groups = x.view(len(x), norm.num_groups, -1)
            variance, mean = torch.var_mean(groups, (0, 2), correction=0)
            found = mean, torch.rsqrt(variance + norm.eps)
            if self.recording:
                self.record.statistics[norm] = found
        else:
            found = self.record.statistics[norm]
        mean, scale = (y.repeat_interleave(norm.num_channels // norm.num_groups) for y in found)
        scale = scale * norm.weight
        return torch.addcmul(norm.bias - mean * scale, x, scale)


def make_mask(name: str, side: int) -> Tensor:
    """One of MASKS, (side, side) bool."""
    corners, size = MASKS[name]
    mask = torch.zeros(16, 16, dtype=torch.bool)
    for row, column in corners:
        mask[row : row + size, column : column + size] = True
    return mask.repeat_interleave(side // 16, 0).repeat_interleave(side // 16, 1)


def make_levels(unet: Any, side: int, mask: Tensor | None = None, halo: int = 1) -> dict[int, Level]:
    """The levels of a UNet by their side: whole ones, or the tiles that a mask touches."""
    sides = [side // 2**i for i in range(len(unet.config.block_out_channels))]
    return {s: Level.whole(s) if mask is None else Level.touched(mask, s, halo) for s in sides}


def decibels(estimate: Tensor, exact: Tensor, mask: Tensor) -> float:
    """The PSNR inside of the mask, of the range of the exact result."""
    error = (estimate - exact)[..., mask].square().mean()
    return float(10 * torch.log10((exact.max() - exact.min()) ** 2 / error))


def measure_large(runs: int) -> None:
    """Print time, fraction of multiply-adds, memory and error of one evaluation at SD 1.5's size, random weights."""
    import diffusers

    torch.manual_seed(20)
    unet: Any = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    # Otherwise every convolution of tiles copies its weights into this layout.
    unet = unet.eval().to(memory_format=torch.channels_last)
    clean, other, text = torch.randn(1, 4, 64, 64), torch.randn(1, 4, 64, 64), torch.randn(1, 77, 768)
    record = Record()
    whole = Evaluation(unet, make_levels(unet, 64), record)
    whole(clean, 500, text)
    recorded = record.output
    assert recorded is not None
    size = sum(x.numel() * x.element_size() for x in record.maps.values()) / 2**20
    print(
        f"SD 1.5's size: {whole.multiply_adds / 1e9:.0f} G multiply-adds, record of a step {size:.0f} MiB", flush=True
    )
    for name in MASKS:
        mask = make_mask(name, 64)
        latent = torch.where(mask, other, clean)
        seconds: dict[int, list[float]] = {halo: [] for halo in (0, *HALOS)}
        results: dict[int, Tensor] = {}
        for _ in range(runs):
            # Interleaved, so that other work on the machine slows all of them alike.
            for halo in seconds:
                evaluation = Evaluation(unet, make_levels(unet, 64, mask, halo), record)
                began = time.process_time()
                results[halo] = evaluation(latent, 500, text) if halo else unet(latent, 500, text).sample
                seconds[halo].append(time.process_time() - began)
        dense = statistics.median(seconds[0])
        print(f"{name}: dense {dense:.2f} s; recorded noise {decibels(recorded, results[0], mask):.1f} dB")
        for halo in HALOS:
            evaluation = Evaluation(unet, make_levels(unet, 64, mask, halo), record)
            evaluation(latent, 500, text)
            took = statistics.median(seconds[halo])
            print(
                f"  halo {halo}: {took:5.2f} s, {dense / took:.2f} x; multiply-adds "
                f"{evaluation.multiply_adds / whole.multiply_adds:.2f}; reads {evaluation.bytes_read / 2**20:.0f} MiB; "
                f"{decibels(results[halo], results[0], mask):.1f} dB",
                flush=True,
            )


def step(z: Tensor, epsilon: Tensor, alpha_bar_s: float, alpha_bar_t: float) -> Tensor:
    """One step of DDIM without noise, from t to s."""
    z_0 = (z - (1 - alpha_bar_t) ** 0.5 * epsilon) / alpha_bar_t**0.5
    return alpha_bar_s**0.5 * z_0 + (1 - alpha_bar_s) ** 0.5 * epsilon


def measure_trained(images: int = 8, steps: int = 10) -> None:
    """Print the error with the trained weights of the embedded checkpoint: of one evaluation, and after resampling.

    The round trip is DDIM without noise from step `steps` of 20. The corrupted latent begins with other noise inside
    the mask. The exact one may then change everywhere, as in the paper (eq. 6); the masked one in its tiles only.
    """
    backend = DiffusionBackend.load("portraits", steps=2 * steps)
    batch = benchkit.load_dataset("portraits")["clean"][:images]
    clean = backend.encode(torch.from_numpy(batch.images).permute(0, 3, 1, 2) / 255)
    texts = backend.embed(batch.captions).text
    side, a = clean.shape[-1], backend.schedule.alpha_bar[steps]
    noise = torch.randn(2, *clean.shape, generator=torch.Generator().manual_seed(20))
    start, other = a**0.5 * clean + (1 - a) ** 0.5 * noise
    print(f"trained weights, {images} images, latents of {side} x {side}: dB of one evaluation, after {steps} steps")
    for name, halo in ((name, halo) for name in MASKS for halo in HALOS[:2]):
        mask = make_mask(name, side)
        found = [
            resample(backend, start[i : i + 1], other[i : i + 1], texts[i : i + 1], mask, halo, steps)
            for i in range(images)
        ]
        unchanged, one, after, share = (statistics.median(x) for x in zip(*found, strict=True))
        print(
            f"  {name}, halo {halo}: {one:.1f}, {after:.1f} (recorded {unchanged:.1f}); multiply-adds {share:.2f}",
            flush=True,
        )


def resample(
    backend: DiffusionBackend, start: Tensor, other: Tensor, text: Tensor, mask: Tensor, halo: int, steps: int
) -> tuple[float, float, float, float]:
    """The dB of the recorded noise and of the masked one at the first step, and of the last latents; multiply-adds."""
    unet: Any = backend._unet
    schedule, side = backend.schedule, start.shape[-1]
    whole, touched = make_levels(unet, side), make_levels(unet, side, mask, halo)
    trip, exact = start, torch.where(mask, other, start)
    masked, first = exact, (0.0, 0.0)
    for k in range(steps, 0, -1):
        t, record = schedule.t(k), Record()
        dense = Evaluation(unet, whole, record)
        outputs = [dense(trip, t, text), unet(exact, t, text).sample]
        sparse = Evaluation(unet, touched, record)
        outputs.append(sparse(masked, t, text))
        if k == steps:
            first = decibels(outputs[0], outputs[1], mask), decibels(outputs[2], outputs[1], mask)
        alpha_bar_s, alpha_bar_t = schedule.alpha_bar[k - 1 : k + 1]
        trip, exact, masked = (
            step(x, to_epsilon(y, x, alpha_bar_t, schedule.prediction), alpha_bar_s, alpha_bar_t)
            for x, y in zip((trip, exact, masked), outputs, strict=True)
        )
    return *first, decibels(masked, exact, mask), sparse.multiply_adds / dense.multiply_adds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="CPU time is a fair measure on a busy machine with one")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        print(f"torch {torch.__version__}, {arguments.threads} threads, CPU time, median of {arguments.runs}")
        measure_trained()
        measure_large(arguments.runs)
