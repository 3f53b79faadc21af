"""Do the joint intervals of very many rows hold together? Simulate boards whose true figures are known, and count.

    OMP_NUM_THREADS=1 python benchmarks/coverage_many.py [--boards N] [--seeds 2,3,5,10] [--world NAME]

Every board has 250 rows on 100 images, more rows than are compared pair by pair (benchkit.statistics.many_methods).
Figures are made as in coverage.py. The first half of the rows are in groups of five with one level and one spread of
the seeds, so that five true figures are equal; in the world `all rows equal` all are.

Printed: on how many boards the joint intervals of all rows contain the true differences to the mean of all rows, and on
how many all rank intervals contain the true ranks. A difference is that of two logits, as in `joint_intervals`. Of
equal rows, every place that they share is a true rank. Both are statements about all rows together at 95 %. They are
conservative by construction, so a board may keep them more often. A cell fails, and the exit code is 1, if a share lies
below 95 % by more than twice its own simulation error. The last column is the per cent of the truly different pairs
that are resolved.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.many_methods import joint_intervals, pool_many

_spec = importlib.util.spec_from_file_location("coverage_worlds", Path(__file__).with_name("coverage.py"))
assert _spec is not None and _spec.loader is not None
worlds: Any = importlib.util.module_from_spec(_spec)  # its name is also that of a package
sys.modules[_spec.name] = worlds
_spec.loader.exec_module(worlds)

Floats = NDArray[np.float64]
ROWS, IMAGES, TIED = 250, 100, 5
LEAST, ERRORS = 95.0, 2.0
#: How far the outer rows lie from the middle one, so that some pairs are resolved. It was 0.4 in the first table.
APART = 1.5
WORLDS = (
    worlds.World("images dominate", 0, 1.5, 0.05, 0.3, apart=APART),
    worlds.World("seeds dominate", 0, 0.5, 0.6, 0.1, apart=APART),
    worlds.World("both", 0, 1.2, 0.15, 0.5, apart=APART),
    worlds.World("seeds shared", 0, 1.2, 0.25, 0.4, common=0.7, apart=APART),
    worlds.World("seeds unequal", 0, 1.2, 0.25, 0.4, unequal=0.6, apart=APART),
    worlds.World("seeds dominate, unequal", 0, 0.5, 0.6, 0.1, unequal=0.6, apart=APART),
    worlds.World("near 0", -4.5, 1.5, 0.3, 0.5, apart=APART),
    worlds.World("all rows equal", 0, 1.2, 0.15, 0.5, apart=0),
)
_LEVELS = np.linspace(-12, 12, 2401)


def mean_over_images(world: Any) -> Floats:
    """Return the true figure of one seed at every one of _LEVELS."""
    between = np.hypot(world.images * np.hypot(worlds.SHARED, worlds.OWN), world.rest)
    return np.asarray(expit(_LEVELS[:, None] + between * stats.norm.ppf((np.arange(401) + 0.5) / 401)).mean(axis=1))


def simulate(world: Any, figures: Floats, seeds: int, rng: np.random.Generator) -> tuple[dict[str, Jackknife], Floats]:
    """Return the rows of one board, and their true figures (ROWS,); figures: of `mean_over_images`."""
    levels = world.level + np.linspace(-world.apart, world.apart, ROWS)
    spreads = world.seeds * np.exp(world.unequal * rng.normal(size=ROWS))
    first = np.arange(ROWS)
    first[: ROWS // 2] -= first[: ROWS // 2] % TIED
    levels, spreads = levels[first], spreads[first]
    size, for_all, apart = np.exp(rng.normal(size=IMAGES)), rng.normal(size=IMAGES), rng.normal(size=(ROWS, 1, IMAGES))
    own, common = rng.normal(size=(ROWS, seeds, 1)), rng.normal(size=(seeds, 1))
    effects = np.sqrt(1 - world.common) * own + np.sqrt(world.common) * common
    logits = levels[:, None, None] + spreads[:, None, None] * effects
    logits = logits + world.images * (worlds.SHARED * for_all + worlds.OWN * apart)
    found = size * expit(logits + world.rest * rng.normal(size=logits.shape))
    total = found.sum(axis=2, keepdims=True)
    without = (total - found) / (size.sum() - size)
    influence = (IMAGES - 1) * (without.mean(axis=2, keepdims=True) - without)
    numbers = tuple(range(seeds))
    rows = {
        str(i): Jackknife(numbers, total[i, :, 0] / size.sum(), np.ascontiguousarray(influence[i].T))
        for i in range(ROWS)
    }
    at_seeds = spreads[:, None] * stats.norm.ppf((np.arange(101) + 0.5) / 101)
    return rows, np.interp(levels[:, None] + at_seeds, _LEVELS, figures).mean(axis=1)


def cover_board(world: Any, figures: Floats, seeds: int, rng: np.random.Generator) -> tuple[bool, bool, float]:
    """Return for one board whether all intervals and all ranks are right, and the per cent of pairs resolved."""
    rows, truth = simulate(world, figures, seeds, rng)
    joint = joint_intervals(rows, pool_many(rows))
    ranks, resolved = joint.rank({name: row.estimate for name, row in rows.items()})
    difference = logit(truth) - logit(truth.mean())
    better = (truth[:, None] < truth - 1e-12).sum(axis=1)
    worse = (truth[:, None] > truth + 1e-12).sum(axis=1)
    low, high = np.array([(rank.low, rank.high) for rank in ranks.values()]).T
    right = bool(((joint.low <= difference) & (difference <= joint.high)).all())
    ranked = bool(((low <= 1 + better) & (ROWS - worse <= high)).all())
    return right, ranked, 100 * resolved / max(1, better.sum())


def is_low(share: Any) -> bool:
    """Return whether a fraction of boards lies below LEAST beyond its simulation error."""
    return bool(share.value + ERRORS * share.error < LEAST)


def main() -> int:
    """Print the table; return 1 if a cell fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=200)
    parser.add_argument("--seeds", default="2,3,5,10")
    parser.add_argument("--world", choices=[world.name for world in WORLDS])
    asked = parser.parse_args()
    failed = 0
    print(f"per cent of boards on which all of {ROWS} rows are right, {asked.boards} boards a cell")
    print(f"{'world':23s} seeds  intervals       ranks           pairs resolved")
    for world in (world for world in WORLDS if asked.world in (None, world.name)):
        figures = mean_over_images(world)
        for seeds in map(int, asked.seeds.split(",")):
            rng = np.random.default_rng([seeds, *world.name.encode()])
            boards = np.array([cover_board(world, figures, seeds, rng) for _ in range(asked.boards)], float)
            right, ranked = (worlds.Coverage.of(boards[:, i : i + 1]) for i in (0, 1))
            failed += is_low(right) + is_low(ranked)
            texts = [f"{own.value:5.1f} ± {own.error:3.1f}{'*' if is_low(own) else ' '}" for own in (right, ranked)]
            print(f"{world.name:23s} {seeds:5d}  {texts[0]:14s}  {texts[1]}  {boards[:, 2].mean():5.1f}", flush=True)
    print(f"{failed} shares lie below {LEAST:g} % by more than {ERRORS:g} standard errors")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
