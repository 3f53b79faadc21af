"""A detector on the ConvNeXt whose part pre-training was longer: a small head that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import FrozenDetector, hookimpl, param
from benchkit_plugins.detectors.frozen_convnext import FrozenConvNeXt
from benchkit_plugins.detectors.upernet_convnext import UPerNetConvNeXt

if TYPE_CHECKING:
    from torch import nn

#: The weights, in benchkit/assets/detectors/; the card beside them states how they were made.
WEIGHTS = "upernet-convnext-mini-long.safetensors"


@dataclass(frozen=True)
class FrozenConvNeXtLong(FrozenDetector):
    """A small head on the trunk of `frozen-convnext` after four times as many iterations of part pre-training.

    A detector of its own and not a parameter of `frozen-convnext`, so that the identity of that one, and with it the
    official board, stays as it is.
    """

    name = "frozen-convnext-long"
    head_parameters = ("width",)
    width: int = param(48, ge=1, le=1024, doc="channels of the head")

    def depends_on(self) -> str:
        """Return the digest of the trunk's weights."""
        from benchkit_plugins.detectors import _identity

        return _identity.weights_digest("parts", WEIGHTS)

    def maps(self) -> Sequence[tuple[int, int]]:
        """Return channels and strides of the four stages."""
        return FrozenConvNeXt().maps()

    def build_trunk(self) -> nn.Module:
        """Return the backbone with its weights."""
        from benchkit_plugins.detectors import _frozen, _weights

        network = UPerNetConvNeXt(pretrained="none").network(2)
        _weights.load_pretraining(network, _weights.embedded(WEIGHTS), WEIGHTS)
        return _frozen.Trunk(network)

    def build_head(self, channels: int) -> nn.Module:
        """Return the small head."""
        return FrozenConvNeXt(width=self.width).build_head(channels)


@hookimpl
def benchkit_detectors() -> list[type[FrozenDetector]]:
    return [FrozenConvNeXtLong]
