"""Do the intervals cover? Simulate boards whose true figures are known, and count how often intervals contain them.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py [--boards N] [--seeds 2,3,5,10] [--world NAME]

The rule: nominal 95 % intervals must cover 93 to 97 % of the truths in every cell of the table, single rows and paired
differences alike. A cell fails if its coverage lies outside by more than twice its own simulation error (the standard
error over boards, printed with ±; the rows of one board share images and seeds, so a board counts as one observation).
The exit code is 1 if any cell fails. Cells in parentheses are printed and not judged: the world `one unstable row`
has a row whose seeds vary ten times as much as the others', and `two rows alike` has two rows whose seeds vary
together, as rows do that train on almost the same images (the first figure of each column is that of the other rows or
pairs, and is judged).

Every simulated board has nine methods on 200 images. An image's size is log-normal, so that a few images weigh much,
as in real test sets. A method's pooled figure is the mean fraction of an image's pixels that it finds, on the logit
scale the sum of the method's level, an image's difficulty (in part shared by all methods), a seed's effect (in part
shared by all methods, too, where the world says so) and a remainder. The truth is that figure over infinitely many
images and seeds, by numerical integration.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from benchkit.statistics.intervals import compute_differences, compute_intervals
from benchkit.statistics.jackknife import jackknife

Floats = NDArray[np.float64]
METHODS, IMAGES = 9, 200
LIMITS = (93.0, 97.0)
#: How many of its own standard errors a cell may lie outside of the limits.
ERRORS = 2.0
#: Of an image's difficulty: the standard deviations that all methods share, and that a method has by itself.
SHARED, OWN = 0.85, 0.26
#: The standard deviation of what two rows alike do not share, as a fraction of the whole.
ALIKE = 0.05


@dataclass(frozen=True)
class World:
    """Standard deviations on the logit scale.

    level: of the middle method. unequal: of the logarithm of the seed part, between methods. common: fraction of the
    seed part's variance that all methods share. unstable: whether the first method's seeds vary ten times as much.
    alike: whether the second method is the first one but for a small remainder. apart: how far the outer methods'
    levels lie from the middle one's.
    """

    name: str
    level: float
    images: float
    seeds: float
    rest: float
    unequal: float = 0.0
    common: float = 0.0
    unstable: bool = False
    alike: bool = False
    apart: float = 0.4


WORLDS = (
    World("images dominate", 0, 1.5, 0.05, 0.3),
    World("seeds dominate", 0, 0.5, 0.6, 0.1),
    World("both", 0, 1.2, 0.15, 0.5),
    World("seeds shared", 0, 1.2, 0.25, 0.4, common=0.7),
    World("seeds unequal", 0, 1.2, 0.25, 0.4, unequal=0.6),
    World("near 0", -4.5, 1.5, 0.3, 0.5),
    World("near 0, seeds", -3, 0.5, 0.8, 0.3, unequal=0.4),
    World("near 1", 4.5, 1.5, 0.3, 0.5),
    World("one unstable row", 0, 1.2, 0.15, 0.5, unstable=True),
    World("two rows alike", -1.5, 1.2, 0.25, 0.5, alike=True),
)


def simulate(world: World, seeds: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the terms (methods, seeds, images, 2) of one board, found and total pixels, and its truths (methods,)."""
    levels = world.level + np.linspace(-world.apart, world.apart, METHODS)
    spreads = world.seeds * np.exp(world.unequal * rng.normal(size=METHODS))
    if world.unstable:
        levels[0], spreads[0] = -4, 10 * world.seeds
    size = np.exp(rng.normal(size=IMAGES))
    for_all, apart = rng.normal(size=IMAGES), rng.normal(size=(METHODS, 1, IMAGES))
    own, common = rng.normal(size=(METHODS, seeds, 1)), rng.normal(size=(1, seeds, 1))
    rest = rng.normal(size=(METHODS, seeds, IMAGES))
    if world.alike:
        levels[1], spreads[1] = levels[0], spreads[0]
        for part in (apart, own, rest):
            part[1] = np.sqrt(1 - ALIKE**2) * part[0] + ALIKE * part[1]
    difficulty = SHARED * for_all + OWN * apart
    effects = np.sqrt(1 - world.common) * own + np.sqrt(world.common) * common
    logits = levels[:, None, None] + world.images * difficulty + spreads[:, None, None] * effects
    found = size * expit(logits + world.rest * rest)
    between = np.hypot(world.images * np.hypot(SHARED, OWN), world.rest)
    at_images = between * stats.norm.ppf((np.arange(401) + 0.5) / 401)
    at_seeds = spreads[:, None, None] * stats.norm.ppf((np.arange(101) + 0.5) / 101)[:, None]
    truth = expit(levels[:, None, None] + at_seeds + at_images).mean(axis=(1, 2))
    return np.stack([found, np.broadcast_to(size, found.shape)], axis=-1), truth


def cover_board(world: World, seeds: int, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for one board which intervals contain the truth: of the rows (methods,), of all pairs."""
    terms, truth = simulate(world, seeds, rng)
    drawn = jackknife({str(i): own for i, own in enumerate(terms)}, lambda sums: sums[..., 0] / sums[..., 1])
    single = [found.low <= truth[int(i)] <= found.high for i, found in compute_intervals(drawn).items()]
    pairs = [(str(i), str(j)) for i, j in combinations(range(METHODS), 2)]
    paired = [
        found.low <= truth[int(i)] - truth[int(j)] <= found.high
        for (i, j), found in compute_differences(drawn, pairs).items()
    ]
    return np.array(single), np.array(paired)


@dataclass(frozen=True)
class Coverage:
    """Per cent of intervals that contain the truth, with its standard error over boards."""

    value: float
    error: float

    @classmethod
    def of(cls, boards: NDArray[np.bool_]) -> Coverage:
        """Return the coverage of (boards, intervals)."""
        means = 100 * boards.mean(axis=1)
        return cls(float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means))))

    @property
    def fails(self) -> bool:
        """Whether it lies outside of LIMITS beyond its simulation error."""
        half_width = ERRORS * self.error
        return self.value + half_width < LIMITS[0] or self.value - half_width > LIMITS[1]

    def __str__(self) -> str:
        """The coverage as the table shows it."""
        return f"{self.value:5.1f} ± {self.error:3.1f}{'*' if self.fails else ' '}"


def cover(world: World, seeds: int, boards: int) -> tuple[Coverage, Coverage, str, str]:
    """Return the coverage of single rows and of pairs, and of those that stand apart as text."""
    rng = np.random.default_rng([seeds, *world.name.encode()])
    single, paired = map(np.stack, zip(*(cover_board(world, seeds, rng) for _ in range(boards)), strict=True))
    if world.alike:  # `combinations` gives the pair of the first two methods first
        return Coverage.of(single), Coverage.of(paired[:, 1:]), "", f"({Coverage.of(paired[:, :1]).value:.1f})"
    if not world.unstable:
        return Coverage.of(single), Coverage.of(paired), "", ""
    first = METHODS - 1  # `combinations` gives the pairs of the first method first
    apart = (f"({Coverage.of(part).value:.1f})" for part in (single[:, :1], paired[:, :first]))
    return Coverage.of(single[:, 1:]), Coverage.of(paired[:, first:]), *apart


def main() -> int:
    """Print the table; return 1 if a cell fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=600)
    parser.add_argument("--seeds", default="2,3,5,10")
    parser.add_argument("--world", choices=[world.name for world in WORLDS])
    asked = parser.parse_args()
    failed = 0
    print(f"coverage of nominal 95 % intervals, {asked.boards} boards a cell")
    print(f"{'world':17s} seeds  single rows        differences")
    for world in (world for world in WORLDS if asked.world in (None, world.name)):
        for seeds in map(int, asked.seeds.split(",")):
            single, paired, *apart = cover(world, seeds, asked.boards)
            failed += single.fails + paired.fails
            print(f"{world.name:17s} {seeds:5d} {single!s} {apart[0]:6s} {paired!s} {apart[1]:6s}".rstrip(), flush=True)
    print(f"{failed} cells lie outside of {LIMITS[0]:g} to {LIMITS[1]:g} % by more than {ERRORS:g} standard errors")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
