"""The images of a training set, one by one: pixels, label, caption, id, and a valid file name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchkit.outputs.exports.names import Names
from benchkit.outputs.finished_run import FinishedRun, train_of
from benchkit.planning.plan import PlannedCell
from benchkit.stages.base import Env, Stage
from benchkit.stages.corrupt import AnyCorrupt
from benchkit.stages.images import Images
from benchkit.stages.pairs import AnyPairs, CorruptedPairs, LabelledPairs, PseudoPairs
from benchkit.stages.select import Select

Part = Literal["labelled", "pseudo", "corrupted"]

#: Grey values of artifact and ignored pixels in mask files. The `folder` dataset reads them with `ignore=128`.
ARTIFACT_GREY, IGNORED_GREY = 255, 128


@dataclass(frozen=True)
class Item:
    """One image (H, W, 3) uint8, as the detector was trained on it, with its label (H, W) bool.

    name: the id as a file name, unique in the set (see `names`). id, caption: those of the dataset. part: origin of
    image and label. split: the dataset's split. ignored: (H, W) bool, or None if no pixel is ignored.
    """

    name: str
    id: str
    image: np.ndarray
    mask: np.ndarray
    caption: str | None
    part: Part
    split: str
    ignored: np.ndarray | None = None

    def values(self, artifact: int = ARTIFACT_GREY, ignored: int = IGNORED_GREY) -> np.ndarray:
        """Return the label as (H, W) uint8 with the values 0, `artifact` and `ignored`."""
        values = self.mask.astype(np.uint8) * np.uint8(artifact)
        return values if self.ignored is None else np.where(self.ignored, np.uint8(ignored), values)

    @property
    def annotated(self) -> float:
        """The fraction of artifact pixels among those not ignored; 0 if all are ignored."""
        counted = self.mask if self.ignored is None else self.mask[~self.ignored]
        return float(counted.mean()) if counted.size else 0.0


def training_items(run: FinishedRun, planned: PlannedCell) -> Iterator[Item]:
    """Yield the training set of a cell in order, without images that have an empty selection.

    Raises BenchkitError before the first image if the cache no longer holds all of it.
    """
    pairs = train_of(planned).pairs
    run.require(dict.fromkeys(_stages(pairs)), run.name(planned))
    names = Names()
    for source, masks, images, part, ignored in _chunks(pairs, run.env):
        meta, split = run.env.meta(source), source.source.split
        for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
            if part == "labelled" or mask.any():
                name = names.of(meta["ids"][i])
                own = ignored[i] if ignored is not None and ignored[i].any() else None
                yield Item(name, meta["ids"][i], image, mask, meta["captions"][i], part, split, own)


def _chunks(pairs: AnyPairs, env: Env) -> Iterator[tuple[Images, np.ndarray, np.ndarray, Part, np.ndarray | None]]:
    """Yield each chunk: the source of its images, labels, pixels, part, and ignored pixels."""
    if isinstance(pairs, LabelledPairs):
        for stage in pairs.images:
            arrays = env.arrays(stage)
            yield stage, arrays["masks"], arrays["images"], "labelled", arrays.get("ignored")
    elif isinstance(pairs, PseudoPairs):
        masks, start = pairs.select.masks(env), 0
        for stage in pairs.images:
            images = env.arrays(stage)["images"]
            yield stage, masks[start : start + len(images)], images, "pseudo", None
            start += len(images)
    elif isinstance(pairs, CorruptedPairs):
        for chunk in pairs.chunks:
            arrays = env.arrays(chunk)
            yield _source(chunk), arrays["labels"], arrays["images"], "corrupted", None
    else:
        for inner in pairs.parts:
            yield from _chunks(inner, env)


def _source(chunk: AnyCorrupt) -> Images:
    return chunk.region.select.images[chunk.region.chunk]


def _stages(pairs: AnyPairs) -> Iterator[Stage | Select]:
    if isinstance(pairs, LabelledPairs):
        yield from pairs.images
    elif isinstance(pairs, PseudoPairs):
        yield from (*pairs.images, pairs.select)
    elif isinstance(pairs, CorruptedPairs):
        for chunk in pairs.chunks:
            yield from (chunk, _source(chunk))
    else:
        for inner in pairs.parts:
            yield from _stages(inner)
