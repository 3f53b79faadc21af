"""Render many clean scenes to one memory-mapped array, in parallel; the recipes read it."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.splits import scene_at


def _render(job: tuple[str, int]) -> np.ndarray:
    cv2.setNumThreads(1)
    return render(scene_at(*job)).image


def rendered(folder: Path, split: str, count: int, workers: int = 1) -> np.ndarray:
    """uint8 (count, 128, 128, 3): made on the first call, mapped from disk afterwards."""
    path = folder / f"{split}-{count}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".writing.npy")
        images = np.lib.format.open_memmap(aside, mode="w+", dtype=np.uint8, shape=(count, 128, 128, 3))
        jobs = [(split, i) for i in range(count)]
        with ProcessPoolExecutor(workers) as pool:
            for i, image in enumerate(pool.map(_render, jobs, chunksize=64)):
                images[i] = image
        images.flush()
        aside.rename(path)
    return np.load(path, mmap_mode="r")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--count", type=int, default=16000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    print(rendered(args.state, args.split, args.count, args.workers).shape)
