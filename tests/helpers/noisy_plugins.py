"""Figures that vary with the seed: `human` and `pseudo` stand apart, `none` and `gaussian` differ by chance alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import Dataset, Detector, FrozenDetector, hookimpl
from tests.helpers import tiny_plugins

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Plain(tiny_plugins.Shapes):
    """The images of `shapes`, which no tiny autoencoder blurs."""

    name = "plain"
    autoencode = False


@dataclass(frozen=True)
class Brightness(FrozenDetector):
    """A threshold of brightness on the trunk of `pyramid`: good if the labelled pixels are bright, else poor.

    How far it lies from that depends on the labelled pixels, so that it differs between seeds and rows. The tiny
    autoencoder brightens what is corrupted, with noise or without.
    """

    name = "brightness"
    fits_itself = True

    def trunk(self) -> str:
        return "pyramid"

    def build_head(self, channels: int) -> nn.Module:
        from torch import nn

        return nn.Conv2d(channels, 2, 1)

    def fit(self, head: nn.Module, features: Tensor, labels: Tensor, weights: Tensor) -> None:
        import torch

        brightness = features[:, :3].mean(dim=1)
        inside = brightness[labels > 0]
        chance = float(inside.double().sum() * 1000) % 1 - 0.5
        good = inside.mean() - brightness.mean() > 1
        place = 0.45 + 0.02 * chance if good else -0.9 + 0.1 * chance
        with torch.no_grad():
            head.weight.zero_()  # type: ignore[operator]
            head.weight[1, :3] = 40 / 3  # type: ignore[operator]
            head.bias.copy_(torch.tensor([0.0, -40 * place]))  # type: ignore[operator]


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [Plain]


@hookimpl
def benchkit_detectors() -> list[type[Detector]]:
    return [Brightness]
