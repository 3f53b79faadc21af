"""Where a detector's training pairs come from: finished stages joined to (images, masks).

They stay on disk: an image or a mask is read when it is asked for.

Ignored pixels are pixels whose label is not known. So they matter where the dataset's labels are used. Pseudo-labels
and corruptions bring labels of their own for every pixel: what the dataset ignores there plays no role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchkit.errors import BenchkitError
from benchkit.stages.base import Env
from benchkit.stages.corrupt import AnyCorrupt
from benchkit.stages.images import Images, check_ids, check_labelled
from benchkit.stages.select import Select
from benchkit.system.stack import MadeRows, Rows, Stack
from benchkit.training.augmentation import IGNORED


@dataclass(frozen=True)
class Pairs:
    """Training images (N, H, W, 3) uint8 with masks (N, H, W); `dropped`: images whose selection was empty.

    masks: bool, or uint8 of 0, 1 and IGNORED where any pixel is ignored. kept: which images of the stages these are, or
    None for all of them.
    """

    images: Rows
    masks: Rows
    dropped: int = 0
    kept: np.ndarray | None = None

    @cached_property
    def prevalence(self) -> float:
        """Return the fraction of artifact pixels among those not ignored; raise BenchkitError if all are ignored."""
        counts = [(np.count_nonzero(mask == 1), np.count_nonzero(mask != IGNORED)) for mask in self.masks]
        artifact, counted = map(sum, zip(*counts, strict=True))
        if not counted:
            raise BenchkitError("every pixel of the training images is ignored: no label is left to learn from")
        return artifact / counted


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
        parts = [env.on_disk(stage) for stage in self.images]
        return Pairs(Stack([part["images"] for part in parts]), Stack([labels_of(part) for part in parts]))


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
        images = Stack([env.on_disk(stage)["images"] for stage in self.images])
        return drop_empty_masks(images, Stack([self.select.mask_rows(env)]))


@dataclass(frozen=True)
class CorruptedPairs:
    """Corrupted images with the masks they were corrupted in."""

    chunks: tuple[AnyCorrupt, ...]

    @property
    def stages(self) -> tuple[AnyCorrupt, ...]:
        """Return the stages of its images, in order."""
        return self.chunks

    def load(self, env: Env) -> Pairs:
        parts = [env.on_disk(stage) for stage in self.chunks]
        return drop_empty_masks(*(Stack([part[name] for part in parts]) for name in ("images", "labels")))


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
        images, masks = Stack([p.images for p in loaded]), Stack([p.masks for p in loaded])
        kept = np.concatenate([np.ones(len(p.masks), bool) if p.kept is None else p.kept for p in loaded])
        return Pairs(images, masks, sum(p.dropped for p in loaded), kept)


AnyPairs = LabelledPairs | PseudoPairs | CorruptedPairs | MixedPairs


def labels_of(arrays: Mapping[str, Rows]) -> Rows:
    """Return the labels (N, H, W) of an Images stage: bool, or uint8 with IGNORED where any pixel is ignored."""
    masks = arrays["masks"]
    if "ignored" not in arrays:
        return masks

    def mark(mask: np.ndarray, ignored: np.ndarray) -> np.ndarray:
        return np.where(ignored, np.uint8(IGNORED), mask)

    return MadeRows(mark, masks, arrays["ignored"], shape=masks.shape, dtype=np.uint8)


def drop_empty_masks(images: Stack, masks: Stack) -> Pairs:
    """Return the pairs whose mask is not empty, and how many were dropped."""
    keep = np.array([mask.any() for mask in masks], bool)
    return Pairs(images.where(keep), masks.where(keep), int((~keep).sum()), keep)
