"""What the parts of a comparison cost here: seconds an image, and each as a ratio to one denoiser forward."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from benchkit.diffusion.backend import DiffusionBackend

IMAGES, RUNS = 16, 3


def seconds(work: Callable[[], object]) -> float:
    """The best of RUNS, an image."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) / IMAGES


if __name__ == "__main__":
    backend = DiffusionBackend.load("portraits")
    images = torch.rand(IMAGES, 3, 128, 128)
    z_0, condition = backend.encode(images), backend.embed([None] * IMAGES)
    parts = {
        "denoiser forward": seconds(lambda: backend.predict(z_0, 100, condition)),
        "encode": seconds(lambda: backend.encode(images)),
        "decode": seconds(lambda: backend.decode(z_0)),
    }
    base = parts["denoiser forward"]
    print(f"{torch.get_num_threads()} threads, {IMAGES} images of 128x128")
    for name, value in parts.items():
        print(f"{name:20} {value:.4f} s  {value / base:5.2f} x")
