"""A detector on a frozen Swin transformer: a small head that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, FrozenDetector, hookimpl, param, print_value
from benchkit_plugins.detectors.upernet_swin import BACKBONES, UPerNetSwin

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FrozenSwin(FrozenDetector):
    """A small head on the four maps of the Swin transformer of `upernet-swin`, whose weights are never trained."""

    name = "frozen-swin"
    head_parameters = ("width",)
    size: str = param("mini", choices=("mini", "tiny"), doc="mini for 128-pixel images, tiny for the paper's Swin-T")
    pretrained: str = param("auto", doc="as of upernet-swin; size=tiny needs a FILE or URL")
    width: int = param(48, ge=1, le=1024, doc="channels of the head")

    def __post_init__(self) -> None:
        """Refuse a trunk that nothing was learned for: random features are asked for by pretrained=none."""
        if self.size == "tiny" and self.pretrained == "auto":
            raise BenchkitError(f"{self.name}:size=tiny has no embedded weights: name a FILE or URL by pretrained=")

    def parts(self) -> Sequence[str]:
        """Return the detector whose backbone and weights these are."""
        return [f"upernet-swin:size={self.size},pretrained={print_value(self.pretrained)}"]

    def maps(self) -> Sequence[tuple[int, int]]:
        """Return channels and strides of the four stages."""
        backbone = BACKBONES[self.size]
        first = backbone.get("patch_size", 4)
        return [(backbone["embed_dims"] * 2**i, first * 2**i) for i in range(len(backbone["depths"]))]

    def build_trunk(self) -> nn.Module:
        """Return the backbone with its weights."""
        from benchkit_plugins.detectors import _frozen

        network = UPerNetSwin(size=self.size, pretrained=self.pretrained).build()
        return _frozen.Trunk(network)

    def build_head(self, channels: int) -> nn.Module:
        """Return the small head."""
        from benchkit_plugins.detectors import _frozen

        return _frozen.small_head(channels, self.width)


@hookimpl
def benchkit_detectors() -> list[type[FrozenDetector]]:
    return [FrozenSwin]
