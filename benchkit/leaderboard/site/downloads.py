"""What a reader can take along: rows as CSV, JSON and Parquet, tables as LaTeX, rankings as SVG and PDF, a citation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd

from benchkit.leaderboard.site.rows import Tables
from benchkit.leaderboard.site.sources import Member, Source
from benchkit.report.board import Board, plain_records
from benchkit.report.board_table import board_sheet
from benchkit.report.columns import RANKINGS
from benchkit.report.figures import Format, ranking_figure
from benchkit.report.tables import csv_text, latex, latex_text, parquet_bytes, render

#: A figure with more rows than this would be longer than any page.
_MOST_DRAWN = 120
#: A longer board, with its hundreds of columns, is given as Parquet alone: as text it has hundreds of megabytes.
_MOST_AS_TEXT = 2000
#: What names a row in the file of all seasons.
_LABELS = ("name", "selector", "detector", "dataset", "board", "iou", "ap")
#: Columns of a board's table in LaTeX: those that are at least so vital.
_LEAST_VITAL = 2
FIGURE_FORMS: tuple[Format, ...] = ("svg", "pdf")
_HIDDEN = ("kinds", "curve", "seasons", "place", "group", "method_slug", "detector_slug", "dataset_slug", "board_slug")


def download_files(sources: Sequence[Source], tables: Tables) -> dict[str, bytes]:
    """Return the files of `downloads/`: all rows of the site, and every board in full."""
    frame = pd.DataFrame([{k: v for k, v in row.items() if k not in _HIDDEN} for row in tables.rows])
    files = {
        "downloads/rows.csv": csv_text(frame).encode("utf-8", "replace"),
        "downloads/rows.json": _json({"rows": plain_records(frame)}),
        "downloads/rows.parquet": parquet_bytes(frame),
    }
    fresh = [
        {"season": name, "id": row["id"], **{key: row[key] for key in _LABELS}, **row["seasons"][name]}
        for name in tables.seasons
        for row in tables.rows
        if name in row.get("seasons", {})
    ]
    if fresh:
        files["downloads/seasons.csv"] = csv_text(pd.DataFrame(fresh)).encode("utf-8", "replace")
        files["downloads/seasons.json"] = _json({"rows": plain_records(pd.DataFrame(fresh))})
    for source in sources:
        folder = f"downloads/{source.slug}"
        if len(source.board.frame) <= _MOST_AS_TEXT:
            files[f"{folder}/board.csv"] = render(source.board, "csv").encode("utf-8", "replace")
            files[f"{folder}/board.json"] = _json(source.board.as_json())
        files |= {
            f"{folder}/board.parquet": parquet_bytes(source.board.frame),
            f"{folder}/board.tex": latex_table(source.board).encode("utf-8", "replace"),
            **_figures(source.board, folder),
        }
    return files


def _json(data: Any) -> bytes:
    """Return plain data as JSON on one line: indented, 10,000 rows would take a minute."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def _figures(board: Board, folder: str) -> dict[str, bytes]:
    if len(board.frame) > _MOST_DRAWN:
        return {}
    files = {}
    for (ranking, name), form in product(zip(RANKINGS, ("iou", "ap"), strict=True), FIGURE_FORMS):
        if (drawn := ranking_figure(board, ranking, form=form)) is not None:
            files[f"{folder}/{name}.{form}"] = drawn
    return files


def latex_table(board: Board) -> str:
    """Return a board as a LaTeX table for a paper: ranks and figures, without the columns that matter least."""
    sheet = board_sheet(board)
    return latex(sheet.without(i for i, column in enumerate(sheet.columns) if column.vital > _LEAST_VITAL))


def bibtex(member: Member, board: Board) -> str:
    """Return a BibTeX entry for a run or a submission."""
    created = member.declared.get("created", board.run)
    run = member.declared.get("run", board.run)
    fields = {
        "title": latex_text(board.title),
        "author": f"{{{latex_text(member.name)}}}",
        "year": created[:4] if created[:4].isdigit() else "",
        "note": latex_text(f"benchkit leaderboard, run {run}, {member.badge}"),
        "url": latex_text(member.link),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{benchkit-{member.slug},", *lines, "}"])
