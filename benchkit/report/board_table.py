"""The board as a table for people: which columns it shows, each cell as text, in groups, with notes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import pandas as pd

from benchkit.metrics import COMPANION, PRIMARY
from benchkit.report.aggregate import AT_VALIDATION, DERIVED
from benchkit.report.board import Board, short_names
from benchkit.report.board_file import LEADING, MISSING_ROWS, TRIVIAL
from benchkit.report.columns import BY_KIND, RANKINGS, delta_columns, rank_columns
from benchkit.report.format_values import (
    MISSING,
    bracketed,
    known,
    listed,
    number,
    numeric,
    one_line,
    percent,
    plain_number,
    short_reason,
    signed,
)
from benchkit.report.frames import line_records
from benchkit.report.notes import REORDERED, UNSTABLE, climbing_mark, foot_notes, head_notes
from benchkit.report.settings import settings_line
from benchkit.store.columns import RARE_SETTINGS, SETTINGS

Line = Mapping[str, Any]
#: Lines that are ranked together have these in common.
_TOGETHER = ("test_set", "detector", "protocol")
_FRACTIONS = (AT_VALIDATION, "auroc", "f1", "artifact_iou_per_image")
#: Settings that get a column where rows differ in them; the printed name says the others.
_VARYING = {"labelled": "labelled", "source_images": "source\nimages", "iterations": "iterations", "dtype": "dtype"}


class TableCell(NamedTuple):
    """A cell's text, and the number to sort it by where it has one. best: resolved as the best of its ranking."""

    text: str
    value: float = math.nan
    best: bool = False


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
class TableGroup:
    """Lines that stand together; title may be empty."""

    title: str
    rows: tuple[tuple[TableCell, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """A table for people. head, notes: sentences that belong above it and below it.

    All texts are on one line and not yet escaped.
    """

    title: str
    columns: tuple[Column, ...]
    groups: tuple[TableGroup, ...]
    notes: tuple[str, ...] = ()
    head: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[tuple[TableCell, ...], ...]:
        """The lines of all groups."""
        return tuple(row for group in self.groups for row in group.rows)

    def without(self, dropped: Iterable[int], *notes: str) -> Sheet:
        """Return the sheet without some columns, and with further notes."""
        dropped = set(dropped)
        kept = [i for i in range(len(self.columns)) if i not in dropped]
        groups = [TableGroup(g.title, tuple(tuple(row[i] for i in kept) for row in g.rows)) for g in self.groups]
        columns = tuple(self.columns[i] for i in kept)
        return replace(self, columns=columns, groups=tuple(groups), notes=(*self.notes, *notes))

    def without_constants(self) -> Sheet:
        """Return the sheet without less vital columns that are empty, or whose text never differs (a note)."""
        texts = {i: self._texts(i) for i, column in enumerate(self.columns) if column.vital}
        empty = [i for i, found in texts.items() if not found]
        constant = [i for i, found in texts.items() if len(found) == 1 and self.columns[i].text]
        common = ", ".join(f"{self.columns[i].header} {texts[i][0]}" for i in constant)
        return self.without([*empty, *constant], *([f"In every row: {common}."] if constant else []))

    def always(self, header: str) -> Sheet:
        """Return the sheet with one column always shown, if rows differ in it."""
        several = {i for i, c in enumerate(self.columns) if c.header == header and len(self._texts(i)) > 1}
        return replace(
            self, columns=tuple(replace(c, vital=0) if i in several else c for i, c in enumerate(self.columns))
        )

    def _texts(self, column: int) -> list[str]:
        return list(dict.fromkeys(row[column].text for row in self.rows if row[column].text != MISSING))


BOARD_COLUMNS = (
    Column("rank\nIoU", meaning="Place by artifact IoU among the rows of one detector, with its interval."),
    Column(
        "method",
        text=True,
        role="name",
        meaning="What the detector was trained on; a corruptor's name with its parameters.",
    ),
    Column("selector", text=True, vital=5, meaning="What chose the regions."),
    Column("detector", text=True, vital=4, meaning="The network that was trained."),
    Column("artifact IoU\n[95 % interval]", role="primary", meaning="Artifact-class IoU at 0.5, pooled: the paper's."),
    Column("AP\n(rank)", meaning="Average precision over pixels, which depends on no threshold, and the place by it."),
    Column("AP\n[95 % interval]", vital=2, meaning="The interval of average precision."),
    Column("rank\nAP", vital=3, meaning="Place by average precision, with its interval."),
    Column("Δ to pseudo\nIoU", vital=1, meaning="Artifact IoU minus that of pseudo, paired, with its verdict; points."),
    Column("Δ to pseudo\nAP", vital=3, meaning="The same of average precision."),
    Column(
        "IoU at\nvalidation", vital=3, meaning="Artifact IoU at the threshold with the best F1 on validation images."
    ),
    Column("AUROC", vital=7, meaning="Area under the pixel ROC curve."),
    Column("F1", vital=8, meaning="Pixel F1 at 0.5."),
    Column("per-image\nIoU", vital=8, meaning="Artifact IoU, mean over images."),
    Column(
        "outside dB /\ninside change",
        vital=6,
        meaning="Confinement. PSNR outside the mask against the round trip (higher: less disturbed); mean absolute "
        "change inside it, per cent of the colour range.",
    ),
    Column("seeds", vital=4, meaning="Seeds the figures are the mean of, and the standard deviation (sd) of the IoU."),
)


_READ = {
    *(
        *LEADING,
        *SETTINGS,
        *RARE_SETTINGS,
        *DERIVED,
        *_FRACTIONS,
        *_VARYING,
        COMPANION,
        f"{COMPANION}_std",
        "plugins",
        "still_climbing",
    ),
    *("confinement_psnr_outside", "confinement_change_inside", "curve"),
}


def is_shown(column: str) -> bool:
    """Return whether `board_sheet` may read a column of a board; a board has hundreds of others."""
    return column in _READ


def board_sheet(board: Board, most: int | None = None) -> Sheet:
    """Return the board as a table for people: per cent with two decimals, reasons of missing rows in the notes.

    most: of each part of the board, how many rows are in the table; a note says how many are not.
    """
    detectors = short_names(board.frame["detector"], board.shown)
    selectors = cache(partial(selector_names, board))
    titles = _group_titles(board, detectors)
    varying = [n for n in _VARYING if board.frame.loc[board.frame["seeds"] > 0, n].dropna().nunique() > 1]

    def make_rows(lines: Sequence[Line], ranks: Mapping[str, Sequence[str]]) -> tuple[tuple[TableCell, ...], ...]:
        names = [(detectors, selectors(line["detector"])) for line in lines]
        places = zip(*ranks.values(), strict=True)
        rows = (_row(line, *own, *place) for line, own, place in zip(lines, names, places, strict=True))
        more = ([TableCell(_setting(line[name]), numeric(line[name])) for name in varying] for line in lines)
        return tuple((*row, *cells) for row, cells in zip(rows, more, strict=True))

    groups = []
    trained = board.trained
    ranked = {ranking: _rank_groups(trained, ranking, most or len(trained)) for ranking in RANKINGS}
    place = 0
    for key, lines in _runs(trained.head(most or len(trained)), _TOGETHER):
        ranks = {ranking: texts[place : place + len(lines)] for ranking, texts in ranked.items()}
        groups.append(TableGroup(titles.get(key, ""), make_rows(lines, ranks)))
        place += len(lines)
    left = len(trained) - place
    for name, title in ((TRIVIAL, "without training"), (MISSING_ROWS, "without figures")):
        part = board.frame[board.frame["group"] == name]
        lines = line_records(part.head(most or len(part)))
        left += len(part) - len(lines)
        if lines:
            groups.append(TableGroup(title, make_rows(lines, dict.fromkeys(RANKINGS, [MISSING] * len(lines)))))
    columns = (*BOARD_COLUMNS, *(Column(_VARYING[name], vital=2) for name in varying))
    head = tuple(map(one_line, head_notes(board)))
    sheet = Sheet(one_line(board.title), columns, tuple(groups), _notes(board, detectors), head)
    return sheet.without([], *([f"{left} more rows are not shown."] if left else [])).always("selector")


def kinds_sheet(board: Board) -> Sheet | None:
    """Return a table of every kind of artifact: IoU, or else recall, with its interval; None where there is none."""
    names = [name for name in board.metrics if f"{name}_low" in board.frame and name.partition(":")[0] in BY_KIND]
    base = next((base for base in BY_KIND if any(name.startswith(f"{base}:") for name in names)), "")
    names = [n for n in names if n.startswith(f"{base}:") and board.trained[n].notna().any()]
    if not names:
        return None
    groups = []
    for (_, detector), lines in _runs(board.trained, ("test_set", "detector")):
        selectors = selector_names(board, detector)
        labels = ((line["training_set"], _name(line["selector"], selectors), board.short(detector)) for line in lines)
        figures = ([TableCell(primary_text(line, name), numeric(line[name])) for name in names] for line in lines)
        rows = zip(labels, figures, strict=True)
        groups.append(
            TableGroup("", tuple((*(TableCell(one_line(text)) for text in label), *cells) for label, cells in rows))
        )
    columns = [Column("method", text=True, role="name"), Column("selector", text=True, vital=1)]
    columns += [Column("detector", text=True, vital=1), *(Column(one_line(n.partition(":")[2])) for n in names)]
    note = (
        "Pixels of one kind against clean pixels, at the threshold 0.5. A false positive counts against "
        "every kind, and a rare kind has a low IoU: compare methods, not kinds."
    )
    title = "Artifact IoU by kind" if base == "kind_iou" else "Recall by kind"
    return Sheet(title, tuple(columns), tuple(groups), (note,)).without_constants()


def _rank_groups(frame: pd.DataFrame, ranking: str, most: int) -> list[str]:
    """Return `rank_texts` of at least the first `most` trained lines, each among those that it is ranked with."""
    columns = frame.loc[:, [*rank_columns(ranking)]]
    keys = frame.loc[:, [*_TOGETHER]].fillna("")
    start = (keys != keys.shift()).any(axis=1).cumsum()
    if most < len(frame):  # all of the groups that are shown, since a tie may be with a row that is not
        shown = int((start <= start.iloc[most - 1]).sum())
        columns, start = columns.head(shown), start.head(shown)
    return [text for _, own in columns.groupby(start, sort=False) for text in rank_texts(line_records(own), ranking)]


def _runs(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[tuple[Any, ...], list[dict[str, Any]]]]:
    """Return the lines in runs of equal values, in order."""
    runs: list[tuple[tuple[Any, ...], list[dict[str, Any]]]] = []
    for line in line_records(frame):
        key = tuple(line[name] for name in by)
        if not runs or runs[-1][0] != key:
            runs.append((key, []))
        runs[-1][1].append(line)
    return runs


def _group_titles(board: Board, detectors: Mapping[str, str]) -> dict[tuple[Any, ...], str]:
    """Return a heading for each group of trained lines where there are several."""
    trained = board.trained
    several = trained["test_set"].nunique() > 1
    keys = dict.fromkeys(zip(trained["test_set"], trained["detector"], trained["protocol"], strict=True))
    if len(keys) == 1:
        return {}
    return {
        (test, detector, protocol): one_line(detectors.get(detector, ""))
        + (f" on {one_line(board.short(test))}" if several else "")
        + (f", {one_line(protocol)}" if known(protocol) and protocol else "")
        for test, detector, protocol in keys
    }


def selector_names(board: Board, detector: str | None) -> dict[str, str]:
    """Return short names of the selectors of one detector's lines."""
    # A learned selector names its own detector, so short names are made within one detector.
    detectors = board.frame["detector"]
    same = detectors == detector if known(detector) else detectors.isna()
    return short_names(board.frame.loc[same, "selector"], board.shown)


def selectors_by_detector(board: Board) -> dict[str | None, dict[str, str]]:
    """Return detector -> `selector_names`; of lines without a detector by None."""
    groups = board.frame.groupby("detector", sort=False, dropna=False)["selector"]
    return {str(name) if known(name) else None: short_names(own, board.shown) for name, own in groups}


def _row(
    line: Line, detectors: Mapping[str, str], selectors: Mapping[str, str], rank: str, rank_ap: str
) -> tuple[TableCell, ...]:
    low, high = (percent(line[f"{COMPANION}_{end}"]) for end in ("low", "high"))
    best, best_ap = (bool(line[rank_columns(ranking)[2]] == 1) for ranking in RANKINGS)
    return (
        TableCell(rank, line["rank"]),
        TableCell(one_line(line["training_set"])),
        TableCell(_name(line["selector"], selectors)),
        TableCell(_name(line["detector"], detectors)),
        TableCell(primary_text(line), line[PRIMARY], best),
        TableCell(_companion(line, rank_ap), numeric(line.get(COMPANION)), best_ap),
        TableCell(bracketed("", low, high).strip() or MISSING),
        TableCell(rank_ap, line[rank_columns(COMPANION)[0]]),
        *(_delta_cell(line, ranking) for ranking in RANKINGS),
        *(TableCell(percent(value), value) for value in (numeric(line.get(name)) for name in _FRACTIONS)),
        TableCell(_confinement(line), numeric(line.get("confinement_change_inside"))),
        TableCell(_seeds(line), float(line["seeds"])),
    )


def _companion(line: Line, rank: str) -> str:
    """Return average precision with the place by it, and the marks of the row: `39.34 (1) † §2/5`."""
    figure = percent(numeric(line.get(COMPANION)))
    place = "" if MISSING in (figure, rank) else f"({rank.partition(' ')[0]})"
    marks = (REORDERED if place and line["reordered"] else "", climbing_mark(line))
    return " ".join(filter(None, (figure, place, *marks)))


def _delta_cell(line: Line, ranking: str) -> TableCell:
    return TableCell(delta_text(line, "pseudo", ranking), line[delta_columns(ranking, "pseudo")[0]])


def _setting(value: Any) -> str:
    return MISSING if not known(value) else plain_number(value) if isinstance(value, float) else one_line(value)


def _name(text: str | None, names: Mapping[str, str]) -> str:
    return one_line(names.get(text, text)) if text is not None and known(text) else MISSING


def rank_texts(lines: Sequence[Line], ranking: str = PRIMARY) -> list[str]:
    """Return the ranks of the lines that are ranked together, each with its interval: `2 [1–3]`.

    Lines of the same figure share the better place, `2=`.
    """
    rank, low, high = rank_columns(ranking)
    places = [float(line[rank]) for line in lines]
    texts, ordered, times = [], sorted(place for place in places if not math.isnan(place)), Counter(places)
    for line, place in zip(lines, places, strict=True):
        if math.isnan(place):
            texts.append(MISSING)
            continue
        # Boards of earlier versions have half places.
        better = 1 + bisect_left(ordered, place)
        tie = "=" if times[place] > 1 else ""
        texts.append(f"{better}{tie} [{math.floor(line[low])}–{math.ceil(line[high])}]")
    return texts


def primary_text(line: Line, ranking: str = PRIMARY) -> str:
    """Return a ranking's figure with its interval, or the state of a line that has none."""
    if not line["seeds"]:
        return str(line["state"])
    return bracketed(*(percent(numeric(line.get(name))) for name in (ranking, f"{ranking}_low", f"{ranking}_high")))


def delta_text(line: Line, base: str, ranking: str = PRIMARY) -> str:
    """Return the difference to a baseline with its interval, in points, and its verdict."""
    value, low, high, _, verdict = (line[name] for name in delta_columns(ranking, base))
    text = bracketed(signed(value), percent(low), percent(high))
    return f"{text} {verdict}" if known(verdict) else text


def _confinement(line: Line) -> str:
    outside = number(numeric(line.get("confinement_psnr_outside")), 1)
    inside = percent(numeric(line.get("confinement_change_inside")))
    return MISSING if MISSING in (outside, inside) else f"{outside} / {inside}"


def _seeds(line: Line) -> str:
    done, planned, spread = line["seeds"], line["planned_seeds"], percent(line[f"{PRIMARY}_std"])
    shown = str(done) if done == planned else f"{done} of {planned}"
    shown += f" {UNSTABLE}" if line["unstable"] else ""
    return shown if spread == MISSING else f"{shown}, sd {spread}"


def _notes(board: Board, detectors: Mapping[str, str]) -> tuple[str, ...]:
    notes = [text for text in (board.note, settings_line(board)) if text]
    notes += foot_notes(board)
    full = [f"{short} is {board.short(text)}" for text, short in detectors.items() if short != board.short(text)]
    if full:
        notes.append(f"Detectors: {listed(full)}.")
    return tuple(one_line(note) for note in (*notes, *unfinished(board)))


def unfinished(board: Board) -> tuple[str, ...]:
    """Return every line without figures, or without some seeds: what it is, and why."""
    found = []
    detectors, selectors = short_names(board.frame["detector"], board.shown), cache(partial(selector_names, board))
    for line in line_records(board.frame[board.frame["state"] != "done"]):
        names = (_name(line["selector"], selectors(line["detector"])), _name(line["detector"], detectors))
        parts = [name for name in names if name != MISSING]
        what = one_line(f"{line['training_set']} ({', '.join(parts)})" if parts else line["training_set"])
        finished = f"{line['seeds']} of {line['planned_seeds']} seeds; " if line["seeds"] else ""
        found.append(f"{what}: {short_reason(finished + str(line['reason'] or line['state']))}")
    return tuple(found)
