"""Frozen detectors as small as can be; the tests name this file as a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import FrozenDetector, param

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Pyramid(FrozenDetector):
    """A trunk of block means at strides 2 and 8, and a head of two layers."""

    name = "pyramid"
    head_parameters = ("width",)
    gain: float = param(1.0, gt=0, doc="of the trunk")
    width: int = param(4, ge=1, doc="of the head")

    def maps(self) -> Sequence[tuple[int, int]]:
        return [(3, 2), (3, 8)]

    def build_trunk(self) -> nn.Module:
        from torch import nn
        from torch.nn import functional

        class Means(nn.Module):
            def forward(self, images: Tensor) -> list[Tensor]:
                return [gain * functional.avg_pool2d(images, stride) for stride in (2, 8)]

        gain = self.gain
        return Means()

    def build_head(self, channels: int) -> nn.Module:
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(channels, self.width, 1), nn.Dropout(0.1), nn.GELU(), nn.Conv2d(self.width, 2, 1)
        )


@dataclass(frozen=True)
class Line(FrozenDetector):
    """One linear map on the trunk of `pyramid`."""

    name = "line"

    def trunk(self) -> str:
        return "pyramid"

    def build_head(self, channels: int) -> nn.Module:
        from torch import nn

        return nn.Conv2d(channels, 2, 1)


@dataclass(frozen=True)
class Guess(Line):
    """The trunk of `pyramid`, and a head that says the training set's prevalence everywhere, without any iteration."""

    name = "guess"
    fits_itself = True

    def fit(self, head: nn.Module, features: Tensor, labels: Tensor, weights: Tensor) -> None:
        import torch

        assert features.shape[0] == labels.shape[0] and features.shape[2:] == labels.shape[1:] == weights.shape[1:]
        fraction = (labels * weights).sum() / weights.sum()
        with torch.no_grad():
            head.weight.zero_()  # type: ignore[operator]
            head.bias.copy_(torch.stack([torch.zeros(()), torch.logit(fraction)]))  # type: ignore[operator]


@dataclass(frozen=True)
class Restless(FrozenDetector):
    """A trunk that never says the same twice."""

    name = "restless"

    def maps(self) -> Sequence[tuple[int, int]]:
        return [(1, 4)]

    def build_trunk(self) -> nn.Module:
        import torch
        from torch import nn

        class Noise(nn.Module):
            def forward(self, images: Tensor) -> list[Tensor]:
                return [torch.rand(len(images), 1, images.shape[2] // 4, images.shape[3] // 4)]

        return Noise()

    def build_head(self, channels: int) -> nn.Module:
        from torch import nn

        return nn.Conv2d(channels, 2, 1)


@dataclass(frozen=True)
class Misfit(FrozenDetector):
    """A trunk whose maps have another stride than declared: always, or after its first two calls."""

    name = "misfit"
    always: bool = param(True, doc="whether the first maps are wrong, too")

    def maps(self) -> Sequence[tuple[int, int]]:
        return [(3, 4)]

    def build_trunk(self) -> nn.Module:
        from torch import nn
        from torch.nn import functional

        class Means(nn.Module):
            calls = 0

            def forward(self, images: Tensor) -> list[Tensor]:
                Means.calls += 1
                return [functional.avg_pool2d(images, 8 if always or Means.calls > 2 else 4)]

        always = self.always
        return Means()

    def build_head(self, channels: int) -> nn.Module:
        from torch import nn

        return nn.Conv2d(channels, 2, 1)
