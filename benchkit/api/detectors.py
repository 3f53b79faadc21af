"""Detectors: they build the networks that benchkit trains to find artifacts."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from benchkit.api.plugin import Plugin

if TYPE_CHECKING:
    import torch
    from torch import nn


class Detector(Plugin):
    """Base class of detectors: builds a network, image -> logits of two classes."""

    kind: ClassVar[str] = "detector"
    #: Smallest batch size of training: 2 if a layer is batch-normalised after pooling to one pixel.
    smallest_batch: ClassVar[int] = 1

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a network with its pre-trained weights: (N, 3, H, W) float32 in [0, 1] -> logits (N, 2, H, W).

        Class 1 is the artifact. In training mode the network may return a sequence of logits, the main head's first.
        """

    def optimiser(self, network: nn.Module, lr: float) -> torch.optim.Optimizer | None:
        """Return the detector's own optimiser, or None for benchkit's (AdamW with the paper's settings)."""
        return None
