"""A run that adds seeds look by look: which part of its plan is computed next."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field

from benchkit.metrics import is_metric
from benchkit.planning.look_plan import get_row, take_seeds
from benchkit.planning.plan import Plan
from benchkit.report.aggregate import aggregate_rows
from benchkit.report.run_data import RunData
from benchkit.statistics.look_rule import LookRule

_log = logging.getLogger(__name__)


@dataclass
class Looks:
    """The looks of one run. largest: the plan in which every row has all seeds. printed: looks that were printed."""

    rule: LookRule
    largest: Plan
    printed: int = field(default=0)

    def begin(self, known: Collection[str]) -> Plan:
        """Return the plan of the first look, with the cells that this run had before it was interrupted."""
        first = take_seeds(self.largest, self.rule, {}).cells
        more = {*known} - {planned.key for planned in first}
        return Plan((*first, *(planned for planned in self.largest.cells if planned.key in more)))

    def follow(self, data: RunData) -> Plan:
        """Return the plan that the results so far need: their looks, and the next one. Log each new look as a note."""
        from benchkit.report.look_records import follow_run  # here, because it loads SciPy: few runs add seeds

        lines = aggregate_rows(data.rows, is_metric)
        followed = follow_run(lines, data.records, self.rule, data.grid.get("shown") or {})
        rows = {planned.key: get_row(planned.cell) for planned in self.largest.cells}
        numbers = {
            rows[key]: followed.numbers[i]
            for i, cells in lines["cells"].items()
            for key in cells.values()
            if i in followed.numbers and key in rows
        }
        plan = take_seeds(self.largest, self.rule, numbers)
        for look in followed.taken[self.printed :]:
            more = {row for row, number in numbers.items() if number > look["seeds"]}
            then = f"{len(more)} rows get more seeds" if more else "no row gets more seeds"
            counts = f"{look['unresolved']} of {look['pairs']} pairs unresolved; {then}"
            _log.warning("look at %d seeds: %s", look["seeds"], counts, extra={"tell": "note"})
        self.printed = max(self.printed, len(followed.taken))
        return plan


def describe_looks(rule: LookRule) -> str:
    """Return one line about what is fixed before the work."""
    numbers = ", ".join(map(str, rule.numbers))
    return (
        f"seeds are added until pairs are resolved to {100 * rule.margin:g} points: looks at {numbers} seeds, each at "
        f"the level {100 * rule.level:.4g} %"
    )
