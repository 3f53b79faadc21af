"""What the paper's size costs here: network evaluations and training iterations a second, for docs/how-to/reproduce.md.

    python benchmarks/full_size.py [--device cuda]

Random weights of SD 1.5's classes and size, 64 x 64 latents in chunks of 16; UPerNet with ConvNeXt-T and Swin-T, 8
images of 512 x 512 an iteration. Each figure also as a ratio to the denoiser's float32 forward.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchkit.api import Detector
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.training.loop import train

CHUNK, BATCH, SIDE = 16, 8, 512


def seconds(work: Callable[[], object], runs: int = 3) -> float:
    """The best of some runs after one that warms up; waits for the device."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def denoising(folder: Path, dtype: str, device: str) -> dict[str, float]:
    """Images a second of the denoiser, the encoder and the decoder."""
    backend = DiffusionBackend.load(f"{folder}:dtype={dtype}", device)
    z, condition = torch.randn(CHUNK, 4, SIDE // 8, SIDE // 8, device=backend.device), backend.embed([None] * CHUNK)
    images = torch.rand(CHUNK, 3, SIDE, SIDE)
    return {
        f"denoiser forward, {dtype}": CHUNK / seconds(lambda: backend.predict(z, 200, condition)),
        f"encode, {dtype}": CHUNK / seconds(lambda: backend.encode(images), 1),
        f"decode, {dtype}": CHUNK / seconds(lambda: backend.decode(z), 1),
    }


def training(detector: str, device: str, iterations: int = 10) -> float:
    """Iterations a second of the paper's training."""
    network = Registry.load().make(Spec.parse("detector", detector), Detector).build().to(device)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * BATCH, SIDE, SIDE, 3), np.uint8)
    masks = rng.random((4 * BATCH, SIDE, SIDE)) < 0.05
    config = TrainingConfig(iterations=iterations, batch=BATCH)
    return iterations / seconds(lambda: train(network, images, masks, config, 0), 1)


if __name__ == "__main__":
    from recipes.paper_data import full_sd15

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    if device == "cuda" and not torch.cuda.is_available():
        # `make bench` runs every file here, and a processor would be busy with this one for hours.
        print("full_size.py: no GPU here, nothing measured (--device cpu measures all the same)")
        sys.exit()
    print(torch.cuda.get_device_name() if device != "cpu" else f"{torch.get_num_threads()} threads", flush=True)
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        with torch.device(device):
            pipeline = full_sd15()
        pipeline.to("cpu", torch.float16).save_pretrained(folder)
        for dtype in ("float32", "float16") if device != "cpu" else ("float32",):
            rates |= denoising(Path(folder), dtype, device)
    for name in ("upernet-convnext:size=tiny", "upernet-swin:size=tiny"):
        rates[f"training iteration of {BATCH}, {name}"] = training(name, device)
    base = rates["denoiser forward, float32"]
    for name, rate in rates.items():
        print(f"{name:56} {rate:8.2f} a second  {rate / base:6.2f} x", flush=True)
