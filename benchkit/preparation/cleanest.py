"""Of images in the order of a draw, those in which a detector marks the least; scored in batches, in fixed memory."""

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

#: Images that the detector sees at once.
BATCH = 16
#: The file of a prepared set that has every candidate's figures.
SCORES = "cleanest.csv"

#: (N, size, size, 3) uint8 -> of each image the fraction of its area that is marked, and the mean probability.
Score = Callable[[NDArray[np.uint8]], Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Judge:
    """A detector that says which images are clean.

    about: what identifies it, plain data. candidates: how many images of a draw it sees. size: the pixels a side of the
    square it is shown of each, framed as the dataset's defaults frame it.
    """

    score: Score
    about: Mapping[str, Any]
    candidates: int
    size: int

    @property
    def framing(self) -> Framing:
        """How an image of any size becomes what the detector is shown."""
        return Framing(self.size)

    def scored(self, squares: Iterable[tuple[str, NDArray[np.uint8]]]) -> Iterator[Scored]:
        """Every (name, framed image) with its figures, in the order in which they come; BATCH are held at once."""
        left = iter(squares)
        while seen := list(islice(left, BATCH)):
            figures = self.score(np.stack([square for _, square in seen]))
            yield from (Scored(name, *one) for (name, _), one in zip(seen, figures, strict=True))


@dataclass(frozen=True)
class Scored:
    """What a detector said of one image: the fraction of its area that is marked, and the mean probability."""

    name: str
    fraction: float
    mean: float


def cleanest(scored: Sequence[Scored], count: int) -> list[Scored]:
    """Return the `count` with the smallest fraction (then smallest mean, then first), in the given order."""
    order = sorted(range(len(scored)), key=lambda i: (scored[i].fraction, scored[i].mean, i))
    return [scored[i] for i in sorted(order[:count])]


def write_scores(folder: Path, scored: Iterable[Scored], kept: Collection[str]) -> None:
    """Write the figures of all candidates, in the order of the draw. kept: names."""
    with (folder / SCORES).open("w", encoding="utf-8", errors="replace", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("name", "fraction", "mean", "kept"))
        for one in scored:
            lines.writerow((one.name, f"{one.fraction:.6g}", f"{one.mean:.6g}", int(one.name in kept)))


def facts(judge: Judge, scored: Sequence[Scored], kept: Sequence[Scored]) -> dict[str, Any]:
    """How the choice was made and what it came to, for the manifest."""
    return {
        **judge.about,
        "size": judge.size,
        "fit": judge.framing.fit,
        "candidates": judge.candidates,
        "scored": len(scored),
        "share_of_scored": sum(one.fraction for one in scored) / max(1, len(scored)),
        "share_of_kept": sum(one.fraction for one in kept) / max(1, len(kept)),
        "largest_share_kept": max((one.fraction for one in kept), default=0.0),
    }
