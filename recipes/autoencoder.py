"""Train the embedded checkpoint's autoencoder on renders of `portraits` (clean scenes of the split `train`).

    python recipes/autoencoder.py --state STATE --iterations 9000

Resumes from STATE/autoencoder.safetensors. Random 64x64 crops: the statistics are those of whole images at a quarter
of the cost a step. The learning rate falls linearly from its peak to zero over --iterations.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from renders import rendered
from state import Average, resume, save, sittings
from torch import Tensor
from torch.nn.functional import avg_pool2d

CHANNELS = (16, 32, 64, 96)
LATENTS = 12
FACTOR = 8
COLOUR_WEIGHT = 4.0
SQUARE_WEIGHT = 8.0


def network() -> AutoencoderKL:
    """8x autoencoder, a posterior of LATENTS channels, no attention."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENTS,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )


def crops(images: np.ndarray, rng: np.random.Generator, batch: int, side: int = 64) -> Tensor:
    """(batch, 3, side, side) float32 in [-1, 1]."""
    size = images.shape[1]
    out = np.empty((batch, side, side, 3), np.uint8)
    for i in range(batch):
        y, x = rng.integers(0, size - side + 1, 2)
        out[i] = images[rng.integers(len(images)), y : y + side, x : x + side]
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 127.5 - 1


def loss_of(model: AutoencoderKL, x: Tensor, kl_weight: float) -> tuple[Tensor, Tensor]:
    """L1 + squares + L1 of the image gradients + L1 of each 8x8 block's mean colour + KL; and the squares, to log.

    Without the cells' colours one axis of colour (green to magenta) stayed unlearned for thousands of iterations:
    edges are nearly all in the brightness, and an image without that axis is cheap to paint.
    """
    posterior = model.encode(x).latent_dist
    y = model.decode(posterior.sample()).sample
    d = y - x
    edges = d.diff(dim=-1).abs().mean() + d.diff(dim=-2).abs().mean()
    square = d.pow(2).mean()
    colour = avg_pool2d(d, FACTOR).abs().mean()
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    return d.abs().mean() + SQUARE_WEIGHT * square + edges + COLOUR_WEIGHT * colour + kl_weight * kl, square


def main() -> None:
    """Train, logging PSNR (images in [-1, 1], so the peak is 2)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--images", type=int, default=16000)
    parser.add_argument("--iterations", type=int, default=9000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--kl", type=float, default=1e-6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm", type=Path, help="an exported checkpoint whose autoencoder is the start")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = network().train()
    if args.warm:
        model.load_state_dict(AutoencoderKL.from_pretrained(args.warm, subfolder="vae").state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), args.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    average = Average(model, 0.999)
    path = args.state / "autoencoder.safetensors"
    facts = resume(path, model, optimiser, average)
    start, seconds = facts.get("iteration", 0), facts.get("seconds", 0.0)
    earlier = facts["earlier"] if "earlier" in facts else sittings(args.warm, "autoencoder")
    images = rendered(args.state, "train", args.images)
    squares: list[float] = []
    began = time.monotonic()
    for i in range(start, args.iterations):
        rng = np.random.default_rng([1, i])
        torch.manual_seed(i)
        lr = args.lr * min(1, (i + 1) / 200) * (1 - i / args.iterations)
        for group in optimiser.param_groups:
            group["lr"] = lr
        loss, square = loss_of(model, crops(images, rng, args.batch), args.kl)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update(model, i)
        squares.append(square.item())
        if (i + 1) % 100 == 0:
            spent = seconds + time.monotonic() - began
            psnr = 10 * np.log10(4 / np.mean(squares[-100:]))
            print(f"{i + 1} loss {loss.item():.4f} train PSNR {psnr:.2f} {spent:.0f} s", flush=True)
        if (i + 1) % 500 == 0 or i + 1 == args.iterations:
            spent = seconds + time.monotonic() - began
            kept = {"iteration": i + 1, "seconds": spent, "threads": args.threads, "lr": args.lr}
            save(path, model, optimiser, average, **kept, earlier=earlier)


if __name__ == "__main__":
    main()
