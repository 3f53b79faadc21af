"""A run's report on disk: rows, board and page, each file complete or absent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from benchkit.report.ablation import AblationBoard, ablation_files
from benchkit.report.board import Board, plain_records
from benchkit.report.board_parquet import board_to_parquet, pairs_to_parquet
from benchkit.report.leaderboard_lines import to_jsonl
from benchkit.report.load_board import BOARD_FILE, BOARD_PARQUET, PAIRS_PARQUET, load_board
from benchkit.report.old_schemas import SCHEMA
from benchkit.report.paper_comparison import beside_table
from benchkit.report.render_board import csv_text, json_text, parquet_bytes, render
from benchkit.report.run_data import RunData
from benchkit.report.site.page import page
from benchkit.specs.keys import digest
from benchkit.system.output_files import replace_files

__all__ = ["FILES", "load_board", "write_report"]

PAGE_FILE, SHOWN = "index.html", "report.json"
#: What `write_report` writes, and beside it of an ablation its own files; report.json says which run is shown.
FILES = (
    *("rows.parquet", "rows.csv", "rows.json"),
    *("board.csv", BOARD_FILE, BOARD_PARQUET, PAIRS_PARQUET, "board.jsonl", "board.md", PAGE_FILE, SHOWN),
)


def write_report(run: RunData, out: Path, ablation: AblationBoard | None = None, stale: Collection[str] = ()) -> Board:
    """Write a run's report into a folder, made if need be, all of its files or none; return its board.

    rows.*: a line per cell; board.*: a line per training set, selector and detector (board.jsonl is what the
    leaderboard takes). ablation: the differences of an ablation's run. stale: files of an earlier report, removed where
    this one has none of that name. Raises BenchkitError where the folder cannot be written.
    """
    board = Board.of(run)
    contents = {**_contents(run, board, ablation), **(ablation_files(ablation) if ablation else {})}
    replace_files(out, contents, stale)
    return board


def shown_text(run: str, cells: Iterable[str]) -> str:
    """Return the text of SHOWN: which run the report shows, and a digest of the cells in it.

    A plan may name a cell several times, as a trivial row does that is the same for every seed; it counts once.
    """
    return json_text({"run": run, "cells": digest(sorted(set(cells)))})


def _markdown(board: Board) -> str:
    """Return the board and, of one of the paper's tables, the same beside the paper."""
    compared = beside_table(board)
    return render(board, "markdown") + ("" if compared is None else "\n" + render(compared, "markdown"))


def _contents(run: RunData, board: Board, ablation: AblationBoard | None) -> dict[str, bytes]:
    rows = {"schema": SCHEMA, "run": run.run, "rows": plain_records(run.rows)}
    texts = {
        "rows.csv": csv_text(run.rows),
        "rows.json": json_text(rows),
        "board.csv": render(board, "csv"),
        BOARD_FILE: render(board, "json"),
        "board.jsonl": to_jsonl(board),
        "board.md": _markdown(board),
        PAGE_FILE: page(run, board, ablation=ablation),
        SHOWN: shown_text(run.run, run.rows["cell"]),
    }
    # Half surrogates (from file names, say) have no UTF-8.
    encoded = {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    parquet = {
        "rows.parquet": parquet_bytes(run.rows),
        BOARD_PARQUET: board_to_parquet(board),
        PAIRS_PARQUET: pairs_to_parquet(board),
    }
    return {**parquet, **encoded}
