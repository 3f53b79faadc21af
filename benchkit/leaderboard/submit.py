"""Make a submission from a finished run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
from pydantic import ValidationError

from benchkit.errors import BenchkitError
from benchkit.leaderboard.protocol import digest_protocol
from benchkit.leaderboard.rules import check_rules
from benchkit.leaderboard.submission import SCHEMA, Facts, Submission, describe_fault, hide_paths, normalise_rows
from benchkit.leaderboard.terms import FROM_GROUPS, ScoredImages, Terms
from benchkit.metrics import Measured
from benchkit.report.format_values import known
from benchkit.report.names import named_rows
from benchkit.store.results import ResultStore

_NO_GRID = {"title": "", "dataset": "", "seeds": [], "detectors": []}
_NO_RUN = {
    "run": "none",
    "created": "none",
    "protocol": "0" * 64,
    "test_sets": {},
    "grid": _NO_GRID,
    "environment": {"plugins": {}, "datasets": {}},
}


@dataclass(frozen=True)
class Declaration:
    """What the submitter says: see `Facts`. sources: `KIND NAME` of a plugin -> where to get it."""

    name: str
    link: str | None = None
    contact: str | None = None
    tuned_on: str | None = None
    seen: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def checked(self, **run: Any) -> Facts:
        """Return the declaration with facts of a run; raise BenchkitError naming the setting that is wrong."""
        values = {"schema": SCHEMA, **asdict(self), **_NO_RUN, **run}
        try:
            return Facts.model_validate(values)
        except ValidationError as error:
            key, fault = describe_fault(error)
            raise BenchkitError(f"`{key}`: {fault}") from None


def make_submission(run: str, results: ResultStore, declared: Declaration) -> Submission:
    """Return a finished run as a submission, without absolute paths; raise BenchkitError where it breaks a rule.

    Each cell's record is read once and reduced to its terms, so that memory holds one record at a time.
    """
    info = next(one for one in results.runs() if one.id == run)
    if info.status not in ("done", "failed"):  # a run with failed cells has ended, too
        raise BenchkitError(f"run {run} is {info.status}: finish it first; the same command continues it")
    rows = normalise_rows(hide_columns(named_rows(results.rows(run), info.config.get("shown") or {})))
    grid, environment = hide_paths(info.config), hide_paths(info.environment)
    described = {"grid": grid, "environment": environment, "protocol": digest_protocol(grid, environment, rows)}
    facts = declared.checked(run=run, created=info.created, **described)
    check_rules(facts, rows)

    def read(cell: str) -> tuple[Measured, list[str]]:
        return Measured.from_arrays(results.histograms(cell)), results.counts(cell)["image"].tolist()

    return reduce_records(facts, rows, read)


def reduce_records(
    facts: Facts, rows: pd.DataFrame, read: Callable[[str], tuple[Measured, Sequence[str]]]
) -> Submission:
    """Return a submission of rows; read: cell -> its complete record, and the names of the test images."""
    terms: dict[str, Terms] = {}
    images: dict[str, ScoredImages] = {}
    thresholds = rows["threshold"] if "threshold" in rows else [None] * len(rows)
    lines = zip(rows["cell"], rows["test_set"], rows["state"], thresholds, strict=True)
    for cell, test_set, state, threshold in lines:
        if state == "done":
            measured, names = read(cell)
            own = ScoredImages.of(measured, [hide_paths(str(name)) for name in names])
            if own.digest != images.setdefault(test_set, own).digest:
                raise BenchkitError(f"cells of the test set '{test_set}' were scored on different images")
            terms[cell] = Terms.of(measured, threshold if known(threshold) else None)
    digests = {test_set: own.digest for test_set, own in images.items()}
    facts = facts.model_copy(update={"test_sets": digests})
    return Submission(facts, _with_figures_from_groups(rows, terms), terms, images, None, facts.name)


def _with_figures_from_groups(rows: pd.DataFrame, terms: Mapping[str, Terms]) -> pd.DataFrame:
    """Return rows whose figures FROM_GROUPS are those that the terms give, so that anyone can compute them again."""
    figures = {cell: own.figures_from_groups() for cell, own in terms.items()}
    names = [name for name in map(str, rows) if name.partition(":")[0] in FROM_GROUPS]
    found = {
        name: [figures.get(cell, {}).get(name, value) for cell, value in zip(rows["cell"], rows[name], strict=True)]
        for name in names
    }
    return rows.assign(**{name: pd.Series(values, rows.index, rows[name].dtype) for name, values in found.items()})


def hide_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows without absolute paths in their texts."""
    texts = {name: [hide_paths(value) for value in column] for name, column in rows.items() if column.dtype != float}
    return rows.assign(**{str(name): pd.Series(own, rows.index, dtype=object) for name, own in texts.items()})
