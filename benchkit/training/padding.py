"""Images of any size through a network: where its strides do not divide a size, the images are padded.

A network that works at a size sees the images as they are. Only where it fails, or answers at another size, they are
padded below and on the right by their last pixels to a multiple of 32, 64 or 128, and the logits cropped back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchkit.errors import BenchkitError
from benchkit.system.memory import is_out_of_memory

#: Sizes that are multiples of the first are never padded.
MULTIPLES = (32, 64, 128)

#: Images (N, 3, H, W) -> logits, or a sequence of them whose first is the main head's.
Network = Callable[[Tensor], Any]


def heads(network: Network, images: Tensor) -> list[Tensor]:
    """Return the logits of every head at the images' size, the main head's first: (N, classes, H, W) each.

    Raises what the network raises where it works neither as it is nor with padding, and BenchkitError for logits of
    another size.
    """
    return _heads(network, images)[0]


def multiple_of(network: nn.Module, images: Tensor) -> int:
    """Return the multiple to which images of this size must be padded for a network, 1 if they need not be.

    Tried in evaluation mode, without gradients, so that nothing of the network changes.
    """
    if _fits(images):
        return 1
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return _heads(network, images)[1]
    finally:
        network.train(was_training)


def at_multiple(network: Network, multiple: int) -> Network:
    """Return the network with its images padded to a multiple and its logits cropped back."""
    return network if multiple == 1 else lambda images: _cropped(network(_padded(images, multiple)), images)


def _heads(network: Network, images: Tensor) -> tuple[list[Tensor], int]:
    failure: Exception | None = None
    for multiple in (1,) if _fits(images) else (1, *MULTIPLES):
        try:
            shown = _padded(images, multiple)
            output = network(shown)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            failure = failure or error
            continue
        main = output if isinstance(output, Tensor) else output[0]
        if main.ndim == 4 and len(main) == len(shown) and main.shape[2:] == shown.shape[2:]:
            return _cropped(output, images), multiple
        expected = f"({len(shown)}, classes, {shown.shape[2]}, {shown.shape[3]})"
        failure = failure or BenchkitError(f"the detector's logits are {tuple(main.shape)}, expected {expected}")
    assert failure is not None
    raise failure


def _fits(images: Tensor) -> bool:
    return not any(side % MULTIPLES[0] for side in images.shape[2:])


def _padded(images: Tensor, multiple: int) -> Tensor:
    below, right = (-side % multiple for side in images.shape[2:])
    return functional.pad(images, (0, right, 0, below), mode="replicate") if below or right else images


def _cropped(output: Any, images: Tensor) -> list[Tensor]:
    found = [output] if isinstance(output, Tensor) else list(output)
    height, width = images.shape[2:]
    return [one[..., :height, :width] for one in found]
