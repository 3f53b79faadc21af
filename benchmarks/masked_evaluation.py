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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

import benchkit
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.condition import Condition
from benchkit.diffusion.masked_resample import resample_masked
from benchkit.diffusion.masked_unet import (
    Evaluation,
    Record,
    count_multiply_adds,
    find_levels,
    find_work,
    make_whole_levels,
)
from benchkit.diffusion.resample import resample

#: Pixels by which the mask grows on each level before tiles are chosen; `sampling.resampling: masked` takes 2.
HALOS = (1, 2, 3)
#: Corruptions that share the round trip of an image: the paper's tables have five methods at each depth.
METHODS = 5
#: Two masks of a tenth of the latent on a grid of 16 x 16: rows and columns of squares, and their side.
MASKS = {
    "a box": ([(5, 5)], 5),
    "six blobs": ([(1, 2), (2, 11), (6, 6), (9, 13), (11, 3), (13, 9)], 2),
}


def make_mask(name: str, side: int) -> Tensor:
    """One of MASKS, (side, side) bool."""
    corners, size = MASKS[name]
    mask = torch.zeros(16, 16, dtype=torch.bool)
    for row, column in corners:
        mask[row : row + size, column : column + size] = True
    return mask.repeat_interleave(side // 16, 0).repeat_interleave(side // 16, 1)


def decibels(estimate: Tensor, exact: Tensor, mask: Tensor) -> float:
    """The PSNR inside of the mask, of the range of the exact result."""
    error = (estimate - exact)[..., mask].square().mean()
    return float(10 * torch.log10((exact.max() - exact.min()) ** 2 / error))


def measure_large(runs: int) -> None:
    """Print time, fraction of multiply-adds, memory and error of one evaluation at SD 1.5's size, random weights."""
    import diffusers

    torch.manual_seed(20)
    unet: Any = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768).eval()
    clean, other, text = torch.randn(1, 4, 64, 64), torch.randn(1, 4, 64, 64), torch.randn(1, 77, 768)
    record, costs, whole = (
        Record(),
        count_multiply_adds(unet.config, (64, 64)),
        make_whole_levels(unet.config, (64, 64)),
    )
    began = time.process_time()
    recorded = Evaluation(unet, whole, record)(clean, 500, text)
    took = time.process_time() - began
    print(
        f"SD 1.5's size: {sum(costs) / 1e9:.0f} G multiply-adds; record of a step {record.count_bytes() / 2**20:.0f} "
        f"MiB, made in {took:.2f} s",
        flush=True,
    )
    for name in MASKS:
        mask = make_mask(name, 64)
        latent = torch.where(mask, other, clean)
        seconds: dict[int, list[float]] = {halo: [] for halo in (0, *HALOS)}
        results: dict[int, Tensor] = {}
        for _ in range(runs):
            # Interleaved, so that other work on the machine slows all of them alike.
            for halo in seconds:
                evaluation = Evaluation(unet, find_levels(unet.config, mask, halo), record)
                began = time.process_time()
                results[halo] = evaluation(latent, 500, text) if halo else unet(latent, 500, text).sample
                seconds[halo].append(time.process_time() - began)
        dense = statistics.median(seconds[0])
        print(f"{name}: dense {dense:.2f} s; recorded noise {decibels(recorded, results[0], mask):.1f} dB")
        for halo in HALOS:
            evaluation = Evaluation(unet, find_levels(unet.config, mask, halo), record)
            evaluation(latent, 500, text)
            masked = statistics.median(seconds[halo])
            print(
                f"  halo {halo}: {masked:5.2f} s, {dense / masked:.2f} x; with the round trip, {METHODS} methods "
                f"{METHODS * dense / (took + METHODS * masked):.2f} x; multiply-adds "
                f"{sum(evaluation.multiply_adds) / sum(costs):.2f}; "
                f"{decibels(results[halo], results[0], mask):.1f} dB",
                flush=True,
            )


def measure_trained(images: int = 8, steps: int = 10) -> None:
    """Print the error with the trained weights of the embedded checkpoint: of one evaluation, and after resampling.

    The round trip is DDIM without noise from step `steps` of 20. The corrupted latent begins with other noise inside
    the mask. The exact one may then change everywhere, as in the paper (eq. 6); the masked one in its tiles only.
    """
    backend = DiffusionBackend.load("portraits", steps=2 * steps)
    batch = benchkit.load_dataset("portraits")["clean"][:images]
    clean = backend.encode(torch.from_numpy(batch.images).permute(0, 3, 1, 2) / 255)
    condition = backend.embed(batch.captions)
    side, a = clean.shape[-1], backend.schedule.alpha_bar[steps]
    noise = torch.randn(2, *clean.shape, generator=torch.Generator().manual_seed(20))
    start, other = (a**0.5 * clean + (1 - a) ** 0.5 * one for one in noise)
    print(f"trained weights, {images} images, latents of {side} x {side}: dB of one evaluation, after {steps} steps")
    for name, halo in ((name, halo) for name in MASKS for halo in HALOS[:2]):
        mask = make_mask(name, side)
        costs = backend.count_multiply_adds((side, side))
        part = find_work(backend.denoiser_config, costs, mask, halo)
        found = [
            resample_one(backend, start[i : i + 1], other[i : i + 1], condition[i : i + 1], mask, halo, steps)
            for i in range(images)
        ]
        unchanged, one, after = (statistics.median(x) for x in zip(*found, strict=True))
        print(
            f"  {name}, halo {halo}: {one:.1f}, {after:.1f} (recorded {unchanged:.1f}); multiply-adds {part:.2f}",
            flush=True,
        )


def resample_one(
    backend: DiffusionBackend, start: Tensor, other: Tensor, text: Condition, mask: Tensor, halo: int, steps: int
) -> tuple[float, float, float]:
    """The dB of the recorded noise and of the masked one at the first step, and of the last latents."""
    corrupted, t = torch.where(mask, other, start), backend.schedule.t(steps)
    record, touched = Record(), find_levels(backend.denoiser_config, mask, halo)
    recorded = backend.predict(
        start, t, text, partial_evaluation=(make_whole_levels(backend.denoiser_config, mask.shape), record)
    )
    exact = backend.predict(corrupted, t, text)
    masked = backend.predict(corrupted, t, text, partial_evaluation=(touched, record))
    after = resample(lambda z, t: backend.predict(z, t, text), backend.schedule, corrupted, steps)
    (found,) = resample_masked(backend, start, [corrupted], mask, text, steps, halo)
    return decibels(recorded, exact, mask), decibels(masked, exact, mask), decibels(found, after, mask)


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
