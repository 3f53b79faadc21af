"""The tables of rows on the pages of methods, detectors, datasets and submissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchkit.leaderboard.site.row_columns import Row, Rows
from benchkit.leaderboard.site.rows import PAPER
from benchkit.leaderboard.site.table_cells import TableCell, make_delta, make_figure, make_rank
from benchkit.report.columns import RANKINGS
from benchkit.report.format_values import MISSING, bracketed, known, number, numeric, percent, signed
from benchkit.report.notes import NAMES

#: Rows of a page's table; the board has all of them.
_MOST_ROWS = 500
#: Groups of rows that a method's page describes in words.
_MOST_GROUPS = 40
#: What a row is labelled by, and how a reader calls it.
_LABELS = {"method": "method", "detector": "detector", "dataset": "test images", "board": "submission"}
_FIGURES = ("rank, IoU", "artifact IoU, %", "rank, AP", "AP, %")
_DELTAS = ("Δ to pseudo, IoU, points", "Δ to pseudo, AP, points")

_PRINTED = ("in the paper", "images from")


class PageTable(NamedTuple):
    """A table of a page. headers: (text, whether it is a column of text). of: how many lines there are in all.

    title: of the table. common: (what, text, address) of what all rows share, and is therefore no column.
    """

    title: str
    headers: Sequence[tuple[str, bool]]
    lines: Sequence[Sequence[TableCell]]
    of: int
    common: Sequence[tuple[str, str, str]] = ()


def make_row_tables(rows: Sequence[Mapping[str, Any]], root: str, kind: str) -> list[PageTable]:
    """Return the measured rows of a page as a table, and those that the paper prints as another one."""
    rows = Rows.of(rows)
    of_paper = rows.column("board_slug") == PAPER
    measured, printed = rows.take(~of_paper), rows.take(of_paper)
    found = []
    if len(measured):
        found.append(_make_table("Rows", measured, root, kind, [k for k in _LABELS if k != kind], _FIGURES + _DELTAS))
    if len(printed):
        labels = [k for k in ("method", "detector", "dataset") if k != kind]
        # The paper prints a method more than once; its table and label, and the source, tell the figures apart.
        found.append(_make_table("As the paper prints them", printed, root, kind, labels, (*_PRINTED, _FIGURES[1])))
    return found


def _make_table(
    title: str, rows: Rows, root: str, kind: str, labels: Sequence[str], figures: Sequence[str]
) -> PageTable:
    """Return a table of rows; a label that all of them share, or have none of, is no column."""

    def cell(row: Row, label: str) -> TableCell:
        text = row["name"] if label == "method" else row[label]
        return TableCell(text, None, f"{root}{label}s/{row[f'{label}_slug']}.html")

    def owner(label: str) -> Row:
        return next((row for row in rows if row[label] != MISSING), rows[0])

    shared = [k for k in labels if k != "method" and len({*rows.distinct(k)} - {MISSING}) < 2 and len(rows) > 1]
    common = [(_LABELS[k], *cell(owner(k), k)[::2]) for k in shared]
    selectors = [selector for selector in rows.distinct("selector") if selector]
    chosen = selectors[0] if len(selectors) == 1 and len(rows) > 1 else ""
    common += [("regions selected by", chosen, "")] if chosen else []
    badge = rows[0]["badge"] if len(rows.distinct("badge")) == 1 and len(rows) > 1 else ""
    common += [("badge", badge, "")] if badge else []
    labels = [k for k in labels if k not in shared]
    headers = [(_LABELS[k], True) for k in labels]
    headers += [] if chosen else [("selector", True)]
    headers += [(name, name in _PRINTED) for name in figures]
    headers = [("row", True), *headers] if kind == "method" else headers
    headers += [] if badge else [("badge", True)]
    lines = []
    for row in rows[:_MOST_ROWS]:
        cells = {
            _PRINTED[0]: lambda row: TableCell(row["printed"]),
            _PRINTED[1]: lambda row: TableCell(row["source"] or MISSING),
            "rank, IoU": lambda row: make_rank(row, ""),
            "artifact IoU, %": lambda row: make_figure(row, "iou"),
            "rank, AP": lambda row: make_rank(row, "_ap"),
            "AP, %": lambda row: make_figure(row, "ap"),
            _DELTAS[0]: make_delta,
            _DELTAS[1]: lambda row: make_delta(row, "pseudo_ap"),
        }
        line = [TableCell(row["name"])] if kind == "method" else []
        line += [cell(row, k) for k in labels]
        line += [] if chosen else [TableCell(row["selector"] or MISSING)]
        line += [cells[name](row) for name in figures]
        lines.append(line if badge else [*line, TableCell(row["badge"])])
    return PageTable(title, headers, lines, len(rows), common)


def describe_rows(rows: Sequence[Mapping[str, Any]], ranked: Mapping[int, int]) -> Iterator[str]:
    """Yield what the board says of a method, a sentence for each group in which it is ranked, and each ranking.

    ranked: group -> number of its ranked rows.
    """
    rows = Rows.of(rows)
    groups, roles = rows.column("group"), rows.column("role")
    trained = (rows.column("kind") == "trained") & rows.known("rank")
    parts = dict.fromkeys(zip(groups[trained].tolist(), roles[trained].tolist(), strict=True))
    # A row that trains on labelled images too is no figure of the corruption alone.
    for group, role in sorted(parts, key=lambda part: part[1] == "mixed")[:_MOST_GROUPS]:
        own = rows.take((groups == group) & (roles == role))
        for ranking, key, end in zip(RANKINGS, ("iou", "ap"), ("", "_ap"), strict=True):
            measured = [row for row in own if known(row.get(f"rank{end}"))]
            if not measured:
                continue
            best = min(measured, key=lambda row: row[f"rank{end}"])
            value, low, high = (percent(numeric(best.get(key + part))) for part in ("", "_low", "_high"))
            labelled = " and the labelled images together" if role == "mixed" else ""
            where = f"With {best['detector']}{labelled}, by {NAMES[ranking]}"
            which = f"its best row is {best['name']}: " if len(measured) > 1 else ""
            words = f"{where}: {which}{bracketed(f'{value} %', low, high)}, rank {best[f'rank{end}']:.0f}"
            ends = [best.get(f"rank{end}{part}") for part in ("_low", "_high")]
            words += f" [{ends[0]:.0f}–{ends[1]:.0f}]" if all(map(known, ends)) else ""
            yield f"{words} of {ranked.get(group, len(measured))}{_against_pseudo(best, end)}."
    if (more := len(parts) - _MOST_GROUPS) > 0:
        yield f"It is ranked in {more} more groups of rows, which the board shows."


def _against_pseudo(row: Row, end: str) -> str:
    value, low, high = (numeric(row.get(f"pseudo{end}{part}")) for part in ("", "_low", "_high"))
    verdict = row.get(f"pseudo{end}_verdict")
    if not known(value) or not known(verdict):
        return ""
    words = {"unresolved": "not separable from", "equivalent": "equivalent to"}.get(str(verdict), f"{verdict} than")
    return f"; {words} pseudo ({bracketed(signed(value), percent(low), percent(high))} points)"


def make_confinement_table(rows: Rows) -> PageTable | None:
    """Return how well a method's corruption stays inside its mask; None where nothing is known of it."""
    measured = rows.take(rows.known("inside") & rows.known("outside"))
    if not len(measured):
        return None
    lines = [
        [
            TableCell(row["name"]),
            TableCell(row["detector"]),
            TableCell(row["selector"] or MISSING),
            *(TableCell(percent(row[k]), row[k]) for k in ("inside", "change_outside")),
            TableCell(number(row["outside"], 1), row["outside"]),
        ]
        for row in measured[:_MOST_ROWS]
    ]
    headers = [("row", True), ("detector", True), ("selector", True)]
    headers += [("change inside, %", False), ("change outside, %", False), ("PSNR outside, dB", False)]
    return PageTable("Confinement", headers, lines, len(measured))


def summarise_method(rows: Sequence[Mapping[str, Any]]) -> list[TableCell]:
    """Return a method's cells in the list of methods: its best figures, and its verdicts against `pseudo`."""
    cells = []
    rows = Rows.of(rows)
    alone = rows.take(rows.column("role") != "mixed")  # those train on labelled images, too
    rows = alone if len(alone) else rows
    for key, end in (("iou", ""), ("ap", "_ap")):
        measured = rows.take((rows.column("board_slug") != PAPER) & rows.known(key))
        best = make_figure(measured[int(measured.numbers(key).argmax())], key) if len(measured) else TableCell(MISSING)
        cells.append(best)
        numbers = Counter(measured.column(f"pseudo{end}_verdict").tolist())
        words = ", ".join(f"{numbers[v]} {v}" for v in ("better", "equivalent", "unresolved", "worse") if numbers[v])
        cells.append(TableCell(words or MISSING, numbers["better"] - numbers["worse"] if words else None))
    return cells
