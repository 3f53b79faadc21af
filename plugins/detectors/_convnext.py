"""transformers' ConvNeXt as a backbone of mmsegmentation's registry; imported inside `build()` only.

mmsegmentation's configs take ConvNeXt from mmpretrain, which needs torchvision; this one computes the same function.
"""

from __future__ import annotations

import re
from typing import Any

from mmseg.registry import MODELS
from torch import Tensor, nn
from transformers import ConvNextBackbone, ConvNextConfig

from benchkit_plugins.detectors._stem import convolutional_stem

#: mmpretrain's names -> transformers', in order.
NAMES = (
    (r"^backbone\.downsample_layers\.0\.0\.", "backbone.net.embeddings.patch_embeddings."),
    (r"^backbone\.downsample_layers\.0\.1\.", "backbone.net.embeddings.layernorm."),
    (r"^backbone\.downsample_layers\.(\d+)\.(\d+)\.", r"backbone.net.encoder.stages.\1.downsampling_layer.\2."),
    (r"^backbone\.stages\.(\d+)\.(\d+)\.", r"backbone.net.encoder.stages.\1.layers.\2."),
    (r"\.depthwise_conv\.", ".dwconv."),
    (r"(\.layers\.\d+)\.norm\.", r"\1.layernorm."),
    (r"\.pointwise_conv([12])\.", r".pwconv\1."),
    (r"(\.layers\.\d+)\.gamma$", r"\1.layer_scale_parameter"),
)


@MODELS.register_module(name="BenchkitConvNeXt", force=True)
class ConvNeXtFeatures(nn.Module):
    """(N, 3, H, W) -> the normalised feature maps of the four stages.

    Strides 4, 8, 16, 32 behind ConvNeXt's own patches of 4 ("patches"); 2, 4, 8, 16 behind a convolutional stem
    ("convolutions").
    """

    def __init__(
        self, hidden_sizes: tuple[int, ...], depths: tuple[int, ...], drop_path_rate: float, stem: str = "patches"
    ) -> None:
        super().__init__()
        config = ConvNextConfig(
            hidden_sizes=list(hidden_sizes),
            depths=list(depths),
            drop_path_rate=drop_path_rate,
            layer_scale_init_value=1.0,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )
        self.net: Any = ConvNextBackbone(config)
        if stem == "convolutions":
            self.net.embeddings.patch_embeddings = convolutional_stem(hidden_sizes[0])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps: tuple[Tensor, ...] = self.net(images).feature_maps
        return maps


def renamed(name: str) -> str:
    """Return the name here of a weight of mmsegmentation's UPerNet-ConvNeXt checkpoints (others unchanged)."""
    stage = re.match(r"^backbone\.norm(\d)\.(.*)$", name)
    if stage:
        return f"backbone.net.hidden_states_norms.stage{int(stage[1]) + 1}.{stage[2]}"
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name
