"""What a table for people shows: a short fixed set of columns, each cell as text, in groups, with notes below."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import pandas as pd

from benchkit.metrics import COMPANION, PRIMARY
from benchkit.report.board import MISSING_ROWS, TRIVIAL, Board, short_names
from benchkit.report.settings import settings_line
from benchkit.report.text import (
    MISSING,
    bracketed,
    known,
    listed,
    number,
    numeric,
    one_line,
    percent,
    short_reason,
    signed,
)

Line = Mapping[str, Any]
_SHARES = (COMPANION, "auroc", "f1", "artifact_iou_per_image")


class Cell(NamedTuple):
    """A cell's text, and the number to sort it by where it has one."""

    text: str
    value: float = math.nan


@dataclass(frozen=True)
class Column:
    """header: lines separated by newlines. text: foreign text, to be escaped and left-aligned; else our own numbers.

    vital: 0 is always shown; where room is short the greatest goes first, with all of the same `together`. role: the
    column that names the row, or the one that holds its primary figure. meaning: for a page, on demand.
    """

    header: str
    text: bool = False
    vital: int = 0
    role: Literal["", "name", "primary"] = ""
    meaning: str = ""
    together: str = ""


@dataclass(frozen=True)
class Group:
    """Lines that stand together; title may be empty."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """A table for people. notes: sentences that belong below it; all texts are on one line and not yet escaped."""

    title: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """The lines of all groups."""
        return tuple(row for group in self.groups for row in group.rows)

    def without(self, dropped: Iterable[int], *notes: str) -> Sheet:
        """The sheet without some columns, and with further notes."""
        dropped = set(dropped)
        kept = [i for i in range(len(self.columns)) if i not in dropped]
        groups = [Group(g.title, tuple(tuple(row[i] for i in kept) for row in g.rows)) for g in self.groups]
        columns = tuple(self.columns[i] for i in kept)
        return replace(self, columns=columns, groups=tuple(groups), notes=(*self.notes, *notes))

    def without_constants(self) -> Sheet:
        """The sheet without the less vital columns that are empty, or text that is the same in every row (a note)."""
        texts = {i: self._texts(i) for i, column in enumerate(self.columns) if column.vital}
        empty = [i for i, found in texts.items() if not found]
        constant = [i for i, found in texts.items() if len(found) == 1 and self.columns[i].text]
        said = ", ".join(f"{self.columns[i].header} {texts[i][0]}" for i in constant)
        return self.without([*empty, *constant], *([f"In every row: {said}."] if constant else []))

    def always(self, header: str) -> Sheet:
        """The sheet that never leaves out a column, if that tells rows apart."""
        several = {i for i, c in enumerate(self.columns) if c.header == header and len(self._texts(i)) > 1}
        return replace(
            self, columns=tuple(replace(c, vital=0) if i in several else c for i, c in enumerate(self.columns))
        )

    def _texts(self, column: int) -> list[str]:
        return list(dict.fromkeys(row[column].text for row in self.rows if row[column].text != MISSING))


BOARD_COLUMNS = (
    Column("rank", meaning="Place among the rows of one detector, with the interval it takes over the draws."),
    Column(
        "method",
        text=True,
        role="name",
        meaning="What the detector was trained on; a corruptor's name with its parameters.",
    ),
    Column("selector", text=True, vital=4, meaning="What chose the regions."),
    Column("detector", text=True, vital=3, meaning="The network that was trained."),
    Column("artifact IoU\n[95 % interval]", role="primary", meaning="The primary figure: artifact-class IoU, pooled."),
    Column("AP", vital=2, meaning="Average precision over pixels: the companion figure."),
    Column("AUROC", vital=6, meaning="Area under the pixel ROC curve."),
    Column("F1", vital=7, meaning="Pixel F1 at 0.5."),
    Column("per-image\nIoU", vital=7, meaning="Artifact IoU, mean over images."),
    Column("Δ to pseudo\n[95 % interval]", vital=1, meaning="Artifact IoU minus that of pseudo, paired; points."),
    Column(
        "outside dB /\ninside change",
        vital=5,
        meaning="Confinement. PSNR outside the mask against the round trip (higher: less disturbed); mean absolute "
        "change inside it, per cent of the colour range.",
    ),
    Column("seeds", vital=3, meaning="Seeds the figures are the mean of, and their standard deviation (sd)."),
)


def board_sheet(board: Board) -> Sheet:
    """The board as a table for people: shares in per cent with two decimals, reasons of missing rows in the notes."""
    detectors = short_names(board.frame["detector"], board.shown)
    titles = _detector_titles(board, detectors)
    groups = []
    for (test, detector), lines in _runs(board.trained, ("test_set", "detector")):
        ranks = rank_texts(lines)
        selectors = selector_names(board, detector)
        rows = tuple(_row(line, detectors, selectors, rank) for line, rank in zip(lines, ranks, strict=True))
        groups.append(Group(titles.get((test, detector), ""), rows))
    for name, title in ((TRIVIAL, "without training"), (MISSING_ROWS, "without figures")):
        lines = line_records(board.frame[board.frame["group"] == name])
        if lines:
            rows = tuple(_row(line, detectors, selector_names(board, line["detector"]), MISSING) for line in lines)
            groups.append(Group(title, rows))
    sheet = Sheet(one_line(board.title), BOARD_COLUMNS, tuple(groups), _notes(board, detectors))
    return sheet.always("selector")


def line_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A board's lines, column -> value."""
    return [{str(name): value for name, value in line.items()} for line in frame.to_dict("records")]


def _runs(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[tuple[Any, ...], list[dict[str, Any]]]]:
    """The lines in runs of equal values, in order."""
    runs: list[tuple[tuple[Any, ...], list[dict[str, Any]]]] = []
    for line in line_records(frame):
        key = tuple(line[name] for name in by)
        if not runs or runs[-1][0] != key:
            runs.append((key, []))
        runs[-1][1].append(line)
    return runs


def _detector_titles(board: Board, detectors: Mapping[str, str]) -> dict[tuple[Any, Any], str]:
    """A heading for each group of trained lines where there are several, naming the test set if that differs."""
    trained = board.trained
    several = trained["test_set"].nunique() > 1
    keys = dict.fromkeys(zip(trained["test_set"], trained["detector"], strict=True))
    if len(keys) == 1:
        return {}
    return {
        (test, detector): one_line(detectors.get(detector, ""))
        + (f" on {one_line(board.short(test))}" if several else "")
        for test, detector in keys
    }


def selector_names(board: Board, detector: str | None) -> dict[str, str]:
    """Short names of the selectors of one detector's lines."""
    # A learned selector names its own detector, so selectors are told apart within one detector only.
    same = board.frame["detector"].map(lambda other: other == detector or (not known(other) and not known(detector)))
    return short_names(board.frame.loc[same, "selector"], board.shown)


def _row(line: Line, detectors: Mapping[str, str], selectors: Mapping[str, str], rank: str) -> tuple[Cell, ...]:
    return (
        Cell(rank, line["rank"]),
        Cell(one_line(line["training_set"])),
        Cell(_name(line["selector"], selectors)),
        Cell(_name(line["detector"], detectors)),
        Cell(primary_text(line), line[PRIMARY]),
        *(Cell(percent(value), value) for value in (numeric(line.get(name)) for name in _SHARES)),
        Cell(delta_text(line, "pseudo"), line["delta_pseudo"]),
        Cell(_confinement(line), numeric(line.get("confinement_change_inside"))),
        Cell(_seeds(line), float(line["seeds"])),
    )


def _name(text: str | None, names: Mapping[str, str]) -> str:
    return one_line(names.get(text, text)) if text is not None and known(text) else MISSING


def rank_texts(lines: Sequence[Line]) -> list[str]:
    """Return the ranks of the lines that are ranked together, each with its interval: `2 [1–3]`.

    Lines of the same figure share the better place, `2=`, and the next one is counted after all of them. An interval's
    half places, which ties among draws make, are rounded outwards.
    """
    ranks = [float(line["rank"]) for line in lines]
    texts = []
    for line, rank in zip(lines, ranks, strict=True):
        if math.isnan(rank):
            texts.append(MISSING)
            continue
        place = 1 + sum(other < rank for other in ranks)
        low, high = math.floor(line["rank_low"]), math.ceil(line["rank_high"])
        texts.append(f"{place}{'=' if ranks.count(rank) > 1 else ''} [{low}–{high}]")
    return texts


def primary_text(line: Line) -> str:
    """The primary figure with its interval, or the state of a line that has none."""
    if not line["seeds"]:
        return str(line["state"])
    return bracketed(*(percent(line[name]) for name in (PRIMARY, f"{PRIMARY}_low", f"{PRIMARY}_high")))


def delta_text(line: Line, base: str) -> str:
    """The difference to a baseline with its interval, in points."""
    low, high = (percent(line[f"delta_{base}{part}"]) for part in ("_low", "_high"))
    return bracketed(signed(line[f"delta_{base}"]), low, high)


def _confinement(line: Line) -> str:
    outside = number(numeric(line.get("confinement_psnr_outside")), 1)
    inside = percent(numeric(line.get("confinement_change_inside")))
    return MISSING if MISSING in (outside, inside) else f"{outside} / {inside}"


def _seeds(line: Line) -> str:
    done, planned, spread = line["seeds"], line["planned_seeds"], percent(line[f"{PRIMARY}_std"])
    shown = str(done) if done == planned else f"{done} of {planned}"
    return shown if spread == MISSING else f"{shown}, sd {spread}"


def _notes(board: Board, detectors: Mapping[str, str]) -> tuple[str, ...]:
    notes = [text for text in (board.note, settings_line(board)) if text]
    notes += board.notes
    full = [f"{short} is {board.short(text)}" for text, short in detectors.items() if short != board.short(text)]
    if full:
        notes.append(f"Detectors: {listed(full)}.")
    return tuple(one_line(note) for note in (*notes, *unfinished(board)))


def unfinished(board: Board) -> tuple[str, ...]:
    """Every line that lacks figures, or some seeds of them: what it is, and why."""
    found = []
    detectors = short_names(board.frame["detector"], board.shown)
    for line in line_records(board.frame[board.frame["state"] != "done"]):
        names = (_name(line["selector"], selector_names(board, line["detector"])), _name(line["detector"], detectors))
        parts = [name for name in names if name != MISSING]
        what = one_line(f"{line['training_set']} ({', '.join(parts)})" if parts else line["training_set"])
        lacking = f"{line['seeds']} of {line['planned_seeds']} seeds; " if line["seeds"] else ""
        found.append(f"{what}: {short_reason(lacking + str(line['reason'] or line['state']))}")
    return tuple(found)
