"""Compute which artifacts of `portraits` are visible after the embedded autoencoder, and write the shipped marks.

python recipes/marks.py [--split test ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchkit.diffusion.backend import DiffusionBackend
from benchkit.stages.images import to_tensor, to_uint8
from benchkit_plugins.datasets.portraits.labels import Labelled, label_images
from benchkit_plugins.datasets.portraits.marks import ANNOTATED_SPLITS, marks_file, to_bytes
from benchkit_plugins.datasets.portraits.splits import SPLITS

ASSETS = Path(__file__).parents[1] / "benchkit" / "assets" / "portraits"
BATCH = 16


def main() -> None:
    """Write one file per split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", action="append", choices=ANNOTATED_SPLITS)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    backend = DiffusionBackend.load("portraits")

    def autoencode(images: np.ndarray) -> np.ndarray:
        parts = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
        return np.concatenate([to_uint8(backend.autoencode(to_tensor(part))) for part in parts])

    ASSETS.mkdir(parents=True, exist_ok=True)
    for split in args.split or ANNOTATED_SPLITS:
        size = SPLITS[split]
        assert size is not None
        found: list[Labelled] = []
        for start in range(0, size, BATCH):
            found += label_images(split, range(start, min(start + BATCH, size)), autoencode)
        (ASSETS / marks_file(split)).write_bytes(to_bytes(found))
        area = np.mean([item.label.mean() for item in found if item.artifacts])
        kept = sum(len(item.artifacts) for item in found)
        print(f"{split}: {size} images, {kept} visible artifacts, {100 * area:.2f} % of the pixels of annotated images")


if __name__ == "__main__":
    main()
