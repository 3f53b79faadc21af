"""Do the intervals of a season's lead changes cover? Simulate rows that are scored on two test sets, and count.

    OMP_NUM_THREADS=1 python benchmarks/coverage_seasons.py [--boards N] [--seeds 3,5,10] [--world NAME]

The worlds are those of benchmarks/coverage.py: nine methods, whose seeds are scored on 200 public images and on 100
fresh ones. The middle method is the baseline. Nothing was fitted to the public images, so every true change of a lead
is 0. The rule is that of coverage.py: nominal 95 % intervals must cover it in 93 to 97 % of the cases, up to twice the
simulation error. The exit code is 1 if any cell fails. A row whose seeds vary ten times as much as the others' is
printed in parentheses and not judged.

The last column is the median length of these intervals, as a fraction of the length that follows if the seeds of the
two test sets are taken as independent.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.statistics.intervals import compute_differences
from benchkit.statistics.jackknife import jackknife
from benchkit.statistics.test_set_changes import measure_change

_spec = importlib.util.spec_from_file_location("coverage_worlds", Path(__file__).with_name("coverage.py"))
assert _spec is not None and _spec.loader is not None
worlds: Any = importlib.util.module_from_spec(_spec)  # its name is also that of a package
sys.modules[_spec.name] = worlds
_spec.loader.exec_module(worlds)

PUBLIC, FRESH = 200, 100
worlds.IMAGES = PUBLIC + FRESH
BASE = worlds.METHODS // 2


def cover_board(world: Any, seeds: int, rng: np.random.Generator) -> tuple[NDArray[np.bool_], float]:
    """Return for one board which intervals contain 0, (methods - 1,), and the median ratio of lengths."""
    terms, _ = worlds.simulate(world, seeds, rng)
    names = [str(i) for i in range(worlds.METHODS)]
    public, fresh = (
        jackknife(dict(zip(names, terms[:, :, images], strict=True)), lambda sums: sums[..., 0] / sums[..., 1])
        for images in (slice(PUBLIC), slice(PUBLIC, None))
    )
    pairs = [(name, str(BASE)) for name in names if name != str(BASE)]
    found = [measure_change((public[a], public[b]), (fresh[a], fresh[b])) for a, b in pairs]
    before, after = compute_differences(public, pairs), compute_differences(fresh, pairs)
    lengths = [np.hypot(before[p].high - before[p].low, after[p].high - after[p].low) for p in pairs]
    ratios = [(change.high - change.low) / length for change, length in zip(found, lengths, strict=True)]
    return np.array([change.low <= 0 <= change.high for change in found]), float(np.median(ratios))


def main() -> int:
    """Print the table; return 1 if a cell fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=400)
    parser.add_argument("--seeds", default="3,5,10")
    parser.add_argument("--world", choices=[world.name for world in worlds.WORLDS])
    asked = parser.parse_args()
    failed = 0
    print(f"coverage of nominal 95 % intervals of lead changes, {asked.boards} boards a cell")
    print(f"{'world':17s} seeds  lead changes            length")
    for world in (world for world in worlds.WORLDS if asked.world in (None, world.name)):
        for seeds in map(int, asked.seeds.split(",")):
            rng = np.random.default_rng([seeds, *world.name.encode()])
            boards = [cover_board(world, seeds, rng) for _ in range(asked.boards)]
            covered, ratio = np.stack([own for own, _ in boards]), float(np.median([ratio for _, ratio in boards]))
            judged = worlds.Coverage.of(covered[:, 1:] if world.unstable else covered)
            apart = f"({worlds.Coverage.of(covered[:, :1]).value:.1f})" if world.unstable else ""
            failed += judged.fails
            print(f"{world.name:17s} {seeds:5d} {judged!s} {apart:6s}  {ratio:6.2f}", flush=True)
    low, high = worlds.LIMITS
    print(f"{failed} cells lie outside of {low:g} to {high:g} % by more than {worlds.ERRORS:g} standard errors")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
