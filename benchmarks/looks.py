"""How often does `until_resolved` call equal methods different? Simulate boards whose methods are all equal.

    OMP_NUM_THREADS=1 python benchmarks/looks.py [--boards N] [--world NAME]

Every simulated board has nine equal methods on 200 images, as in benchmarks/coverage.py. The rule adds seeds from
START to MOST. A board counts as wrong if any pair is called different at any look. The rule: at most 5 % of the boards
are wrong. A line fails if its rate exceeds that by more than twice its simulation error. The exit code is 1 if any line
fails. The last columns say what the rule saves: the mean number of seeds of a method, and the fraction of pairs that
are settled at the end.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.statistics.jackknife import jackknife
from benchkit.statistics.look_rule import LookRule
from benchkit.statistics.looks import follow_looks

_spec = importlib.util.spec_from_file_location("coverage_worlds", Path(__file__).with_name("coverage.py"))
assert _spec is not None and _spec.loader is not None
worlds = importlib.util.module_from_spec(_spec)  # its name is also that of a package
sys.modules[_spec.name] = worlds
_spec.loader.exec_module(worlds)

START, MOST = (2, 3), 10
MARGINS = (0.03, 0.1)
LIMIT, ERRORS = 5.0, 2.0
NAMES = ("images dominate", "seeds dominate", "both", "seeds shared", "seeds unequal", "near 0, seeds")


@dataclass(frozen=True)
class Wrong:
    """Per cent of boards with a wrong call, its standard error, mean seeds of a method, settled fraction of pairs."""

    rate: float
    error: float
    seeds: float
    settled: float

    @property
    def fails(self) -> bool:
        """Whether the rate exceeds LIMIT beyond its simulation error."""
        return self.rate - ERRORS * self.error > LIMIT


def count_wrong(world: Any, rule: LookRule, boards: int) -> Wrong:
    """Simulate boards of equal methods, each until the rule ends."""
    rng = np.random.default_rng([len(rule.seeds), rule.numbers[0], *world.name.encode()])
    wrong, numbers, settled = [], [], []
    for _ in range(boards):
        terms, _ = worlds.simulate(replace(world, apart=0.0), len(rule.seeds), rng)
        drawn = jackknife({str(i): own for i, own in enumerate(terms)}, lambda sums: sums[..., 0] / sums[..., 1])
        looks, number = follow_looks(drawn, rule, {})
        wrong.append(any(look.states["different"] for look in looks))
        numbers.append(np.mean(list(number.values())))
        last = looks[-1].states
        settled.append(1 - last["unresolved"] / sum(last.values()))
    rate = float(np.mean(wrong))
    error = np.sqrt(max(rate * (1 - rate), 0.05 * 0.95) / boards)
    return Wrong(100 * rate, float(100 * error), float(np.mean(numbers)), float(np.mean(settled)))


def main() -> int:
    """Print the table; return 1 if a line fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=400)
    parser.add_argument("--world", choices=NAMES)
    asked = parser.parse_args()
    failed = 0
    print(f"boards of equal methods with any pair called different at any look, of {asked.boards}")
    for world in (world for world in worlds.WORLDS if world.name in NAMES and asked.world in (None, world.name)):
        for start in START:
            for margin in MARGINS:
                rule = LookRule.make(range(start), MOST, margin)
                found = count_wrong(world, rule, asked.boards)
                failed += found.fails
                print(
                    f"{world.name:17s} {start}…{MOST} seeds, ±{100 * margin:g} points: {found.rate:4.1f} ± "
                    f"{found.error:3.1f} %{'*' if found.fails else ' '} {found.seeds:4.1f} seeds, "
                    f"{100 * found.settled:3.0f} % settled",
                    flush=True,
                )
    print(f"{failed} lines exceed {LIMIT:g} % by more than {ERRORS:g} standard errors")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
