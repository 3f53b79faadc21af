"""The tables of rows on the pages of methods, detectors, datasets and submissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchkit.leaderboard.site.rows import PAPER, Row
from benchkit.leaderboard.site.table_cells import TableCell, make_delta, make_figure, make_rank
from benchkit.report.columns import RANKINGS
from benchkit.report.notes import NAMES
from benchkit.report.text import MISSING, bracketed, known, number, numeric, percent, signed

#: Rows of a page's table; the board has all of them.
_MOST_ROWS = 500
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


def make_row_tables(rows: Sequence[Row], root: str, kind: str) -> list[PageTable]:
    """Return the measured rows of a page as a table, and those that the paper prints as another one."""
    measured = [row for row in rows if row["board_slug"] != PAPER]
    printed = [row for row in rows if row["board_slug"] == PAPER]
    found = []
    if measured:
        found.append(_make_table("Rows", measured, root, kind, [k for k in _LABELS if k != kind], _FIGURES + _DELTAS))
    if printed:
        labels = [k for k in ("method", "detector", "dataset") if k != kind]
        # The paper prints a method more than once; its table and label, and the source, tell the figures apart.
        found.append(_make_table("As the paper prints them", printed, root, kind, labels, (*_PRINTED, _FIGURES[1])))
    return found


def _make_table(
    title: str, rows: Sequence[Row], root: str, kind: str, labels: Sequence[str], figures: Sequence[str]
) -> PageTable:
    """Return a table of rows; a label that all of them share, or have none of, is no column."""

    def cell(row: Row, label: str) -> TableCell:
        text = row["name"] if label == "method" else row[label]
        return TableCell(text, None, f"{root}{label}s/{row[f'{label}_slug']}.html")

    def owner(label: str) -> Row:
        return next((row for row in rows if row[label] != MISSING), rows[0])

    shared = [k for k in labels if k != "method" and len({row[k] for row in rows} - {MISSING}) < 2 and len(rows) > 1]
    common = [(_LABELS[k], *cell(owner(k), k)[::2]) for k in shared]
    selectors = {row["selector"] for row in rows if row["selector"]}
    chosen = selectors.pop() if len(selectors) == 1 and len(rows) > 1 else ""
    common += [("regions selected by", chosen, "")] if chosen else []
    badge = rows[0]["badge"] if len({row["badge"] for row in rows}) == 1 and len(rows) > 1 else ""
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


def describe_rows(rows: Sequence[Row], ranked: Mapping[int, int]) -> Iterator[str]:
    """Yield what the board says of a method, a sentence for each group in which it is ranked, and each ranking.

    ranked: group -> number of its ranked rows.
    """
    # A row that trains on labelled images too is no figure of the corruption alone.
    trained = (row for row in rows if row["kind"] == "trained" and known(row.get("rank")))
    by_group: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        by_group.setdefault((row["group"], row["role"]), []).append(row)
    parts = dict.fromkeys((row["group"], row["role"]) for row in trained)
    for group, role in sorted(parts, key=lambda part: part[1] == "mixed"):
        own = by_group[group, role]
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


def _against_pseudo(row: Row, end: str) -> str:
    value, low, high = (numeric(row.get(f"pseudo{end}{part}")) for part in ("", "_low", "_high"))
    verdict = row.get(f"pseudo{end}_verdict")
    if not known(value) or not known(verdict):
        return ""
    words = {"unresolved": "not separable from", "equivalent": "equivalent to"}.get(str(verdict), f"{verdict} than")
    return f"; {words} pseudo ({bracketed(signed(value), percent(low), percent(high))} points)"


def make_confinement_table(rows: Sequence[Row]) -> PageTable | None:
    """Return how well a method's corruption stays inside its mask; None where nothing is known of it."""
    measured = [row for row in rows if known(row.get("inside")) and known(row.get("outside"))]
    if not measured:
        return None
    lines = [
        [
            TableCell(row["name"]),
            TableCell(row["detector"]),
            TableCell(row["selector"] or MISSING),
            *(TableCell(percent(row[k]), row[k]) for k in ("inside", "change_outside")),
            TableCell(number(row["outside"], 1), row["outside"]),
        ]
        for row in measured
    ]
    headers = [("row", True), ("detector", True), ("selector", True)]
    headers += [("change inside, %", False), ("change outside, %", False), ("PSNR outside, dB", False)]
    return PageTable("Confinement", headers, lines[:_MOST_ROWS], len(lines))


def summarise_method(rows: Sequence[Row]) -> list[TableCell]:
    """Return a method's cells in the list of methods: its best figures, and its verdicts against `pseudo`."""
    cells = []
    alone = [row for row in rows if row["role"] != "mixed"]  # those train on labelled images, too
    rows = alone or rows
    for key, end in (("iou", ""), ("ap", "_ap")):
        measured = [row for row in rows if row["board_slug"] != PAPER and known(row.get(key))]
        cells.append(make_figure(max(measured, key=lambda row: row[key]), key) if measured else TableCell(MISSING))
        numbers = Counter(row[f"pseudo{end}_verdict"] for row in measured if known(row.get(f"pseudo{end}_verdict")))
        words = ", ".join(f"{numbers[v]} {v}" for v in ("better", "equivalent", "unresolved", "worse") if numbers[v])
        cells.append(TableCell(words or MISSING, numbers["better"] - numbers["worse"] if words else None))
    return cells
