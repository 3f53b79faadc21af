"""What steadies a training: a moving average of the weights, and output biases that start at the class prior."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of a network's weights, and of its batch statistics.

    The decay rises with the iterations to its final value, min(decay, (1 + n) / (10 + n)), so that the random start is
    soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, iterations: int) -> None:
        """Add the weights after this number of iterations."""
        decay = min(self.decay, (1 + iterations) / (10 + iterations))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)

    @contextmanager
    def in_place_of(self, network: nn.Module) -> Iterator[None]:
        """Lend the network the average; its own weights come back at the end."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.state)
        try:
            yield
        finally:
            network.load_state_dict(own)


def set_prior(network: nn.Module, prevalence: float, class_weights: Sequence[float] | None = None) -> int:
    """Start every two-class output at the class prior; return how many outputs there are.

    An output is a convolution or linear layer with two output channels and a bias. Its bias becomes 0 and the
    log-odds of an artifact pixel as the loss weighs it, log(p w_1 / ((1 - p) w_0)). Without it a network spends its
    first iterations on learning that artifacts are rare, and may end below 0.5 everywhere.
    """
    clean, artifact = class_weights or (1.0, 1.0)
    share = min(max(prevalence, 1e-6), 1 - 1e-6)  # a training set may be annotated everywhere
    odds = share * artifact / ((1 - share) * clean)
    outputs = 0
    for module in network.modules():
        channels = getattr(module, "out_channels", getattr(module, "out_features", None))
        bias = getattr(module, "bias", None)
        if channels == 2 and isinstance(bias, nn.Parameter) and bias.requires_grad:
            with torch.no_grad():
                bias.copy_(torch.tensor([0.0, math.log(odds)]))
            outputs += 1
    return outputs
