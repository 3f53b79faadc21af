"""The trunk and the head of the frozen detectors; imported inside `build_trunk()` and `build_head()` only."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from benchkit_plugins.detectors._mmseg import quiet


class Trunk(nn.Module):
    """The backbone of a `UPerNet`: images (N, 3, H, W) in [0, 1] -> the maps of its four stages."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.backbone: Any = network.segmentor.backbone
        self.register_buffer("mean", network.mean)
        self.register_buffer("std", network.std)

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.backbone((images - self.mean) / self.std))


def small_head(channels: int, width: int) -> nn.Sequential:
    """Return 1x1 convolution, GELU, depthwise 3x3, GELU, 1x1: the smallest head that sees a pixel's neighbours.

    The first convolution is a module of its own, so that benchkit can apply it before the maps are resized.
    """
    with quiet():
        from mmcv.cnn import ConvModule

    gelu = {"type": "GELU"}
    return nn.Sequential(
        ConvModule(channels, width, 1, act_cfg=None).conv,
        nn.GELU(),
        ConvModule(width, width, 3, padding=1, groups=width, act_cfg=gelu, inplace=False),
        nn.Conv2d(width, 2, 1),
    )
