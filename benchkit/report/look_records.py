"""Which rows of a run get more seeds, and what each look found: replayed from the records, so nothing else is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchkit.metrics import PRIMARY
from benchkit.report.columns import STATES
from benchkit.report.format_values import known
from benchkit.report.uncertainty import Records, measure_line
from benchkit.statistics.jackknife import check_images
from benchkit.statistics.look_rule import LookRule
from benchkit.statistics.looks import Look, follow_looks


@dataclass(frozen=True)
class Followed:
    """The looks of a run. taken: a record per look: seeds, rows (that had so many seeds), pairs, each of STATES, and
    the names of the rows that stopped there or lack a seed (stopped, failed). numbers: line -> its number of seeds."""

    taken: list[dict[str, Any]]
    numbers: dict[int, int]


def follow_run(lines: pd.DataFrame, records: Records, rule: LookRule, shown: Mapping[str, str]) -> Followed:
    """Return the looks of a run by artifact IoU at 0.5; each detector and test set is a family of its own.

    lines: those of `aggregate_rows`.
    """
    families = list(_follow_families(lines, records, rule))
    numbers = {int(name): number for _, own in families for name, number in own.items()}
    # A family that has ended keeps its last look. One that is not finished ends the common sequence.
    unfinished = [len(looks) for looks, _ in families if not looks or looks[-1].more]
    count = min(unfinished, default=max((len(looks) for looks, _ in families), default=0))
    names = _names(lines, shown)
    taken = []
    for place in range(count):
        now = [looks[place] for looks, _ in families if place < len(looks)]
        every: Counter[str] = Counter()
        for looks, _ in families:
            every.update(looks[min(place, len(looks) - 1)].states)
        ended = {part: [names[int(n)] for look in now for n in getattr(look, part)] for part in ("stopped", "failed")}
        taken.append(
            {
                "seeds": rule.numbers[place],
                "rows": sum(len(look.stopped) + len(look.failed) + len(look.more) for look in now),
                "pairs": sum(every.values()),
                **{state: every[state] for state in STATES},
                **{part: "; ".join(sorted(own)) for part, own in ended.items()},
            }
        )
    return Followed(taken, numbers)


def _follow_families(
    lines: pd.DataFrame, records: Records, rule: LookRule
) -> Iterator[tuple[list[Look], dict[str, int]]]:
    trained = lines[lines["role"] != "trivial"]
    for _, members in trained.groupby(["test_set", "detector"], sort=False, dropna=False):
        own = {str(i): cells for i, cells in members["cells"].items()}
        complete = {name: cells for name, cells in own.items() if cells and {*cells.values()} <= records.keys()}
        methods = {name: measure_line(name, cells, records)[PRIMARY] for name, cells in complete.items()}
        check_images(methods)
        failed = {str(i): found for i, found in members["failed"].items() if found}
        waiting = own.keys() - methods.keys() - failed.keys()
        yield follow_looks(methods, rule, failed | dict.fromkeys(waiting, ()))


def _names(lines: pd.DataFrame, shown: Mapping[str, str]) -> dict[int, str]:
    """Return a name for each line; with its selector and detector where several lines have the same name."""
    counts = Counter(lines["training_set"])
    found = {}
    for i, line in lines.iterrows():
        parts = [shown.get(line[key], line[key]) for key in ("selector", "detector") if known(line[key])]
        several = counts[line["training_set"]] > 1 and parts
        found[int(str(i))] = f"{line['training_set']} ({', '.join(parts)})" if several else str(line["training_set"])
    return found


def looks_as_json(rule: LookRule, followed: Followed) -> dict[str, Any]:
    """Return the looks as a board keeps them: planned numbers of seeds, each look's level, margin, looks taken."""
    return {
        "planned": list(rule.numbers),
        "level": rule.level,
        "margin": rule.margin,
        "seeds": list(rule.seeds),
        "taken": followed.taken,
    }
