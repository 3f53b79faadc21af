"""Detectors: they build the networks that benchkit trains to find artifacts."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from benchkit.api.plugin import Plugin
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor, nn


class Detector(Plugin):
    """Base class of detectors: builds a network, image -> logits of two classes."""

    kind: ClassVar[str] = "detector"
    #: Smallest batch size of training: 2 if a layer is batch-normalised after pooling to one pixel.
    smallest_batch: ClassVar[int] = 1

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a network with its pre-trained weights: (N, 3, H, W) float32 in [0, 1] -> logits (N, 2, H, W).

        Class 1 is the artifact. In training mode the network may return a sequence of logits, the main head's first.
        """

    def optimiser(self, network: nn.Module, lr: float) -> torch.optim.Optimizer | None:
        """Return the detector's own optimiser, or None for benchkit's (AdamW with the paper's settings)."""
        return None


class FrozenDetector(Detector):
    """Base class of detectors in two parts: a trunk that is never trained, and a small head that is.

    benchkit computes the trunk's feature maps of each image once, keeps them in the cache, and trains and scores heads
    on them. All detectors with the same trunk share its features. Resized bilinearly to a quarter of the image's sides
    (stride 4), concatenated, and standardised by the training set's mean and standard deviation of each channel, the
    maps are what a head is shown.

    A detector either names the detector whose trunk it uses (`trunk`), or has a trunk of its own (`build_trunk` and
    `maps`). Frozen detectors see whole images: crops, mirroring and other augmentations do not apply.
    """

    #: Parameters that shape the head alone: detectors that differ only in these have the same trunk.
    head_parameters: ClassVar[tuple[str, ...]] = ()
    #: Whether `fit` trains the head, in the place of benchkit's training loop.
    fits_itself: ClassVar[bool] = False

    def trunk(self) -> str:
        """Return the frozen detector whose trunk this one uses, `NAME:key=value`, or nothing if it has its own."""
        return ""

    def maps(self) -> Sequence[tuple[int, int]]:
        """Return channels and stride of each map of the detector's own trunk: (96, 4), (192, 8), ..."""
        return ()

    def build_trunk(self) -> nn.Module:
        """Return the detector's own trunk: images (N, 3, H, W) float32 in [0, 1] -> a list of maps (N, C, h, w).

        H and W are multiples of 32. The trunk runs in evaluation mode. Random weights are drawn from torch's global
        generator, which benchkit has seeded with 0. A trunk that gives two results for one batch is refused.
        """
        raise BenchkitError(f"detector '{self.name}' has no trunk: write trunk(), or build_trunk() and maps()")

    @abstractmethod
    def build_head(self, channels: int) -> nn.Module:
        """Return the head: standardised features (N, channels, h, w) at stride 4 -> logits (N, 2, h, w).

        Class 1 is the artifact. benchkit resizes the logits bilinearly to the image, and starts the bias of the last
        layer at the class prior. Draw random weights from torch's global generator, which benchkit has seeded.
        """

    def fit(self, head: nn.Module, features: Tensor, labels: Tensor, weights: Tensor) -> None:
        """Train the head on the whole training set at once; called only if `fits_itself` is true.

        features: (N, channels, h, w) float32, standardised. labels: (N, h, w), the fraction of artifact pixels among
        the counted pixels of each cell. weights: (N, h, w), the fraction of counted pixels, 0 where all are ignored.
        """
        raise BenchkitError(f"detector '{self.name}' says fits_itself and has no fit()")

    def parts(self) -> Sequence[str]:
        """Return the detector whose trunk it uses, if any: its identity counts into this one's."""
        return [text] if (text := self.trunk()) else []

    def build(self) -> nn.Module:
        """Raise BenchkitError: benchkit itself joins trunk and head."""
        raise BenchkitError(f"detector '{self.name}' is built by benchkit: call build_trunk() and build_head()")
