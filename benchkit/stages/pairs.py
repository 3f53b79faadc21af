"""Where a detector's training pairs come from: finished stages joined to (images, masks).

Ignored pixels are pixels whose label is not known. So they matter where the dataset's labels are used. Pseudo-labels
and corruptions bring labels of their own for every pixel: what the dataset ignores there plays no role.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchkit.errors import BenchkitError
from benchkit.stages.base import Arrays, Env
from benchkit.stages.corrupt import AnyCorrupt
from benchkit.stages.images import Images, check_ids, check_labelled
from benchkit.stages.select import Select
from benchkit.training.augmentation import IGNORED


@dataclass(frozen=True)
class Pairs:
    """Training images (N, H, W, 3) uint8 with masks (N, H, W); `dropped`: images whose selection was empty.

    masks: bool, or uint8 of 0, 1 and IGNORED where any pixel is ignored. kept: which images of the stages these are, or
    None for all of them.
    """

    images: np.ndarray
    masks: np.ndarray
    dropped: int = 0
    kept: np.ndarray | None = None

    @property
    def prevalence(self) -> float:
        """Return the fraction of artifact pixels among those not ignored; raise BenchkitError if all are ignored."""
        counted = self.masks if self.masks.dtype == np.bool_ else self.masks[self.masks != IGNORED]
        if not counted.size:
            raise BenchkitError("every pixel of the training images is ignored: no label is left to learn from")
        return float(counted.mean())


@dataclass(frozen=True)
class LabelledPairs:
    """Images with the dataset's labels."""

    images: tuple[Images, ...]

    @property
    def stages(self) -> tuple[Images, ...]:
        """Return the stages of its images, in order."""
        return self.images

    def load(self, env: Env) -> Pairs:
        check_ids(self.images, env)
        for stage in self.images:
            check_labelled(stage, env)
        parts = [env.arrays(stage) for stage in self.images]
        return Pairs(np.concatenate([p["images"] for p in parts]), np.concatenate([labels_of(p) for p in parts]))


@dataclass(frozen=True)
class PseudoPairs:
    """Images as they are, with a selector's masks; an empty selection is dropped, as for corruption."""

    images: tuple[Images, ...]
    select: Select

    @property
    def stages(self) -> tuple[Images, ...]:
        """Return the stages of its images, in order."""
        return self.images

    def load(self, env: Env) -> Pairs:
        images = np.concatenate([env.arrays(stage)["images"] for stage in self.images])
        return kept(images, self.select.masks(env))


@dataclass(frozen=True)
class CorruptedPairs:
    """Corrupted images with the masks they were corrupted in."""

    chunks: tuple[AnyCorrupt, ...]

    @property
    def stages(self) -> tuple[AnyCorrupt, ...]:
        """Return the stages of its images, in order."""
        return self.chunks

    def load(self, env: Env) -> Pairs:
        parts = [env.arrays(stage) for stage in self.chunks]
        return kept(np.concatenate([p["images"] for p in parts]), np.concatenate([p["labels"] for p in parts]))


@dataclass(frozen=True)
class MixedPairs:
    """The union of several sources of pairs."""

    parts: tuple[LabelledPairs | PseudoPairs | CorruptedPairs, ...]

    @property
    def stages(self) -> tuple[Images | AnyCorrupt, ...]:
        """Return the stages of its images, in order."""
        return tuple(stage for part in self.parts for stage in part.stages)

    def load(self, env: Env) -> Pairs:
        loaded = [part.load(env) for part in self.parts]
        images = np.concatenate([p.images for p in loaded])
        masks = np.concatenate([p.masks for p in loaded])
        kept = np.concatenate([np.ones(len(p.masks), bool) if p.kept is None else p.kept for p in loaded])
        return Pairs(images, masks, sum(p.dropped for p in loaded), kept)


AnyPairs = LabelledPairs | PseudoPairs | CorruptedPairs | MixedPairs


def labels_of(arrays: Arrays) -> np.ndarray:
    """Return the labels (N, H, W) of an Images stage: bool, or uint8 with IGNORED where any pixel is ignored."""
    ignored = arrays.get("ignored")
    return arrays["masks"] if ignored is None else np.where(ignored, np.uint8(IGNORED), arrays["masks"])


def kept(images: np.ndarray, masks: np.ndarray) -> Pairs:
    """Return the pairs whose mask is not empty, and how many were dropped."""
    keep = np.asarray(masks.any(axis=(1, 2)))
    return Pairs(images[keep], masks[keep], int((~keep).sum()), keep)
