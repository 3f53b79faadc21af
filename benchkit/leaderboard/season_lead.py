"""By how much each row's lead over `pseudo` changes from the public test images to those of a season."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from benchkit.metrics import is_metric
from benchkit.report.aggregate import KEY, aggregate_rows
from benchkit.report.baselines import find_baselines
from benchkit.report.columns import RANKINGS
from benchkit.report.format_values import known
from benchkit.report.run_data import RunData
from benchkit.report.settings import protocol_names
from benchkit.report.uncertainty import measure_line
from benchkit.statistics.confidence_level import LEVEL
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.multiple_comparisons import adjust_holm
from benchkit.statistics.test_set_changes import Change, measure_change

#: What the lead of a row is measured from.
BASE = "pseudo"
#: What identifies a row whatever it was tested on.
Identity = tuple[str, ...]


class LeadChange(NamedTuple):
    """The fresh lead minus the public one. adjusted: its p-value, corrected for all rows of its detector."""

    change: Change
    adjusted: float

    @property
    def verdict(self) -> str | None:
        """`behind` or `ahead` where the change is beyond chance, else `unresolved`; None where nothing is known."""
        if not known(self.adjusted):
            return None
        if self.adjusted > 1 - LEVEL:
            return "unresolved"
        return "behind" if self.change.estimate < 0 else "ahead"


def row_identity(line: Mapping[str, Any]) -> Identity:
    """Return what identifies a row whatever it was tested on."""
    return tuple(str(line[name]) if known(line[name]) else "" for name in KEY if name != "test_set")


def measure_lead_changes(public: RunData, fresh: RunData) -> dict[str, dict[Identity, LeadChange]]:
    """Return ranking -> row -> how its lead changed, of the rows that have a baseline and records on both test sets.

    Both runs have the same cells: each detector was trained once and scored twice, so changes are formed seed by seed.
    """
    found: dict[str, dict[Identity, LeadChange]] = {ranking: {} for ranking in RANKINGS}
    lines = aggregate_rows(public.rows, is_metric).reset_index(drop=True)
    for _, members in lines.assign(protocol=protocol_names(lines)).groupby(["detector", "protocol"], dropna=False):
        pairs = find_baselines(members, BASE)
        cells = members.loc[list(dict.fromkeys(i for pair in pairs for i in pair)), "cells"]
        measured = {i: sets for i, own in cells.items() if (sets := _measure_twice(str(i), own, public, fresh))}
        for ranking in RANKINGS:
            changes = {}
            for i, base in pairs:
                if i in measured and base in measured:
                    before, after = ((measured[i][k][ranking], measured[base][k][ranking]) for k in (0, 1))
                    changes[i] = measure_change(before, after)
            adjusted = adjust_holm([change.p for change in changes.values()])
            for (i, change), p in zip(changes.items(), adjusted, strict=True):
                found[ranking][row_identity(_as_record(members, i))] = LeadChange(change, p)
    return found


def _measure_twice(
    name: str, cells: Mapping[int, str], public: RunData, fresh: RunData
) -> tuple[dict[str, Jackknife], ...] | None:
    """Return a line's figures on both test sets, of the seeds that both have; None without one."""
    both = {seed: cell for seed, cell in cells.items() if cell in public.records and cell in fresh.records}
    return tuple(measure_line(name, both, run.records, RANKINGS) for run in (public, fresh)) if both else None


def _as_record(lines: pd.DataFrame, i: Any) -> dict[str, Any]:
    return {str(name): value for name, value in lines.loc[i].items()}
