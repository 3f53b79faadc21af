"""Detectors on a frozen ConvNeXt: a small head that is trained, and logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import FrozenDetector, hookimpl, param, print_value
from benchkit_plugins.detectors._frozen_upernet import FrozenUPerNet
from benchkit_plugins.detectors.upernet_convnext import BACKBONES, UPerNetConvNeXt

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class FrozenConvNeXt(FrozenUPerNet):
    """A small head on the four maps of the ConvNeXt of `upernet-convnext`, whose weights are never trained."""

    name = "frozen-convnext"
    whole = UPerNetConvNeXt

    def maps(self) -> Sequence[tuple[int, int]]:
        """Return channels and strides of the four stages."""
        first = 2 if "stem" in BACKBONES[self.size] else 4
        return [(channels, first * 2**i) for i, channels in enumerate(BACKBONES[self.size]["hidden_sizes"])]


@dataclass(frozen=True)
class ConvexConvNeXt(FrozenDetector):
    """Logistic regression on the maps of `frozen-convnext`: a convex problem with one solution, so no seed of its own.

    Each cell of the stride-4 grid is an example, its label the fraction of artifact pixels. L-BFGS minimises the mean
    cross-entropy plus l2 / 2 times the squared norm of the weights; the bias is free.
    """

    name = "convex-convnext"
    fits_itself = True
    size: str = param("mini", choices=("mini", "tiny"), doc="mini for 128-pixel images, tiny for ConvNeXt-T")
    pretrained: str = param("auto", doc="as of upernet-convnext; size=tiny needs a FILE or URL")
    l2: float = param(1e-3, ge=0, doc="strength of the penalty")

    def trunk(self) -> str:
        """Return the detector that it shares the trunk of."""
        return f"frozen-convnext:size={self.size},pretrained={print_value(self.pretrained)}"

    def build_head(self, channels: int) -> nn.Module:
        """Return one linear map of each place's features."""
        from torch import nn

        return nn.Conv2d(channels, 2, 1)

    def fit(self, head: nn.Module, features: Tensor, labels: Tensor, weights: Tensor) -> None:
        """Set the head to the minimum."""
        from benchkit_plugins.detectors import _convex

        _convex.fit_logistic(head, features, labels, weights, self.l2)


@hookimpl
def benchkit_detectors() -> list[type[FrozenDetector]]:
    return [FrozenConvNeXt, ConvexConvNeXt]
