"""Draw the contact sheets of docs/explanation/portraits.md: every split, every artifact kind.

    python docs/pictures/sheets.py

Images are shown as detectors meet them, after one pass through the embedded autoencoder; marks are outlined.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchkit.api import Dataset, Sample
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.stages.images import to_tensor, to_uint8

OUT = Path(__file__).parents[1] / "images"
COLUMNS, ROWS, SCALE = 8, 3, 1
KIND_EXAMPLES = 8
OUTLINE = (0, 255, 80)


def decoded(backend: DiffusionBackend, images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, 3) after one encode and decode."""
    parts = [images[i : i + 16] for i in range(0, len(images), 16)]
    return np.concatenate([to_uint8(backend.autoencode(to_tensor(part))) for part in parts])


def outlined(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The image with the mask's contour drawn on it."""
    if mask is None or not mask.any():
        return image
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), contours, -1, OUTLINE, 1)


def save(tiles: list[np.ndarray], columns: int, path: Path) -> None:
    """Tile images into one PNG."""
    blank = np.full_like(tiles[0], 255)
    tiles = tiles + [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = Image.fromarray(np.concatenate(rows, axis=0))
    sheet.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path.name)


def kind_sheet(backend: DiffusionBackend, found: list[tuple[Sample, np.ndarray]], path: Path) -> None:
    """One kind: images as they are, and with the kind's own marks outlined."""
    images = decoded(backend, np.stack([sample.image for sample, _ in found]))
    marked = [outlined(image, mask) for image, (_, mask) in zip(images, found, strict=True)]
    save([*images, *marked], len(found), path)


def main() -> None:
    """Write all sheets."""
    backend = DiffusionBackend.load("portraits")
    dataset = Registry.load().make(Spec.of("dataset", "portraits"), Dataset)  # type: ignore[type-abstract]
    for split in dataset.splits():
        samples = dataset.read(split, range(COLUMNS * ROWS))
        images = decoded(backend, np.stack([s.image for s in samples]))
        save([outlined(i, s.mask) for i, s in zip(images, samples, strict=True)], COLUMNS, OUT / f"split-{split}.png")
    kinds: dict[str, list[tuple[Sample, np.ndarray]]] = {}
    for sample in dataset.read("wild", range(400)):
        for kind, mask in sample.kinds.items():
            kinds.setdefault(kind, []).append((sample, mask))
    for kind, found in sorted(kinds.items()):
        kind_sheet(backend, found[:KIND_EXAMPLES], OUT / f"kind-{kind.replace('_', '-')}.png")


if __name__ == "__main__":
    main()
