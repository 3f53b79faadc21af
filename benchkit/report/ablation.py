"""The board of an ablation: what each value of an axis changes against the base, paired, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchkit.metrics import COMPANION, PRIMARY, metric
from benchkit.report.board import plain_records, short_names
from benchkit.report.compared import Terms, paired, terms_of
from benchkit.report.data import RunData
from benchkit.report.older import SCHEMA
from benchkit.report.sheet import Cell, Column, Group, Sheet
from benchkit.report.text import MISSING, bracketed, known, one_line, percent, short_reason, signed
from benchkit.statistics.bootstrap import LEVEL, REPLICATES, bootstrap, interval

#: The one axis of an ablation whose axes are crossed.
CROSSED = "crossed"
FILES = ("ablation.parquet", "ablation.csv", "ablation.json", "ablation.svg", "ablation.png", "ablation.md")
_DELTA = ("delta_base", "delta_base_low", "delta_base_high", "delta_base_positive")
_FIGURES = (PRIMARY, f"{PRIMARY}_low", f"{PRIMARY}_high")


@dataclass(frozen=True)
class Point:
    """One row of the base at one value of an axis. cells: seed -> the key of the cell that stands there."""

    axis: str
    value: str
    is_base: bool
    training_set: str
    selector: str | None
    detector: str | None
    cells: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class AblationBoard:
    """The lines of an ablation: the first of each (axis, training_set, selector, detector) is the base's.

    frame: axis, value, is_base, training_set, selector, detector; test_set, state, reason, seeds, images; PRIMARY with
    _low and _high, and COMPANION, in [0, 1]; delta_base with _low, _high and _positive (fraction of draws above zero):
    the primary's paired difference to the base, exactly 0 for the base itself.
    """

    run: str
    title: str
    frame: pd.DataFrame
    replicates: int = REPLICATES
    level: float = LEVEL
    shown: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, points: Sequence[Point], run: RunData, replicates: int = REPLICATES, seed: int = 0) -> AblationBoard:
        """The board of a run's rows and records; seed: of the bootstrap, the same draws of images for every line."""
        rows = run.rows.set_index("cell")
        frame = pd.DataFrame([_labels(point, rows) for point in points])
        figures = pd.DataFrame(_figures(points, run, replicates, seed), columns=[*_FIGURES, "seed_variance", *_DELTA])
        for name in (*_FIGURES, *_DELTA):
            frame[name] = figures[name].astype(float)
        title, shown = str(run.grid.get("title") or run.run), run.grid.get("shown") or {}
        return cls(run.run, title, frame, replicates, shown=shown)

    def names(self, kind: str) -> dict[str, str]:
        """Short names of the selectors or detectors of all lines."""
        return short_names(self.frame[kind], self.shown)

    def sheet(self) -> Sheet:
        """The board as a table for people: a group per axis, shares in per cent."""
        frame = self.frame
        selectors, detectors = self.names("selector"), self.names("detector")
        columns = (
            Column("value", text=True, role="name"),
            Column("method", text=True),
            Column("selector", text=True, vital=4),
            Column("detector", text=True, vital=3),
            Column(f"artifact IoU\n[{self.level * 100:g} % interval]", role="primary"),
            Column(f"Δ to base\n[{self.level * 100:g} % interval]"),
            Column("AP", vital=2),
            Column("seeds", vital=3),
        )
        groups = []
        for axis, lines in frame.groupby("axis", sort=False):
            rows = tuple(_row(line, selectors, detectors) for line in lines.to_dict("records"))
            groups.append(Group(one_line(axis), rows))
        # A page or a file shows no groups' titles: there the axis is a column.
        sheet = Sheet(one_line(self.title), columns, tuple(groups), self._notes())
        return sheet.always("selector").always("detector")

    def with_axis(self) -> Sheet:
        """The table with the axis as its first column, for formats that know no groups."""
        sheet = self.sheet()
        rows = tuple((Cell(group.title), *row) for group in sheet.groups for row in group.rows)
        return Sheet(sheet.title, (Column("axis", text=True), *sheet.columns), (Group("", rows),), sheet.notes)

    def _notes(self) -> tuple[str, ...]:
        share = f"{self.level * 100:g} %"
        missing = self.frame[[not known(value) or state != "done" for value, state in _states(self.frame)]]
        told = dict.fromkeys(
            f"{line['training_set']} at {line['axis']}={line['value']}: {line['state']}: {line['reason']}"
            for line in missing.to_dict("records")
            if known(line["reason"])
        )
        one = "All of a line's settings are" if (self.frame["axis"] == CROSSED).all() else "Each value is"
        return (
            f"{one} set on the base, all else as in the base; rows that an axis does not change are left "
            "out of it. Artifact IoU is pooled over all test pixels at the threshold 0.5.",
            f"Differences (Δ) are paired: same test images, same seeds; brackets are {share} intervals from "
            f"{self.replicates} bootstrap draws. Nothing is corrected for many comparisons.",
            *(short_reason(text) for text in told),
        )

    def as_json(self) -> dict[str, Any]:
        """The board as plain data."""
        head = {"schema": SCHEMA, "run": self.run, "title": self.title}
        return {**head, "replicates": self.replicates, "level": self.level, "rows": plain_records(self.frame)}


def _states(frame: pd.DataFrame) -> list[tuple[Any, Any]]:
    return list(zip(frame[PRIMARY], frame["state"], strict=True))


def _labels(point: Point, rows: pd.DataFrame) -> dict[str, Any]:
    """A line's labels, its state, and the figures that need no record."""
    cells = rows.loc[list(point.cells.values())]
    done = cells[cells["state"] == "done"]
    reasons = [str(reason) for reason in cells["reason"] if known(reason)]
    state = "done" if len(done) == len(cells) else "partial" if len(done) else str(cells["state"].iloc[0])
    companion = pd.to_numeric(done[COMPANION]).mean() if COMPANION in done and len(done) else np.nan
    return {
        "axis": point.axis,
        "value": point.value,
        "is_base": point.is_base,
        "training_set": point.training_set,
        "selector": point.selector,
        "detector": point.detector,
        "test_set": str(cells["test_set"].iloc[0]),
        "state": state,
        "reason": "; ".join(dict.fromkeys(reasons)) or None,
        "seeds": len(done),
        COMPANION: float(companion),
    }


def _figures(points: Sequence[Point], run: RunData, replicates: int, seed: int) -> list[list[float]]:
    """For every point the primary with its interval and the difference to the base of its line."""
    finished = [{s: key for s, key in point.cells.items() if key in run.records} for point in points]
    names = [",".join(f"{s}:{key}" for s, key in cells.items()) for cells in finished]
    terms: Terms = {name: terms_of(own, run.records) for name, own in zip(names, finished, strict=True) if own}
    boot = bootstrap(terms, metric(PRIMARY).pooled, replicates=replicates, seed=seed) if terms else None
    lines, base = [], ""
    for point, name in zip(points, names, strict=True):
        base = name if point.is_base else base
        if boot is None or name not in terms:
            lines.append([np.nan] * (len(_FIGURES) + 1 + len(_DELTA)))
            continue
        sure = interval(boot, name)
        pair = paired(boot, terms, name, base, seed) if base in terms else None
        delta = [pair.estimate, pair.low, pair.high, pair.positive] if pair else [np.nan] * len(_DELTA)
        lines.append([sure.estimate, sure.low, sure.high, sure.seed_variance, *delta])
    return lines


def _row(line: Mapping[Any, Any], selectors: Mapping[str, str], detectors: Mapping[str, str]) -> tuple[Cell, ...]:
    figure = bracketed(*(percent(line[name]) for name in _FIGURES)) if line["seeds"] else str(line["state"])
    delta = "base" if line["is_base"] else bracketed(*(signed(line[name]) for name in _DELTA[:3]))
    return (
        Cell(one_line(line["value"])),
        Cell(one_line(line["training_set"])),
        Cell(one_line(selectors.get(line["selector"], MISSING))),
        Cell(one_line(detectors.get(line["detector"], MISSING))),
        Cell(figure, line[PRIMARY]),
        Cell(delta, line["delta_base"]),
        Cell(percent(line[COMPANION]), line[COMPANION]),
        Cell(str(line["seeds"]), line["seeds"]),
    )


def ablation_files(board: AblationBoard) -> dict[str, bytes]:
    """FILES: the board of differences as tables and as a figure."""
    from benchkit.report.ablation_figure import ablation_figure
    from benchkit.report.tables import csv_text, json_text, markdown, parquet_bytes

    return {
        "ablation.parquet": parquet_bytes(board.frame),
        "ablation.csv": csv_text(board.frame).encode("utf-8", "replace"),
        "ablation.json": json_text(board.as_json()).encode("utf-8", "replace"),
        "ablation.svg": ablation_figure(board, form="svg"),
        "ablation.png": ablation_figure(board, form="png"),
        "ablation.md": markdown(board.with_axis()).encode("utf-8", "replace"),
    }
