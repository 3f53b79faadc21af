"""Prediction in batches of a fixed size, so that an image set gives the same bits in every row that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchkit.system.memory import explain_out_of_memory
from benchkit.training.batches import check_images, to_input
from benchkit.training.padding import heads

#: Images that `predict` shows the network at once. A part of every stage that predicts: change it, change the results.
PREDICT_BATCH = 16


def predict(network: nn.Module, images: np.ndarray, batch: int = PREDICT_BATCH) -> np.ndarray:
    """Return the artifact probability of every pixel: images (N, H, W, 3) uint8 -> (N, H, W) float32 in [0, 1].

    Chunks start at multiples of `batch`, so that the same array gives the same bits on every call.
    """
    out = np.empty(images.shape[:3], np.float32)
    for start, logits in _chunks(network, images, batch):
        out[start : start + len(logits)] = logits.softmax(1)[:, 1].cpu().numpy()
    return out


def predict_classes(network: nn.Module, images: np.ndarray, batch: int = PREDICT_BATCH) -> np.ndarray:
    """Return the likeliest class of every pixel: images (N, H, W, 3) uint8 -> (N, H, W) uint8."""
    out = np.empty(images.shape[:3], np.uint8)
    for start, logits in _chunks(network, images, batch):
        out[start : start + len(logits)] = logits.argmax(1).cpu().numpy()
    return out


def _chunks(network: nn.Module, images: np.ndarray, batch: int) -> Iterator[tuple[int, Tensor]]:
    check_images(images)
    device, was_training = device_of(network), network.training
    network.eval()
    try:
        for start in range(0, len(images), batch):
            chunk = images[start : start + batch]
            with explain_out_of_memory("while predicting", partial(_fewer, chunk)), torch.inference_mode():
                logits = heads(network, to_input(chunk, device))[0]
            yield start, logits
    finally:
        network.train(was_training)


def _fewer(images: np.ndarray) -> str:
    count, height, width = images.shape[:3]
    return (
        f"{count} images of {width}x{height} at once are too many for this network here: use smaller ones (size= of "
        "the dataset, the tiles of `benchkit detect`) or a larger device"
    )


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the network's first parameter; the CPU for a network without parameters."""
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device
