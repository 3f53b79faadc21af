"""What both UPerNet plugins need of mmsegmentation; imported inside `build()` only (it takes seconds)."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchkit.api import BenchkitError
from benchkit_plugins.detectors._weights import Pretraining

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Input sides are padded to a multiple of this: the stride of the backbones' last stage.
STRIDE = 32
#: Warnings that concern mmsegmentation's own training pipeline or operators which nothing here uses.
NOISE = ("For binary segmentation, we suggest", "Fail to import ``MultiScaleDeformableAttention``")


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the warnings of NOISE and those of what the libraries call deprecated, and no others."""
    with warnings.catch_warnings():
        # Importing mmcv calls torch.jit.script: under `python -W error` that would end every training.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        for message in NOISE:
            warnings.filterwarnings("ignore", message=re.escape(message), category=UserWarning)
        yield


class UPerNet(nn.Module):
    """An mmsegmentation EncoderDecoder as a plain function of images.

    forward: (N, 3, H, W) float32 in [0, 1] -> logits (N, classes, H, W); in training mode the tuple (main,
    auxiliary), both at that size. Sides that are not a multiple of 32 are padded inside by repeating the edge.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, segmentor: nn.Module) -> None:
        super().__init__()
        self.segmentor: Any = segmentor
        self.pretraining = Pretraining("none")
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if self.training and len(images) < 2:
            raise BenchkitError("UPerNet trains on batches of 2 or more: its 1x1 pooling is batch-normalised")
        height, width = images.shape[-2:]
        x = (images - self.mean) / self.std
        if height % STRIDE or width % STRIDE:
            x = functional.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        features = self.segmentor.extract_feat(x)
        size = (x.shape[-2], x.shape[-1])
        main = _enlarged(self.segmentor.decode_head(features), size)[..., :height, :width]
        if not self.training:
            return main
        return main, _enlarged(self.segmentor.auxiliary_head(features), size)[..., :height, :width]


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def upernet(backbone: dict[str, Any], widths: tuple[int, ...], channels: tuple[int, int], num_classes: int) -> UPerNet:
    """UPerNet on `backbone`, whose four stages have `widths` channels; channels: of the main and
    the auxiliary head.

    Differs from mmsegmentation's shipped configs in BN for SyncBN (the same on one device) and in the sizes.
    """
    with quiet():
        import mmseg.models
        from mmseg.registry import MODELS

        assert mmseg.models  # imported for its registrations
        norm = {"type": "BN", "requires_grad": True}
        loss = {"type": "CrossEntropyLoss", "avg_non_ignore": True}  # never called; unset it warns about its default
        head = {"dropout_ratio": 0.1, "num_classes": num_classes, "norm_cfg": norm, "align_corners": False}
        main = {"type": "UPerHead", "in_index": [0, 1, 2, 3], "pool_scales": (1, 2, 3, 6), "loss_decode": loss}
        auxiliary = {"type": "FCNHead", "in_index": 2, "num_convs": 1, "concat_input": False, "loss_decode": loss}
        segmentor = MODELS.build(
            {
                "type": "EncoderDecoder",
                "backbone": backbone,
                "decode_head": main | head | {"in_channels": list(widths), "channels": channels[0]},
                "auxiliary_head": auxiliary | head | {"in_channels": widths[2], "channels": channels[1]},
                "test_cfg": {"mode": "whole"},
            }
        )
    # What mmsegmentation's init_weights() does to these heads; itself it logs a page for every weight.
    for decoder in (segmentor.decode_head, segmentor.auxiliary_head):
        nn.init.normal_(decoder.conv_seg.weight, std=0.01)
        nn.init.zeros_(decoder.conv_seg.bias)
    return UPerNet(segmentor)
