"""The number formats of a training: what is multiplied in which, and how its arrays lie in memory.

Weights, their gradients, the optimiser's state, logits and the loss are float32 in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from benchkit.errors import BenchkitError
from benchkit.specs.training_config import Precision
from benchkit.system.number_formats import has_tf32


class Arithmetic:
    """How a network computes in a precision.

    In another one than float32, arrays of four dimensions lie in memory with the channels last, which matrix units read
    fastest. In float32 they stay as they are, because another layout changes the last bits of results.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        """Raise BenchkitError for a precision that the device does not have."""
        if precision == "tf32" and not has_tf32(str(device)):
            raise BenchkitError(f"training.precision is tf32, which device '{device}' does not have: set it to float32")
        self.precision, self.device = precision, device

    @contextmanager
    def layout(self, network: nn.Module) -> Iterator[None]:
        """Bring the network's weights into the layout of the precision, and back at the end."""
        if self.precision == "float32":
            yield
            return
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        try:
            yield
        finally:
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def restore(self, optimiser: torch.optim.Optimizer) -> None:
        """Bring the state of an optimiser, as a checkpoint has it, into the layout of its weights.

        Fused optimisers go through weights and state in the order of memory.
        """
        for weight, state in optimiser.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.dim() == 4 and value.shape == weight.shape:
                    state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)

    def forward(self, model: Callable[[Any], Any], inputs: Any) -> Any:
        """Return the logits of a batch, or of the maps of one; a sequence of logits where the model has more heads."""
        if self.precision == "float32":
            return model(inputs)
        plain = isinstance(inputs, Tensor)
        ordered = [one.contiguous(memory_format=torch.channels_last) for one in ([inputs] if plain else inputs)]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output = model(ordered[0] if plain else ordered)
        return output.float() if isinstance(output, Tensor) else [one.float() for one in output]

    @contextmanager
    def products(self) -> Iterator[None]:
        """With tf32, round the factors of matrix products and convolutions to TF32, forward and backward.

        The settings belong to torch as a whole. They are restored at the end.
        """
        places: list[tuple[Any, str, Any]] = []
        if self.precision == "tf32":
            matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
            if hasattr(cudnn, "conv"):
                places = [(place, "fp32_precision", "tf32") for place in (matmul, cudnn.conv)]
            else:  # torch before 2.9
                places = [(place, "allow_tf32", True) for place in (matmul, cudnn)]
        before = [getattr(place, name) for place, name, _ in places]
        try:
            for place, name, value in places:
                setattr(place, name, value)
            yield
        finally:
            for (place, name, _), value in zip(places, before, strict=True):
                setattr(place, name, value)
