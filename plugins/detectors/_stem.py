"""The convolutional stem of the mini detectors."""

from __future__ import annotations

from torch import nn

WIDTHS = (16, 32)


def convolutional_stem(channels: int) -> nn.Sequential:
    """(N, 3, H, W) -> (N, channels, H/2, W/2): four 3x3 convolutions in place of the backbone's patch embedding.

    Xiao et al. 2021, "Early Convolutions Help Transformers See Better". Without it the minis, which no ImageNet has
    seen, hardly learned anything local in the few hundred iterations that the embedded benchmark gives them.
    """
    full, half = WIDTHS
    return nn.Sequential(
        *_convolution(3, full),
        *_convolution(full, full),
        *_convolution(full, half, stride=2),
        *_convolution(half, half),
        nn.Conv2d(half, channels, 1),
    )


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
