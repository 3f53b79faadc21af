"""Do the intervals over several settings cover? Simulate settings whose true figures are known, and count.

    OMP_NUM_THREADS=1 python benchmarks/coverage_across.py [--boards N] [--seeds 2,3,5,10]

Three settings with ten rows each, on 200 images that all settings share, or two settings on one test set and one on
another. Figures are made as in coverage.py: levels, difficulty of images and effects of seeds on the logit scale. A
setting has its own levels, so the true orders differ in part. In the world `short distance`, one setting's references
lie so close together that it is often left out; in `seeds shared`, a seed's effect is in part the same in all
settings. The true interquartile mean is that of infinitely many seeds on infinitely many images, in the settings that a
board used.

Printed: how often nominal 95 % intervals of the interquartile mean contain the truth (93 to 97 % is wanted, with an
allowance of two standard errors; the exit code is 1 otherwise), and how often the bounds of Kendall's tau do (they are
conservative, and must not fall below 95 %). Shares of two seeds are printed in parentheses and not judged: where seeds
dominate, two of them do not show how far a distance may vary.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from benchkit.statistics.agreement import (
    Order,
    Setting,
    compare_orders,
    interquartile_mean,
    is_distance,
    share_methods,
)
from benchkit.statistics.intervals import Difference, Pair, compute_differences
from benchkit.statistics.jackknife import Jackknife, jackknife
from benchkit.statistics.multiple_comparisons import adjust_step_down

Floats = NDArray[np.float64]
IMAGES = 200
LIMITS, ERRORS = (93.0, 97.0), 2.0
#: The references first: the row at 0, and that at 1.
NAMES = ("lower", "upper", *"abcdefgh")
SETTINGS = 3
#: Tau is looked at on one board in so many: its bounds need the max-t procedure, which takes most of the time.
TAU_EVERY = 10


@dataclass(frozen=True)
class World:
    """Standard deviations on the logit scale: of images, of seeds (common: the fraction that all settings share), and
    of what an image and a seed have together. distances: upper minus lower in each setting. sets: which test set."""

    name: str
    images: float
    seeds: float
    rest: float
    common: float = 0.0
    distances: tuple[float, ...] = (1.0, 0.8, 1.2)
    sets: tuple[int, ...] = (0, 0, 0)


WORLDS = (
    World("images dominate", 1.5, 0.05, 0.3),
    World("seeds dominate", 0.5, 0.2, 0.1),
    World("both", 1.2, 0.12, 0.3),
    World("seeds shared", 1.2, 0.15, 0.3, common=0.7),
    World("two test sets", 1.2, 0.12, 0.3, sets=(0, 0, 1)),
    World("short distance", 1.2, 0.12, 0.3, distances=(1.0, 0.3, 1.2)),
)


def true_figure(levels: Floats, world: World) -> Floats:
    """Return the figure over infinitely many images, of any array of levels."""
    at_images = np.hypot(world.images, world.rest) * stats.norm.ppf((np.arange(201) + 0.5) / 201)
    grid = np.linspace(-8, 8, 1601)
    return np.interp(levels, grid, expit(grid[:, None] + at_images).mean(axis=1))


def simulate(world: World, levels: Floats, seeds: int, rng: np.random.Generator) -> list[dict[str, Jackknife]]:
    """Return the rows of every setting on one draw of images and seeds; levels: (settings, rows)."""
    rows = len(NAMES)
    sizes = np.exp(rng.normal(size=(2, IMAGES)))
    difficulty = rng.normal(size=(2, IMAGES))
    shared = rng.normal(size=(rows, seeds, 1))
    found = []
    for k, own in enumerate(levels):
        size, for_all = sizes[world.sets[k]], difficulty[world.sets[k]]
        apart = 0.4 * rng.normal(size=(rows, 1, IMAGES)) + 0.3 * rng.normal(size=IMAGES)
        effects = np.sqrt(world.common) * shared + np.sqrt(1 - world.common) * rng.normal(size=(rows, seeds, 1))
        logits = own[:, None, None] + world.images * (np.sqrt(0.75) * for_all + apart) + world.seeds * effects
        hits = size * expit(logits + world.rest * rng.normal(size=(rows, seeds, IMAGES)))
        terms = np.stack([hits, np.broadcast_to(size, hits.shape)], axis=-1)
        found.append(jackknife(dict(zip(NAMES, terms, strict=True)), lambda sums: sums[..., 0] / sums[..., 1]))
    return found


def true_shares(world: World, levels: Floats, used: Sequence[int], rng: np.random.Generator) -> dict[str, float]:
    """Return every method's interquartile mean over infinitely many seeds."""
    effects = world.seeds * rng.normal(size=(len(used), len(NAMES), 4000))
    figures = true_figure(levels[list(used), :, None] + effects, world)
    distance = (figures[:, 1] - figures[:, 0]).mean(axis=-1, keepdims=True)
    shares = {name: (figures[:, i] - figures[:, 0]) / distance for i, name in enumerate(NAMES)}
    return {name: interquartile_mean(own) for name, own in shares.items()}


def cover_board(world: World, seeds: int, tau: bool, rng: np.random.Generator) -> tuple[list[bool], list[bool], int]:
    """Return which intervals and (if asked) bounds of tau contain the truth, and how many settings are left out."""
    common = rng.uniform(-0.2, 1, len(NAMES))
    levels = -1 + common + 0.15 * rng.normal(size=(SETTINGS, len(NAMES)))
    levels[:, 0], levels[:, 1] = -1, -1 + np.array(world.distances)
    found = simulate(world, levels, seeds, rng)
    pairs = [("upper", "lower"), *combinations(NAMES, 2)]
    between = [compute_differences(rows, pairs) for rows in found]
    used = [k for k, own in enumerate(between) if is_distance(own["upper", "lower"])]
    settings = []
    for k in used:
        methods = {name: own for name, own in found[k].items() if name not in ("lower", "upper")}
        settings.append(Setting(str(world.sets[k]), found[k]["lower"], found[k]["upper"], methods))
    truth = true_shares(world, levels, used, rng) if used else {}
    shares = share_methods(settings) if used else {}
    covered = [own.interval.low <= truth[name] <= own.interval.high for name, own in shares.items()]
    return covered, _cover_tau(world, levels, found, between) if tau else [], SETTINGS - len(used)


def _cover_tau(
    world: World,
    levels: Floats,
    found: Sequence[dict[str, Jackknife]],
    between: Sequence[dict[Pair, Difference]],
) -> list[bool]:
    """Return for every two settings whether the bounds contain the true tau."""
    orders, figures = [], []
    for rows, own, level in zip(found, between, levels, strict=True):
        of_pairs = {pair: own[pair] for pair in combinations(NAMES, 2)}
        orders.append(Order({name: row.estimate for name, row in rows.items()}, adjust_step_down(rows, of_pairs)))
        mean = true_figure(level[:, None] + world.seeds * stats.norm.ppf((np.arange(101) + 0.5) / 101), world)
        figures.append(mean.mean(axis=1))
    held = []
    for a, b in combinations(range(SETTINGS), 2):
        agreed = compare_orders(orders[a], orders[b])
        held.append(
            agreed.low - 1e-9 <= float(stats.kendalltau(figures[a], figures[b]).statistic) <= agreed.high + 1e-9
        )
    return held


def main() -> int:
    """Print the table; return 1 if a cell fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=300)
    parser.add_argument("--seeds", default="2,3,5,10")
    parser.add_argument("--world", choices=[world.name for world in WORLDS])
    asked = parser.parse_args()
    failed = 0
    print(f"{'world':16s} seeds  shares        tau    settings left out")
    for world in (world for world in WORLDS if asked.world in (None, world.name)):
        for seeds in map(int, asked.seeds.split(",")):
            rng = np.random.default_rng([seeds, *world.name.encode()])
            boards = [cover_board(world, seeds, not i % TAU_EVERY, rng) for i in range(asked.boards)]
            shares = np.array([100 * np.mean(covered) for covered, _, _ in boards if covered])
            value, error = shares.mean(), shares.std(ddof=1) / np.sqrt(len(shares))
            tau = np.array([100 * np.mean(held) for _, held, _ in boards if held])
            low = tau.mean() + ERRORS * tau.std(ddof=1) / np.sqrt(len(tau)) < 95
            judged = seeds > 2
            fails = judged and (value + ERRORS * error < LIMITS[0] or value - ERRORS * error > LIMITS[1])
            failed += fails + low
            print(
                f"{world.name:16s} {seeds:5d} {' ' if judged else '('}{value:.1f} ± {error:.1f}"
                f"{'*' if fails else ' ' if judged else ')'}  "
                f"{tau.mean():5.1f}{'*' if low else ' '}  {np.mean([out for _, _, out in boards]):.2f}",
                flush=True,
            )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
