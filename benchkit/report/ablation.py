"""The board of an ablation: what each value of an axis changes against the base, paired, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchkit.metrics import COMPANION, PRIMARY
from benchkit.report.board import plain_records, short_names
from benchkit.report.board_table import Column, Sheet, TableCell, TableGroup
from benchkit.report.columns import MARGIN
from benchkit.report.format_values import MISSING, bracketed, known, one_line, percent, short_reason, signed
from benchkit.report.old_schemas import SCHEMA
from benchkit.report.run_data import RunData
from benchkit.statistics.confidence_level import LEVEL
from benchkit.statistics.jackknife import check_images

#: The one axis of an ablation whose axes are crossed.
CROSSED = "crossed"
FILES = ("ablation.parquet", "ablation.csv", "ablation.json", "ablation.svg", "ablation.png", "ablation.md")
_DELTA = ("delta_base", "delta_base_low", "delta_base_high", "delta_base_p")
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
    _low and _high, and COMPANION, in [0, 1]; delta_base with _low, _high, _p and _verdict: the primary's paired
    difference to the base, its p-value adjusted for all differences of an axis, and what it shows. The base itself has
    a difference of 0 and no verdict.
    """

    run: str
    title: str
    frame: pd.DataFrame
    level: float = LEVEL
    shown: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, points: Sequence[Point], run: RunData) -> AblationBoard:
        """Return the board of a run's rows and records."""
        rows = run.rows.set_index("cell")
        frame = pd.DataFrame([_label(point, rows) for point in points])
        figures = pd.DataFrame(_compare(points, run), columns=[*_FIGURES, *_DELTA, "delta_base_verdict"])
        frame[[*_FIGURES, *_DELTA]] = figures[[*_FIGURES, *_DELTA]].astype(float)
        verdicts = [value if known(value) else None for value in figures["delta_base_verdict"]]
        frame["delta_base_verdict"] = pd.Series(verdicts, frame.index, dtype=object)
        title, shown = str(run.grid.get("title") or run.run), run.grid.get("shown") or {}
        return cls(run.run, title, frame, shown=shown)

    def names(self, kind: str) -> dict[str, str]:
        """Return short names of the selectors or detectors of all lines."""
        return short_names(self.frame[kind], self.shown)

    def sheet(self) -> Sheet:
        """Return the board as a table for people: a group per axis, figures in per cent."""
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
            groups.append(TableGroup(one_line(axis), rows))
        # A page or a file shows no groups' titles: there the axis is a column.
        sheet = Sheet(one_line(self.title), columns, tuple(groups), self._notes())
        return sheet.always("selector").always("detector")

    def with_axis(self) -> Sheet:
        """Return the table with the axis as its first column, for formats without groups."""
        sheet = self.sheet()
        rows = tuple((TableCell(group.title), *row) for group in sheet.groups for row in group.rows)
        return Sheet(sheet.title, (Column("axis", text=True), *sheet.columns), (TableGroup("", rows),), sheet.notes)

    def _notes(self) -> tuple[str, ...]:
        level = f"{self.level * 100:g} %"
        missing = self.frame[~self.frame[PRIMARY].map(known) | (self.frame["state"] != "done")]
        reasons = dict.fromkeys(
            f"{line['training_set']} at {line['axis']}={line['value']}: {line['state']}: {line['reason']}"
            for line in missing.to_dict("records")
            if known(line["reason"])
        )
        subject = "All of a line's settings are" if (self.frame["axis"] == CROSSED).all() else "Each value is"
        return (
            f"{subject} set on the base, all else as in the base. An axis does not show the rows that it does not "
            "change. Artifact IoU is pooled over all test pixels at the threshold 0.5.",
            f"Differences (Δ) are paired: same test images, same seeds. Brackets are {level} intervals by Student's t. "
            "Verdicts are corrected for all differences of an axis (max-t, step-down). Equivalent: within "
            f"{100 * MARGIN:g} point either way.",
            *(short_reason(text) for text in reasons),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the board as plain data."""
        head = {"schema": SCHEMA, "run": self.run, "title": self.title, "level": self.level}
        return {**head, "rows": plain_records(self.frame)}


def _label(point: Point, rows: pd.DataFrame) -> dict[str, Any]:
    """Return a line's labels, its state, and the figures that need no record."""
    cells = rows.loc[list(point.cells.values())]
    done = cells[cells["state"] == "done"]
    reasons = [str(reason) for reason in cells["reason"] if known(reason)]
    companion = pd.to_numeric(done[COMPANION]).mean() if COMPANION in done and len(done) else np.nan
    return {
        **{name: getattr(point, name) for name in ("axis", "value", "is_base", "training_set", "selector", "detector")},
        "test_set": str(cells["test_set"].iloc[0]),
        "state": "done" if len(done) == len(cells) else "partial" if len(done) else str(cells["state"].iloc[0]),
        "reason": "; ".join(dict.fromkeys(reasons)) or None,
        "seeds": len(done),
        COMPANION: float(companion),
    }


def _compare(points: Sequence[Point], run: RunData) -> list[list[Any]]:
    """Return for every point the primary with its interval, and the difference to the base of its line."""
    # Here, because they load SciPy: runs without an ablation need none of it.
    from benchkit.report.uncertainty import measure_line
    from benchkit.statistics.intervals import compute_differences, compute_intervals
    from benchkit.statistics.multiple_comparisons import adjust_step_down, judge

    cells = [{s: key for s, key in point.cells.items() if key in run.records} for point in points]
    names = [",".join(f"{s}:{key}" for s, key in own.items()) for own in cells]
    unique = dict(zip(names, cells, strict=True))  # the base belongs to every axis, and its records are read once
    methods = {name: measure_line(name, own, run.records)[PRIMARY] for name, own in unique.items() if own}
    check_images(methods)
    # Seeds vary alike within one detector.
    detectors: dict[str | None, dict[str, Any]] = {}
    for point, name in zip(points, names, strict=True):
        if name in methods:
            detectors.setdefault(point.detector, {})[name] = methods[name]
    sure = {name: found for own in detectors.values() for name, found in compute_intervals(own).items()}
    lines: list[list[Any]] = []
    base = ""
    families: dict[tuple[str, str | None], dict[tuple[str, str], list[int]]] = {}
    for i, (point, name) in enumerate(zip(points, names, strict=True)):
        base = name if point.is_base else base
        figures = [sure[name].estimate, sure[name].low, sure[name].high] if name in sure else [np.nan] * len(_FIGURES)
        lines.append([*figures, *([0.0, 0.0, 0.0, np.nan] if point.is_base and name in sure else [np.nan] * 4), None])
        if not point.is_base and {name, base} <= sure.keys():
            families.setdefault((point.axis, point.detector), {}).setdefault((name, base), []).append(i)
    for (_, detector), family in families.items():
        found = compute_differences(detectors[detector], list(family))
        adjusted = adjust_step_down(detectors[detector], found)
        for pair, apart in found.items():
            verdict = judge(apart, adjusted[pair], MARGIN) if np.isfinite(apart.p) else None
            for i in family[pair]:
                lines[i][len(_FIGURES) :] = [apart.estimate, apart.low, apart.high, adjusted[pair], verdict]
    return lines


def _row(line: Mapping[Any, Any], selectors: Mapping[str, str], detectors: Mapping[str, str]) -> tuple[TableCell, ...]:
    figure = bracketed(*(percent(line[name]) for name in _FIGURES)) if line["seeds"] else str(line["state"])
    delta = "base" if line["is_base"] else bracketed(*(signed(line[name]) for name in _DELTA[:3]))
    delta += f" {line['delta_base_verdict']}" if known(line["delta_base_verdict"]) else ""
    return (
        TableCell(one_line(line["value"])),
        TableCell(one_line(line["training_set"])),
        TableCell(one_line(selectors.get(line["selector"], MISSING))),
        TableCell(one_line(detectors.get(line["detector"], MISSING))),
        TableCell(figure, line[PRIMARY]),
        TableCell(delta, line["delta_base"]),
        TableCell(percent(line[COMPANION]), line[COMPANION]),
        TableCell(str(line["seeds"]), line["seeds"]),
    )


def ablation_files(board: AblationBoard) -> dict[str, bytes]:
    """Return FILES: the board of differences as tables and as a figure."""
    from benchkit.report.ablation_figure import ablation_figure
    from benchkit.report.render_board import csv_text, json_text, markdown, parquet_bytes

    return {
        "ablation.parquet": parquet_bytes(board.frame),
        "ablation.csv": csv_text(board.frame).encode("utf-8", "replace"),
        "ablation.json": json_text(board.as_json()).encode("utf-8", "replace"),
        "ablation.svg": ablation_figure(board, form="svg"),
        "ablation.png": ablation_figure(board, form="png"),
        "ablation.md": markdown(board.with_axis()).encode("utf-8", "replace"),
    }
