"""Keep the images in which a detector finds the least artifacts. Images are scored in batches, in fixed memory."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.readers.framing import Framing

#: Images that are scored at once.
BATCH = 16
#: The file of a prepared set with the scores of all candidates.
SCORES = "cleanest.csv"

#: (N, size, size, 3) uint8 -> for each image the predicted fraction of its area, and the mean probability.
Score = Callable[[NDArray[np.uint8]], Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Judge:
    """A detector that scores images by the artifacts it finds.

    about: what identifies it, as plain data. candidates: number of images of a draw that it scores. size: side in
    pixels of the square that each image is framed to, by the dataset's defaults.
    """

    score: Score
    about: Mapping[str, Any]
    candidates: int
    size: int

    @property
    def framing(self) -> Framing:
        """How an image of any size becomes the detector's input."""
        return Framing(self.size)

    def score_all(self, squares: Iterable[tuple[str, NDArray[np.uint8]]]) -> Iterator[Scored]:
        """Yield the scores of every (name, framed image), in order; BATCH images are in memory at once."""
        remaining = iter(squares)
        while batch := list(islice(remaining, BATCH)):
            scores = self.score(np.stack([square for _, square in batch]))
            yield from (Scored(name, *pair) for (name, _), pair in zip(batch, scores, strict=True))


@dataclass(frozen=True)
class Scored:
    """The scores of one image: the predicted fraction of its area, and the mean probability."""

    name: str
    fraction: float
    mean: float


def cleanest(scored: Sequence[Scored], count: int) -> list[Scored]:
    """Return the `count` with the smallest fraction (then smallest mean, then first), in the given order."""
    order = sorted(range(len(scored)), key=lambda i: (scored[i].fraction, scored[i].mean, i))
    return [scored[i] for i in sorted(order[:count])]


def write_scores(folder: Path, scored: Iterable[Scored], kept: Collection[str]) -> None:
    """Write the scores of all candidates, in the order of the draw. kept: names."""
    with (folder / SCORES).open("w", encoding="utf-8", errors="replace", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("name", "fraction", "mean", "kept"))
        for one in scored:
            lines.writerow((one.name, f"{one.fraction:.6g}", f"{one.mean:.6g}", int(one.name in kept)))


def facts(judge: Judge, scored: Sequence[Scored], kept: Sequence[Scored]) -> dict[str, Any]:
    """Return how images were chosen, and their mean scores, for the manifest."""
    return {
        **judge.about,
        "size": judge.size,
        "fit": judge.framing.fit,
        "candidates": judge.candidates,
        "scored": len(scored),
        "mean_fraction_scored": sum(one.fraction for one in scored) / max(1, len(scored)),
        "mean_fraction_kept": sum(one.fraction for one in kept) / max(1, len(kept)),
        "largest_fraction_kept": max((one.fraction for one in kept), default=0.0),
    }
