"""What the frozen detectors on UPerNet's backbones share. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchkit.api import BenchkitError, Detector, FrozenDetector, param, print_value

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FrozenUPerNet(FrozenDetector):
    """A small head on the backbone of `whole`, whose weights are never trained."""

    #: The detector whose backbone and weights these are.
    whole: ClassVar[type[Detector]]
    head_parameters = ("width",)
    size: str = param("mini", choices=("mini", "tiny"), doc="mini for 128-pixel images; tiny is the paper's size")
    pretrained: str = param("auto", doc="as of the detector that is trained whole; size=tiny needs a FILE or URL")
    width: int = param(48, ge=1, le=1024, doc="channels of the head")

    def __post_init__(self) -> None:
        """Refuse a trunk without weights unless pretrained=none asks for it."""
        if self.size == "tiny" and self.pretrained == "auto":
            raise BenchkitError(f"{self.name}:size=tiny has no embedded weights: name a FILE or URL by pretrained=")

    def parts(self) -> Sequence[str]:
        """Return the detector whose backbone and weights these are."""
        return [f"{self.whole.name}:size={self.size},pretrained={print_value(self.pretrained)}"]

    def build_trunk(self) -> nn.Module:
        """Return the backbone with its weights."""
        from benchkit_plugins.detectors import _frozen

        return _frozen.Trunk(self.whole(size=self.size, pretrained=self.pretrained).build())  # type: ignore[call-arg]

    def build_head(self, channels: int) -> nn.Module:
        """Return the small head."""
        from benchkit_plugins.detectors import _frozen

        return _frozen.small_head(channels, self.width)
