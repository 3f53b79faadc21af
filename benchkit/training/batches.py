"""Batches of a training: which images, augmented how; every draw of iteration i comes from (seed, i) alone."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from benchkit.errors import BenchkitError
from benchkit.specs.training_config import TrainingConfig
from benchkit.system.stack import Rows
from benchkit.training import augmentation
from benchkit.training.augmentation import IGNORED
from benchkit.training.ddp import Team


class Batches(Protocol):
    """What a network is trained on."""

    def check(self, config: TrainingConfig, num_classes: int) -> None:
        """Raise BenchkitError where a network of num_classes cannot be trained on it."""
        ...

    def at(
        self, config: TrainingConfig, seed: int, iteration: int, team: Team, device: torch.device
    ) -> tuple[Any, np.ndarray]:
        """Return this process's share of the inputs of one iteration, on `device`, and the whole batch's labels.

        Inputs are what the network takes: images (B, 3, h, w), or the maps of a frozen trunk.
        """
        ...

    def example(self, config: TrainingConfig, device: torch.device) -> Tensor | None:
        """Return an image of the size that the network is shown, where that may have to be padded."""
        ...

    def update(self, digest: hashlib._Hash) -> None:
        """Add the content to a digest."""
        ...

    def smaller(self, config: TrainingConfig, team: Team) -> str:
        """Say what would need less memory."""
        ...


@dataclass(frozen=True)
class ImageBatches:
    """Augmented images. images: (N, H, W, 3) uint8; masks: (N, H, W) bool, or uint8 class ids and IGNORED.

    Both are read row by row, so that they may lie on disk.
    """

    images: Rows
    masks: Rows

    def check(self, config: TrainingConfig, num_classes: int) -> None:
        check_data(self.images, self.masks, config, num_classes)

    def at(
        self, config: TrainingConfig, seed: int, iteration: int, team: Team, device: torch.device
    ) -> tuple[Tensor, np.ndarray]:
        crops, labels = batch_at(self.images, self.masks, config, seed, iteration)
        return to_input(crops[team.share(len(crops))], device), labels

    def example(self, config: TrainingConfig, device: torch.device) -> Tensor:
        return torch.zeros((1, 3, *self._shown_size(config)), device=device)

    def update(self, digest: hashlib._Hash) -> None:
        for array in (self.images, self.masks):
            digest.update(f"{array.shape} {array.dtype}".encode())
            for row in array:
                digest.update(np.ascontiguousarray(row).tobytes())

    def smaller(self, config: TrainingConfig, team: Team) -> str:
        """Say what would need less memory; only the first remedy leaves the protocol as it is."""
        height, width = self._shown_size(config)
        share = math.ceil(config.batch / team.size)
        if share == 1:
            one = f"one image of {width}x{height} is too much for this network here"
            return f"{one}: use smaller images (size= of the dataset) or crops (training.crop)"
        less = f"training.batch={max(2, config.batch // 2)} or smaller images (size= of the dataset)"
        seen = f"{share} images of {width}x{height} at once are too many for this network here"
        return f"{seen}: share each batch among more GPUs (`device` cuda:0,1), or change the protocol: {less}"

    def _shown_size(self, config: TrainingConfig) -> tuple[int, int]:
        """Return height and width of what the network sees of one image."""
        return (self.images.shape[1], self.images.shape[2]) if config.crop is None else (config.crop, config.crop)


def indices_at(count: int, batch: int, seed: int, iteration: int) -> list[int]:
    """Return the images of one iteration's batch: each once an epoch, in a new order every epoch."""
    places = (divmod(position, count) for position in range(iteration * batch, (iteration + 1) * batch))
    return [int(_order(count, seed, epoch)[place]) for epoch, place in places]


def batch_at(
    images: Rows, masks: Rows, config: TrainingConfig, seed: int, iteration: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch of one iteration: crops (B, h, w, 3) uint8 and their labels (B, h, w) int64.

    Depends on (seed, iteration) alone.
    """
    rng = np.random.default_rng([seed, 1, iteration])
    crops, labels = [], []
    for index in indices_at(len(images), config.batch, seed, iteration):
        crop, label = _augmented(images[index], masks[index], config, rng)
        crops.append(crop)
        labels.append(label)
    return np.stack(crops), np.stack(labels).astype(np.int64)


def _augmented(
    image: np.ndarray, mask: np.ndarray, config: TrainingConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return one pair, resized, cropped, mirrored and distorted by the config; as large as the crop or the image."""
    height, width = mask.shape
    size = (height, width) if config.crop is None else (config.crop, config.crop)
    if config.resize is not None:
        image, mask = augmentation.resized(image, mask.astype(np.uint8), rng.uniform(*config.resize))
    if config.crop is not None or config.resize is not None:
        window = crop_window(mask, size, config.positive_crop, rng)
        image, mask = augmentation.padded(image[window], mask[window], size)
    mirror = slice(None, None, -1 if config.flip and rng.random() < 0.5 else 1)
    image, mask = image[:, mirror], mask[:, mirror]
    return (augmentation.photometric(image, rng) if config.photometric else image), mask


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


def crop_window(
    mask: np.ndarray, size: tuple[int, int], positive: float, rng: np.random.Generator
) -> tuple[slice, slice]:
    """Return rows and columns of a random crop of `size` (height, width), or less where the mask (H, W) is smaller.

    positive: the fraction of crops that are centred on a pixel of a class other than 0, never on an IGNORED one.
    """
    (height, width), (tall, wide) = mask.shape, size
    rows, columns = max(0, height - tall), max(0, width - wide)
    top, left = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
    if positive and rng.random() < positive:
        found = np.flatnonzero(mask if mask.dtype == np.bool_ else (mask != 0) & (mask != IGNORED))
        if found.size:
            y, x = divmod(int(found[rng.integers(found.size)]), width)
            top = min(max(y - tall // 2, 0), rows)
            left = min(max(x - wide // 2, 0), columns)
    return slice(top, top + tall), slice(left, left + wide)


def to_input(images: np.ndarray, device: torch.device) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1] on `device`."""
    moved = to_device(torch.tensor(np.ascontiguousarray(images)), device)
    return moved.permute(0, 3, 1, 2).float().div(255).contiguous()


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU's tensor on `device`; to a GPU it is copied from pinned memory, while the GPU computes."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def check_data(images: Rows, masks: Rows, config: TrainingConfig, num_classes: int) -> None:
    """Raise BenchkitError unless images (N, H, W, 3) and masks (N, H, W) can train a network of num_classes."""
    check_images(images)
    _require(len(images) > 0, "training: there are no images")
    same = masks.shape == images.shape[:3] and masks.dtype in (np.bool_, np.uint8)
    _require(same, f"training: masks must be {images.shape[:3]} bool or uint8, not {masks.shape} {masks.dtype}")
    largest = [int(mask[mask != IGNORED].max()) for mask in masks if (mask != IGNORED).any()]
    _require(bool(largest), "training: every pixel is ignored: no label is left to learn from")
    _require(
        max(largest) < num_classes, f"training: masks hold class {max(largest)}, but there are {num_classes} classes"
    )
    side = min(images.shape[1:3])
    _require(config.crop is None or config.crop <= side, f"training: crop {config.crop} exceeds the images' {side}")
    weights = config.class_weights
    _require(weights is None or len(weights) == num_classes, f"training: class_weights must be {num_classes} numbers")


def check_images(images: Rows) -> None:
    fit = len(images.shape) == 4 and images.shape[3] == 3 and images.dtype == np.uint8
    _require(fit, f"images must be (N, H, W, 3) uint8, not {images.shape} {images.dtype}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BenchkitError(message)
