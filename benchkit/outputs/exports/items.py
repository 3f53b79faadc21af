"""What a training set consists of, image by image: pixels, label, caption, id, and a name that any file can have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchkit.outputs.exports.names import Names
from benchkit.outputs.finished_run import FinishedRun, train_of
from benchkit.planning.planner import PlannedCell
from benchkit.stages.base import Env, Stage
from benchkit.stages.corrupt import AnyCorrupt
from benchkit.stages.images import Images
from benchkit.stages.pairs import AnyPairs, CorruptedPairs, LabelledPairs, PseudoPairs
from benchkit.stages.select import Select

Part = Literal["labelled", "pseudo", "corrupted"]

#: An artifact in a mask that is a picture, and a pixel that counts in nothing: with `ignore=128` the `folder` dataset
#: reads such masks.
ARTIFACT_GREY, IGNORED_GREY = 255, 128


@dataclass(frozen=True)
class Item:
    """One image (H, W, 3) uint8 as the detector was shown it, with its label (H, W) bool.

    ignored: (H, W) bool, pixels that count in nothing, or None where every pixel counts.

    name: the id as a file's name, unique in the set (see `names`). id, caption: the dataset's. part: where image and
    label come from. split: the dataset's, that the image is of.
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
        """The label as (H, W) uint8: 0, `artifact` and, where any pixel counts in nothing, `ignored`."""
        values = self.mask.astype(np.uint8) * np.uint8(artifact)
        return values if self.ignored is None else np.where(self.ignored, np.uint8(ignored), values)

    @property
    def marked(self) -> float:
        """The artifact pixels over all that count; 0 where none does."""
        counted = self.mask if self.ignored is None else self.mask[~self.ignored]
        return float(counted.mean()) if counted.size else 0.0


def training_items(run: FinishedRun, planned: PlannedCell) -> Iterator[Item]:
    """The training set of a cell as its detector was shown it, in order; what had an empty selection is not in it.

    Raises BenchkitError, before the first one, where the cache does not hold all of it any more.
    """
    pairs = train_of(planned).pairs
    run.require(dict.fromkeys(_stages(pairs)), run.name(planned))
    names = Names()
    for source, masks, images, part, ignored in _chunks(pairs, run.env):
        meta, split = run.env.meta(source), source.source.split
        for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
            if part == "labelled" or mask.any():
                name = names.of(meta["ids"][i])
                left_out = ignored[i] if ignored is not None and ignored[i].any() else None
                yield Item(name, meta["ids"][i], image, mask, meta["captions"][i], part, split, left_out)


def _chunks(pairs: AnyPairs, env: Env) -> Iterator[tuple[Images, np.ndarray, np.ndarray, Part, np.ndarray | None]]:
    """Where a chunk's images come from, their labels, their pixels, what they are, and which pixels are ignored."""
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
