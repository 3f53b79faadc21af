"""What a reader can take along: rows as CSV, JSON and Parquet, tables as LaTeX, rankings as SVG and PDF, a citation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any

import pandas as pd

from benchkit.leaderboard.season import Season
from benchkit.leaderboard.site.cost_figure import cost_figure
from benchkit.leaderboard.site.rows import Tables
from benchkit.leaderboard.site.sources import Member, Source
from benchkit.report.board import Board, plain_records
from benchkit.report.board_table import board_sheet
from benchkit.report.columns import RANKINGS
from benchkit.report.figures import Format, confinement_figure, ranking_figure
from benchkit.report.tables import csv_text, latex, latex_text, parquet_bytes, render

#: A figure with more rows than this would be longer than any page.
_MOST_DRAWN = 120
#: A longer board, with its hundreds of columns, is given as Parquet alone: as text it has hundreds of megabytes.
_MOST_AS_TEXT = 2000
#: What names a row in the file of all seasons.
_LABELS = ("name", "selector", "detector", "dataset", "board", "iou", "ap")
#: Columns of a board's table in LaTeX: those that are at least so vital.
_LEAST_VITAL = 2
#: What the files of one name show, and how people call a form.
_SHOWN = {
    "rows": "All rows of this site",
    "seasons": "All seasons, and the rows that were scored",
    "board": "Board",
    "iou": "Figure: ranking by artifact IoU",
    "ap": "Figure: ranking by AP",
    "cost-iou": "Figure: artifact IoU against cost",
    "cost-ap": "Figure: AP against cost",
    "confinement": "Figure: confinement",
}
_FORMS = {"tex": "LaTeX", "parquet": "Parquet"}
FIGURE_FORMS: tuple[Format, ...] = ("svg", "pdf")
_HIDDEN = ("kinds", "curve", "seasons", "place", "group", "method_slug", "detector_slug", "dataset_slug", "board_slug")


def group_files(paths: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what each set of files shows, with (form, path) of each; in the order of _SHOWN, others last."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in _SHOWN}
    for path in paths:
        name, _, form = path.rsplit("/", 1)[-1].rpartition(".")
        found.setdefault(name, []).append((_FORMS.get(form, form.upper()), path))
    return [(_SHOWN.get(name, name), own) for name, own in found.items() if own]


def season_records(seasons: Sequence[Season], tables: Tables) -> list[dict[str, Any]]:
    """Return what the site says of every season, the secret too where it is revealed."""
    return [{**asdict(one), "state": one.describe_state(one.name in tables.seasons)} for one in seasons]


def scored_records(tables: Tables) -> list[dict[str, Any]]:
    """Return a record for each row and season in which it was scored."""
    return [
        {"season": name, "id": row["id"], **{key: row[key] for key in _LABELS}, **row["seasons"][name]}
        for name in tables.seasons
        for row in tables.rows
        if name in row.get("seasons", {})
    ]


def download_files(sources: Sequence[Source], tables: Tables, seasons: Sequence[Season] = ()) -> dict[str, bytes]:
    """Return the files of `downloads/`: all rows of the site, all seasons, and every board in full."""
    frame = pd.DataFrame([{k: v for k, v in row.items() if k not in _HIDDEN} for row in tables.rows])
    files = {
        "downloads/rows.csv": csv_text(frame).encode("utf-8", "replace"),
        "downloads/rows.json": _json({"rows": plain_records(frame)}),
        "downloads/rows.parquet": parquet_bytes(frame),
    }
    fresh = scored_records(tables)
    if fresh:
        files["downloads/seasons.csv"] = csv_text(pd.DataFrame(fresh)).encode("utf-8", "replace")
    records = plain_records(pd.DataFrame(fresh)) if fresh else []
    files["downloads/seasons.json"] = _json({"seasons": season_records(seasons, tables), "rows": records})
    for source in sources:
        folder = f"downloads/{source.slug}"
        if len(source.board.frame) <= _MOST_AS_TEXT:
            files[f"{folder}/board.csv"] = render(source.board, "csv").encode("utf-8", "replace")
            files[f"{folder}/board.json"] = _json(source.board.as_json())
            files[f"{folder}/board.tex"] = latex_table(source.board).encode("utf-8", "replace")
        files |= {
            f"{folder}/board.parquet": parquet_bytes(source.board.frame),
            **_figures(source, tables, folder),
        }
    return files


def _json(data: Any) -> bytes:
    """Return plain data as JSON on one line: indented, 10,000 rows would take a minute."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def _figures(source: Source, tables: Tables, folder: str) -> dict[str, bytes]:
    """Return a board's figures for papers: both rankings, the confinement, and quality against cost."""
    board, files = source.board, {}
    drawn: dict[str, Callable[[Format], bytes | None]] = {}
    if len(board.frame) <= _MOST_DRAWN:
        for ranking, name in zip(RANKINGS, ("iou", "ap"), strict=True):
            drawn[name] = partial(_draw_ranking, board, ranking)
        drawn["confinement"] = lambda form: confinement_figure(board, form=form)
    members = {member.slug for member in source.members}
    rows = [row for row in tables.rows if row["board_slug"] in members]
    for key in ("iou", "ap"):
        drawn[f"cost-{key}"] = partial(cost_figure, rows, key)
    for (name, draw), form in product(drawn.items(), FIGURE_FORMS):
        if (data := draw(form)) is not None:
            files[f"{folder}/{name}.{form}"] = data
    return files


def _draw_ranking(board: Board, ranking: str, form: Format) -> bytes | None:
    return ranking_figure(board, ranking, form=form)


def latex_table(board: Board) -> str:
    """Return a board as a LaTeX table for a paper: ranks and figures, without the columns that matter least."""
    sheet = board_sheet(board)
    return latex(sheet.without(i for i, column in enumerate(sheet.columns) if column.vital > _LEAST_VITAL))


def bibtex(member: Member, board: Board) -> str:
    """Return a BibTeX entry for a run or a submission."""
    created = member.declared.get("created", board.run)
    run = member.declared.get("run", board.run)
    protocol = member.declared.get("protocol", "")
    parts = [f"submission {member.name}", f"run {run}", *([f"protocol sha256 {protocol[:12]}"] if protocol else [])]
    fields = {
        "title": latex_text(board.title),
        "author": f"{{{latex_text(member.name)}}}",
        "year": created[:4] if created[:4].isdigit() else "",
        "howpublished": "benchkit leaderboard",
        "note": latex_text(", ".join([*parts, member.badge])),
        "url": latex_text(member.link),
    }
    # The braces around hyphens are for tables; in an entry they only make names hard to read.
    lines = [f"  {name} = {{{value.replace('{-}', '-')}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{benchkit-{member.slug},", *lines, "}"])
