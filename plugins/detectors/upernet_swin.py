"""UPerNet on a Swin backbone, mmsegmentation's own classes (the paper's "Swin-T", Sec. 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchkit.api import Detector, hookimpl, param

if TYPE_CHECKING:
    from torch import nn

    from benchkit_plugins.detectors import _mmseg

#: tiny: mmsegmentation's shipped Swin-T config.
BACKBONES: dict[str, dict[str, Any]] = {
    # At 128 pixels a finger is 6 wide: patches of 4 lose what is wrong with it, so a convolutional stem of stride 2.
    "mini": {
        "embed_dims": 24,
        "depths": (2, 2, 2, 2),
        "num_heads": (1, 2, 4, 8),
        "window_size": 4,
        "patch_size": 2,
        "strides": (2, 2, 2, 2),
    },
    "tiny": {"embed_dims": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24), "window_size": 7},
}
DROP_PATH = {"mini": 0.1, "tiny": 0.3}
#: Channels of the main and the auxiliary head.
HEADS = {"mini": (32, 16), "tiny": (512, 256)}


@dataclass(frozen=True)
class UPerNetSwin(Detector):
    """UPerNet on a Swin transformer; 1.50 M parameters for 128-pixel images (mini), 59.8 M as in the paper (tiny)."""

    name = "upernet-swin"
    smallest_batch = 2  # the head normalises a batch after pooling it to one pixel
    size: str = param("mini", choices=("mini", "tiny"), doc="mini for 128-pixel images, tiny for the paper's Swin-T")
    pretrained: str = param(
        "auto",
        doc="parts: embedded weights from part segmentation (mini only); none: random; FILE or URL: a checkpoint in "
        "mmsegmentation's format, such as ADE20K's; auto: parts for mini, none for tiny",
    )

    def depends_on(self) -> str:
        """Return the digest of the weights it starts from; a URL is downloaded once."""
        from benchkit_plugins.detectors import _identity

        source = _identity.chosen_source(self.size, self.pretrained)
        return _identity.weights_digest(source, f"{self.name}-mini.safetensors")

    def build(self) -> nn.Module:
        """Return the two-class network, pre-trained as `pretrained` says.

        Weights without pre-training are drawn from torch's global generator: seed it first. `pretraining` on the
        network names what was loaded. Raises BenchkitError for missing or unfit weights.
        """
        from benchkit_plugins.detectors import _weights

        network = self.network(2)
        _weights.load_chosen(network, self.name, self.size, self.pretrained)
        return network

    def network(self, num_classes: int) -> _mmseg.UPerNet:
        """Return the same network for any number of classes, not pre-trained."""
        from torch import nn

        from benchkit_plugins.detectors import _mmseg, _stem

        backbone = {"type": "SwinTransformer", "drop_path_rate": DROP_PATH[self.size], **BACKBONES[self.size]}
        width = backbone["embed_dims"]
        network = _mmseg.upernet(backbone, (width, 2 * width, 4 * width, 8 * width), HEADS[self.size], num_classes)
        if self.size == "mini":
            network.segmentor.backbone.patch_embed.projection = _stem.convolutional_stem(width)
        # What SwinTransformer.init_weights() does without a checkpoint; itself it prints that it has none.
        for module in network.segmentor.backbone.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        return network


@hookimpl
def benchkit_detectors() -> list[type[Detector]]:
    return [UPerNetSwin]
