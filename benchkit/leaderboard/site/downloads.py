"""What a reader can take along: rows as CSV, JSON and Parquet, tables as LaTeX, rankings as SVG, and how to cite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from benchkit.leaderboard.site.rows import Group, Row, Tables, by_rank
from benchkit.leaderboard.site.sources import Member, Source
from benchkit.report.board import Board, plain_records
from benchkit.report.figures import ranking_figure
from benchkit.report.tables import csv_text, latex_text, parquet_bytes, render
from benchkit.report.text import MISSING, bracketed, known, numeric, percent
from benchkit.report.uncertainty import RANKINGS

#: A figure with more rows than this would be longer than any page.
_MOST_DRAWN = 120
#: A longer board, with its hundreds of columns, is given as Parquet alone: as text it has hundreds of megabytes.
_MOST_AS_TEXT = 2000
_HIDDEN = ("kinds", "place", "group", "method_slug", "detector_slug", "dataset_slug", "board_slug")


def download_files(sources: Sequence[Source], tables: Tables) -> dict[str, bytes]:
    """Return the files of `downloads/`: all rows of the site, and every board in full."""
    frame = pd.DataFrame([{k: v for k, v in row.items() if k not in _HIDDEN} for row in tables.rows])
    files = {
        "downloads/rows.csv": csv_text(frame).encode("utf-8", "replace"),
        "downloads/rows.json": _json({"rows": plain_records(frame)}),
        "downloads/rows.parquet": parquet_bytes(frame),
    }
    for source in sources:
        folder = f"downloads/{source.slug}"
        groups = [group for group in tables.groups if group.board == source.slug and group.ranked]
        if len(source.board.frame) <= _MOST_AS_TEXT:
            files[f"{folder}/board.csv"] = render(source.board, "csv").encode("utf-8", "replace")
            files[f"{folder}/board.json"] = _json(source.board.as_json())
        files |= {
            f"{folder}/board.parquet": parquet_bytes(source.board.frame),
            f"{folder}/board.tex": latex_table(source, groups, tables.rows).encode("utf-8", "replace"),
            **_figures(source.board, folder),
        }
    return files


def _json(data: Any) -> bytes:
    """Return plain data as JSON on one line: indented, 10,000 rows would take a minute."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def _figures(board: Board, folder: str) -> dict[str, bytes]:
    if len(board.frame) > _MOST_DRAWN:
        return {}
    drawn = {f"{folder}/{name}.svg": ranking_figure(board, r) for r, name in zip(RANKINGS, ("iou", "ap"), strict=True)}
    return {path: svg for path, svg in drawn.items() if svg is not None}


def latex_table(source: Source, groups: Iterable[Group], rows: Sequence[Row]) -> str:
    """Return a board's rankings as a LaTeX table (needs booktabs).

    A figure is bold only if its row is resolved as the best: every other row of its ranking is worse beyond chance.
    """
    body = []
    for group in groups:
        body += ["\\midrule", f"\\multicolumn{{5}}{{l}}{{\\emph{{{latex_text(group.title)}}}}} \\\\"]
        for place in by_rank(group, RANKINGS[0], rows):
            row = rows[place]
            names = [latex_text(row["name"]), latex_text(row["selector"] or MISSING)]
            body.append(
                " & ".join([*names, _places(row), _figure(row, "iou", ""), _figure(row, "ap", "_ap")]) + " \\\\"
            )
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            "\\begin{table}",
            f"\\caption{{{latex_text(source.board.title)}. Per cent, with 95\\,\\% intervals. The rank is by artifact "
            "IoU, with its simultaneous interval. Bold: every other row of the ranking is worse beyond chance.}",
            "\\begin{tabular}{llrrr}",
            "\\toprule",
            "method & selector & rank & artifact IoU & AP \\\\",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            "",
        ]
    )


def _places(row: Row) -> str:
    low, high = row.get("rank_low"), row.get("rank_high")
    return f"{row['rank']:.0f}" + (f" {{[}}{low:.0f}--{high:.0f}{{]}}" if known(low) and known(high) else "")


def _figure(row: Row, key: str, end: str) -> str:
    text = latex_text(bracketed(*(percent(numeric(row.get(key + part))) for part in ("", "_low", "_high"))))
    return f"\\textbf{{{text}}}" if row.get(f"rank{end}_high") == 1 else text


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
