"""UPerNet on a ConvNeXt backbone: mmsegmentation's head, transformers' backbone (the paper's "ConvNeXt", Sec. 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchkit.api import Detector, hookimpl, param

if TYPE_CHECKING:
    from torch import nn

    from benchkit_plugins.detectors import _mmseg

#: tiny: mmsegmentation's shipped ConvNeXt-T config.
BACKBONES: dict[str, dict[str, Any]] = {
    # At 128 pixels a finger is 6 wide: patches of 4 lose what is wrong with it.
    "mini": {"hidden_sizes": (24, 48, 96, 192), "depths": (1, 1, 2, 1), "drop_path_rate": 0.1, "stem": "convolutions"},
    "tiny": {"hidden_sizes": (96, 192, 384, 768), "depths": (3, 3, 9, 3), "drop_path_rate": 0.4},
}
#: Channels of the main and the auxiliary head.
HEADS = {"mini": (32, 16), "tiny": (512, 256)}


@dataclass(frozen=True)
class UPerNetConvNeXt(Detector):
    """UPerNet on ConvNeXt; 0.81 M parameters for 128-pixel images (mini), 60.1 M for ConvNeXt-T (tiny).

    The paper does not say which size its ConvNeXt has; the smallest, which Swin-T matches, is our choice.
    """

    name = "upernet-convnext"
    smallest_batch = 2  # the head normalises a batch after pooling it to one pixel
    size: str = param("mini", choices=("mini", "tiny"), doc="mini for 128-pixel images, tiny for ConvNeXt-T")
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
        from benchkit_plugins.detectors import _convnext, _weights

        network = self.network(2)
        _weights.load_chosen(network, self.name, self.size, self.pretrained, _convnext.renamed)
        return network

    def network(self, num_classes: int) -> _mmseg.UPerNet:
        """Return the same network for any number of classes, not pre-trained."""
        from benchkit_plugins.detectors import _convnext, _mmseg

        assert _convnext  # imported to register the backbone
        backbone = {"type": "BenchkitConvNeXt", **BACKBONES[self.size]}
        return _mmseg.upernet(backbone, backbone["hidden_sizes"], HEADS[self.size], num_classes)


@hookimpl
def benchkit_detectors() -> list[type[Detector]]:
    return [UPerNetConvNeXt]
