"""A detector on a frozen Swin transformer: a small head that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchkit.api import FrozenDetector, hookimpl
from benchkit_plugins.detectors._frozen_upernet import FrozenUPerNet
from benchkit_plugins.detectors.upernet_swin import BACKBONES, UPerNetSwin


@dataclass(frozen=True)
class FrozenSwin(FrozenUPerNet):
    """A small head on the four maps of the Swin transformer of `upernet-swin`, whose weights are never trained."""

    name = "frozen-swin"
    whole = UPerNetSwin

    def maps(self) -> Sequence[tuple[int, int]]:
        """Return channels and strides of the four stages."""
        backbone = BACKBONES[self.size]
        first = backbone.get("patch_size", 4)
        return [(backbone["embed_dims"] * 2**i, first * 2**i) for i in range(len(backbone["depths"]))]


@hookimpl
def benchkit_detectors() -> list[type[FrozenDetector]]:
    return [FrozenSwin]
