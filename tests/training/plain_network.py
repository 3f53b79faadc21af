"""A network without batch statistics or dropout, which several processes must train as one does."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """Two layers, an auxiliary head, and a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.main, self.auxiliary = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 1)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images - 0.5)
        return self.main(features), self.auxiliary(features)


def build(device: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Another start than the test's own, which must be overwritten."""
    torch.manual_seed(99)
    network = Plain().to(device)
    return network, torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
