"""Do the intervals cover? Simulate boards whose true figures are known, and count how often intervals hold them.

usage: coverage.py [--boards N] [--seeds 2,3,5,10]; exits with 1 if a cell of the table lies outside 93 to 97 %.

Every simulated board has nine methods on 200 images. An image's size is log-normal, so that a few images weigh much,
as in real test sets. A method's pooled figure is the mean fraction of an image's pixels that it finds, on the logit
scale the sum of the method's level, an image's difficulty (in part shared by all methods), a seed's effect and a
remainder. The truth is that figure over infinitely many images and seeds, by numerical integration.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from benchkit.statistics.intervals import differences, intervals
from benchkit.statistics.resampling import resample

METHODS, IMAGES, REPLICATES = 9, 200, 400
LIMITS = (0.93, 0.97)
#: Of an image's difficulty: the standard deviations that all methods share, and that a method has by itself.
SHARED, OWN = 0.85, 0.26


@dataclass(frozen=True)
class World:
    """Standard deviations on the logit scale.

    level: of the middle method. unequal: of the logarithm of the seed part, between methods.
    """

    name: str
    level: float
    images: float
    seeds: float
    rest: float
    unequal: float = 0.0


WORLDS = (
    World("images dominate", 0, 1.5, 0.05, 0.3),
    World("seeds dominate", 0, 0.5, 0.6, 0.1),
    World("both", 0, 1.2, 0.15, 0.5),
    World("seeds unequal", 0, 1.2, 0.25, 0.4, 0.6),
    World("figures near 0", -4.5, 1.5, 0.3, 0.5),
    World("figures near 1", 4.5, 1.5, 0.3, 0.5),
)


def simulate(world: World, seeds: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the terms (methods, seeds, images, 2) of one board, found and total pixels, and its truths (methods,)."""
    levels = world.level + np.linspace(-0.4, 0.4, METHODS)
    spreads = world.seeds * np.exp(world.unequal * rng.normal(size=METHODS))
    size = np.exp(rng.normal(size=IMAGES))
    difficulty = SHARED * rng.normal(size=IMAGES) + OWN * rng.normal(size=(METHODS, 1, IMAGES))
    logits = (
        levels[:, None, None]
        + world.images * difficulty
        + spreads[:, None, None] * rng.normal(size=(METHODS, seeds, 1))
    )
    found = size * expit(logits + world.rest * rng.normal(size=logits.shape))
    terms = np.stack([found, np.broadcast_to(size, found.shape)], axis=-1)
    between = np.hypot(world.images * np.hypot(SHARED, OWN), world.rest)
    at_images = between * stats.norm.ppf((np.arange(801) + 0.5) / 801)
    at_seeds = stats.norm.ppf((np.arange(201) + 0.5) / 201)
    truth = [expit(m + s * at_seeds[:, None] + at_images).mean() for m, s in zip(levels, spreads, strict=True)]
    return terms, np.array(truth)


def cover(world: World, seeds: int, boards: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return how often intervals of single methods, and of differences to the first, hold the truth."""
    single, paired = [], []
    for _ in range(boards):
        terms, truth = simulate(world, seeds, rng)
        methods = {str(i): own for i, own in enumerate(terms)}
        drawn = resample(methods, lambda s: s[..., 0] / s[..., 1], replicates=REPLICATES, seed=int(rng.integers(2**31)))
        single += [found.low <= truth[int(i)] <= found.high for i, found in intervals(drawn).items()]
        pairs = [(str(i), "0") for i in range(1, METHODS)]
        for (i, _), found in differences(drawn, pairs).items():
            paired.append(found.low <= truth[int(i)] - truth[0] <= found.high)
    return float(np.mean(single)), float(np.mean(paired))


def main() -> int:
    """Print the table; return 1 if a cell lies outside of the limits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--boards", type=int, default=300)
    parser.add_argument("--seeds", default="2,3,5,10")
    asked = parser.parse_args()
    outside = 0
    print(f"{'world':18s} seeds  single  difference   (nominal 95 %, {asked.boards} boards)")
    for number, world in enumerate(WORLDS):
        for seeds in map(int, asked.seeds.split(",")):
            found = cover(world, seeds, asked.boards, np.random.default_rng([number, seeds]))
            marks = ["" if LIMITS[0] <= share <= LIMITS[1] else "*" for share in found]
            outside += sum(map(bool, marks))
            print(
                f"{world.name:18s} {seeds:5d} {100 * found[0]:6.1f}{marks[0]:1s} {100 * found[1]:9.1f}{marks[1]}",
                flush=True,
            )
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main())
