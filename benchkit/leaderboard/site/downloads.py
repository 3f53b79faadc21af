"""What a reader can take along: rows as CSV, JSON and Parquet, tables as LaTeX, rankings as SVG and PDF, a citation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from benchkit.leaderboard.season import Season
from benchkit.leaderboard.site.cost_figure import cost_figure
from benchkit.leaderboard.site.files import Content
from benchkit.leaderboard.site.row_columns import Columns
from benchkit.leaderboard.site.rows import Tables
from benchkit.leaderboard.site.sources import LONG, Member, Source
from benchkit.report.board import Board, plain_records
from benchkit.report.board_table import board_sheet
from benchkit.report.columns import RANKINGS
from benchkit.report.figures import Format, confinement_figure, ranking_figure
from benchkit.report.parquet_file import frame_to_table, write_parquet
from benchkit.report.render_board import csv_blocks, csv_text, latex, latex_text, parquet_bytes, render

#: A figure with more rows than this would be longer than any page.
_MOST_DRAWN = 120
#: Of more rows the site has no CSV and no JSON: these would exceed the 100 MB that GitHub Pages takes of one file.
MOST_ROWS_AS_TEXT = 20_000
#: Of zstd: a long table is written fast rather than small.
_FAST = 3
#: Rows of JSON that are made at once.
_AT_ONCE = 500
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
        if name in (row["seasons"] or {})
    ]


def download_files(sources: Sequence[Source], tables: Tables, seasons: Sequence[Season] = ()) -> dict[str, Content]:
    """Return the files of `downloads/`: all rows of the site, all seasons, and every board in full."""
    columns = {name: values for name, values in tables.rows.columns.items() if name not in _HIDDEN}
    files: dict[str, Content] = {"downloads/rows.parquet": partial(_parquet_rows, columns)}
    if len(tables.rows) <= MOST_ROWS_AS_TEXT:
        files["downloads/rows.csv"] = lambda: (block.encode("utf-8", "replace") for block in csv_blocks(columns))
        files["downloads/rows.json"] = lambda: _json_rows(columns)
    fresh = scored_records(tables)
    if fresh:
        files["downloads/seasons.csv"] = csv_text(pd.DataFrame(fresh)).encode("utf-8", "replace")
    records = plain_records(pd.DataFrame(fresh)) if fresh else []
    files["downloads/seasons.json"] = _json({"seasons": season_records(seasons, tables), "rows": records})
    for source in sources:
        folder = f"downloads/{source.slug}"
        if len(source.board.frame) <= LONG:
            files[f"{folder}/board.csv"] = render(source.board, "csv").encode("utf-8", "replace")
            files[f"{folder}/board.json"] = _json(source.board.as_json())
            files[f"{folder}/board.tex"] = latex_table(source.board).encode("utf-8", "replace")
        files |= {f"{folder}/board.parquet": partial(_board_parquet, source), **_figures(source, tables, folder)}
    return files


def _as_frame(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()}, copy=False)


def _parquet_rows(columns: Columns) -> Iterator[bytes]:
    yield write_parquet(frame_to_table(_as_frame(columns)), level=_FAST)


def _json_rows(columns: Columns) -> Iterator[bytes]:
    """Yield all rows as one JSON object, some hundred at a time."""
    yield b'{"rows": ['
    for start in range(0, len(columns["id"]), _AT_ONCE):
        some = plain_records(_as_frame({name: values[start : start + _AT_ONCE] for name, values in columns.items()}))
        yield (b", " if start else b"") + _json(some)[1:-2]
    yield b"]}\n"


def _board_parquet(source: Source) -> Iterator[bytes]:
    """Yield the Parquet file of a board; of a long one as its run wrote it, if that has one."""
    if source.file is None:
        yield parquet_bytes(source.board.frame)
        return
    with source.file.open("rb") as opened:
        while block := opened.read(2**20):
            yield block


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
    rows = tables.rows.take(np.isin(tables.rows.column("board_slug"), [member.slug for member in source.members]))
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
