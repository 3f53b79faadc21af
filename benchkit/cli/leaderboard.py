"""`benchkit leaderboard`: boards of finished runs, alone and side by side, and submissions. It loads no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchkit.cli import leaderboard_season, leaderboard_site, leaderboard_submit, leaderboard_verify, options
from benchkit.cli.common import cache_folder, cache_root, console, find_named_locations, print_json
from benchkit.cli.unused_options import App, note_unused
from benchkit.errors import BenchkitError, UnknownNameError

if TYPE_CHECKING:
    from benchkit.report.board import Board
    from benchkit.report.leaderboard_lines import Line
    from benchkit.store.results import ResultStore

_FORMATS = ("table", "markdown", "csv", "json", "latex")

app = App(
    help="Show boards of finished runs, also beside the paper's rows; submit and check them; build a site of them.",
    rich_markup_mode=None,
)
app.command("build", short_help="Build a static site of boards.")(leaderboard_site.build)
app.command("serve", short_help="Open a site in a browser.")(leaderboard_site.serve)


@app.command("show")
def show(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="A run's id or the start of an id, an --out folder, or a .jsonl file."),
    ],
    form: Annotated[str, typer.Option("--format", metavar="|".join(_FORMATS), help="How to print it.")] = "table",
    paper: Annotated[bool, typer.Option("--paper", help="Also show the rows that the paper reports.")] = False,
    rows: Annotated[
        int, typer.Option("--rows", min=0, metavar="N", help="The N best rows of a board as a table; 0: all of them.")
    ] = 1000,
    cache: options.Cache = None,
    store: options.Store = None,
) -> None:
    """Show the board of a run, or several boards side by side, with one line per method."""
    from benchkit.report.format_values import replace_controls
    from benchkit.report.leaderboard_lines import PaperLine
    from benchkit.report.render_board import csv_blocks, render

    if form not in _FORMATS:
        raise UnknownNameError("format", form, _FORMATS)
    if all(os.path.exists(run) for run in runs):  # noqa: PTH110  # returns False for an impossible name, where Path raises
        note_unused({"cache", "store"}, "every RUN is a file or a folder")
    alone = len(runs) == 1 and not paper and form not in ("csv", "json")
    sources = [_source(run, cache, store, alone, rows or None) for run in runs]
    boards = [board for source in sources for board in source.boards]
    width = console().width
    given = [line for source in sources for line in source.given or ()]
    if paper or any(isinstance(line, PaperLine) for line in given):
        from benchkit.report.paper_comparison import compare_with_paper

        lines = [line for source in sources for line in source.lines]
        text = render(compare_with_paper(lines), form, width)
    elif len(boards) == 1 and form == "csv":
        for block in csv_blocks(boards[0].frame):
            print(replace_controls(block) if sys.stdout.isatty() else block, end="")
        return
    elif len(boards) == 1:
        text = render(boards[0], form, width, rows or None)
    else:
        from benchkit.cli.sidebyside import SideBySide

        text = render(SideBySide(tuple(boards)), form, width, rows or None)
    print(text, end="" if text.endswith("\n") else "\n")


@app.command("list")
def list_(cache: options.Cache = None, store: options.Store = None, as_json: options.AsJson = False) -> None:
    """List the runs of the cache or of --store, the oldest first."""
    opened = opened_store(cache, store)
    runs = opened.runs() if opened else []
    rows = [
        {
            "run": run.id,
            "created": run.created,
            "status": run.status,
            "title": run.config.get("title"),
            "cells": dict(run.cells),
        }
        for run in runs
    ]
    if as_json:
        print_json({"runs": rows})
    elif rows:
        _print_runs(rows)
    else:
        print(f"no runs in {store or cache_root(cache)}: 'benchkit compare' makes one")


app.command("submit")(leaderboard_submit.submit)
app.command("check")(leaderboard_submit.check)
app.command("verify")(leaderboard_verify.verify)
app.add_typer(leaderboard_season.app, name="season")


def opened_store(cache: str | None, store: str | None) -> ResultStore | None:
    """Return the result store of --store, else the cache's own, or None if the cache has none."""
    from benchkit.runs.run import RESULTS
    from benchkit.store.results import ResultStore

    file = cache_folder(cache) / RESULTS
    return ResultStore(store or file, create=False) if store or file.is_file() else None


@dataclass(frozen=True)
class Source:
    """The boards that one RUN names; given: its lines, where it is a file of lines."""

    boards: Sequence[Board]
    given: Sequence[Line] | None = None

    @property
    def lines(self) -> Sequence[Line]:
        """The lines of the leaderboard."""
        from benchkit.report.leaderboard_lines import board_lines

        return self.given if self.given is not None else [line for board in self.boards for line in board_lines(board)]


def _source(name: str, cache: str | None, store: str | None, shown_alone: bool, most: int | None) -> Source:
    """shown_alone: as a table for people of `most` rows of each part, for which some columns suffice."""
    from benchkit.report.board_table import is_shown
    from benchkit.report.leaderboard_lines import load_leaderboard, make_boards
    from benchkit.report.load_board import find_board, load_board

    path = Path(name)
    if find_board(path) is not None or path.suffix == ".parquet":
        board = load_board(path, is_shown, pairs=False, curves=most) if shown_alone else load_board(path)
    elif os.path.isfile(path) or path.suffix in (".json", ".jsonl"):  # noqa: PTH113
        lines = load_leaderboard([path])
        if not lines:
            raise BenchkitError(f"'{name}' has no line: name a file with rows of a finished board")
        return Source(make_boards(lines, name, is_shown if shown_alone else None), lines)
    else:
        board = _stored(name, cache, store)
    return Source([board])


def _stored(name: str, cache: str | None, store: str | None) -> Board:
    """Return the board of a run in the store, made from its cell results."""
    from benchkit.report.board import Board
    from benchkit.runs.execution import load_run_data
    from benchkit.runs.find_run import open_results

    if not os.path.exists(name) and opened_store(cache, store) is None:  # noqa: PTH110
        where = store or cache_root(cache)
        raise BenchkitError(
            f"no run '{name}': there is no folder or file of that name, and there are no runs in {where}"
        )
    opened = open_results(find_named_locations(name, cache, store), name)
    run = opened.find_run(name)
    info = next(one for one in opened.runs() if one.id == run)
    return Board.of(load_run_data(run, opened, {}, info.config))


def _print_runs(rows: Sequence[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("run", "begun (UTC)", "status", "cells", "title"):
        table.add_column(header, overflow="fold", no_wrap=header == "run")  # so that it can be copied
    for row in rows:
        cells = ", ".join(f"{number} {state}" for state, number in sorted(row["cells"].items()))
        begun = row["created"][:16].replace("T", " ")
        table.add_row(*map(Text, (row["run"], begun, row["status"], cells, str(row["title"] or ""))))
    console().print(table)
