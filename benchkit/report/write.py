"""A run's report on disk: rows, board and page, each file wholly there or not at all."""

from __future__ import annotations

from pathlib import Path

from benchkit.errors import BenchkitError
from benchkit.report.ablation import AblationBoard
from benchkit.report.beside import beside_table
from benchkit.report.board import Board, plain_records
from benchkit.report.data import RunData
from benchkit.report.leaderboard import to_jsonl
from benchkit.report.load import BOARD_FILE, load_board
from benchkit.report.older import SCHEMA
from benchkit.report.site.page import page
from benchkit.report.tables import csv_text, json_text, parquet_bytes, render
from benchkit.store.files import write_atomic

__all__ = ["FILES", "load_board", "write_ablation_page", "write_report"]

PAGE_FILE = "index.html"
#: What `write_report` writes, in this order: the page is last, so that where it is, the rest is.
FILES = (
    *("rows.parquet", "rows.csv", "rows.json"),
    *("board.csv", BOARD_FILE, "board.jsonl", "board.md", PAGE_FILE),
)


def write_report(run: RunData, out: Path) -> Board:
    """Write a run's report into a folder, made if need be, and return its board.

    rows.*: a line per cell; board.*: a line per training set, selector and detector (board.jsonl is what the
    leaderboard takes). Raises BenchkitError where the folder cannot be written.
    """
    board = Board.of(run)
    # All of it before the first file, so that a failure leaves an earlier report whole.
    contents = _contents(run, board)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            write_atomic(out / name, contents[name])
    except OSError as error:
        raise BenchkitError(f"cannot write the report to '{out}': {error.strerror or error}") from None
    return board


def write_ablation_page(run: RunData, board: Board, ablation: AblationBoard, out: Path) -> None:
    """Write the page of an ablation's run again, with the differences; raises BenchkitError where it cannot be."""
    text = page(run, board, ablation=ablation).encode("utf-8", "replace")
    try:
        write_atomic(out / PAGE_FILE, text)
    except OSError as error:
        raise BenchkitError(f"cannot write the page to '{out}': {error.strerror or error}") from None


def _markdown(board: Board) -> str:
    """The board and, of one of the paper's tables, the same beside the paper."""
    compared = beside_table(board)
    return render(board, "markdown") + ("" if compared is None else "\n" + render(compared, "markdown"))


def _contents(run: RunData, board: Board) -> dict[str, bytes]:
    rows = {"schema": SCHEMA, "run": run.run, "rows": plain_records(run.rows)}
    texts = {
        "rows.csv": csv_text(run.rows),
        "rows.json": json_text(rows),
        "board.csv": render(board, "csv"),
        BOARD_FILE: render(board, "json"),
        "board.jsonl": to_jsonl(board),
        "board.md": _markdown(board),
        PAGE_FILE: page(run, board),
    }
    # Half surrogates (from file names, say) have no UTF-8.
    encoded = {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    return {"rows.parquet": parquet_bytes(run.rows), **encoded}
