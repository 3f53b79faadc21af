"""A small head on the frozen backbone of any mmsegmentation config."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, FrozenDetector, hookimpl, param, print_value
from benchkit_plugins.detectors.mmseg_config import MMSegConfig

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)
_OUTPUT = re.compile(r"([1-9]\d{0,5})x([1-9]\d{0,3})")


@dataclass(frozen=True)
class FrozenMMSeg(FrozenDetector):
    """A small head on the backbone (and neck) of an mmsegmentation config, whose weights are never trained.

    `outputs` declares the backbone's maps, because planning does not run the config: it is a program. Maps that are not
    as declared are refused.
    """

    name = "frozen-mmseg"
    head_parameters = ("width",)
    config: str = param(
        "segformer_mit-b0_8xb2-160k_ade20k-512x512",
        doc="FILE (a .py config is a program, and is run), or the name of a config that mmsegmentation ships",
    )
    checkpoint: str = param("none", doc="FILE or URL of weights in mmsegmentation's format; none: random, for tests")
    outputs: str = param("32x4+64x8+160x16+256x32", doc="CHANNELSxSTRIDE of each map of the backbone, joined by +")
    width: int = param(48, ge=1, le=1024, doc="channels of the head")

    def __post_init__(self) -> None:
        """Refuse maps of another form."""
        if not all(map(_OUTPUT.fullmatch, self.outputs.split("+"))):
            raise BenchkitError(
                f"frozen-mmseg:outputs={self.outputs}: write CHANNELSxSTRIDE of each map, as 96x4+192x8"
            )

    def parts(self) -> Sequence[str]:
        """Return the detector whose backbone and weights these are."""
        return [f"mmseg:config={print_value(self.config)},checkpoint={print_value(self.checkpoint)}"]

    def maps(self) -> Sequence[tuple[int, int]]:
        """Return channels and strides as declared."""
        return [(int(one[1]), int(one[2])) for one in map(_OUTPUT.fullmatch, self.outputs.split("+")) if one]

    def build_trunk(self) -> nn.Module:
        """Return the backbone with its weights; images are normalised as the config says."""
        from benchkit_plugins.detectors import _segmentor

        if self.checkpoint == "none":
            log.warning(
                "frozen-mmseg: the trunk has random weights and learns nothing: name weights by checkpoint=FILE"
            )
        return _segmentor.Trunk(MMSegConfig(config=self.config, checkpoint=self.checkpoint).build())

    def build_head(self, channels: int) -> nn.Module:
        """Return the small head."""
        from benchkit_plugins.detectors import _frozen

        return _frozen.small_head(channels, self.width)


@hookimpl
def benchkit_detectors() -> list[type[FrozenDetector]]:
    return [FrozenMMSeg]
