"""How a comparison ended: its board on the screen, failed cells on stderr, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from benchkit.cli.common import console, log_file, print_json, tell, with_flags

if TYPE_CHECKING:
    from pathlib import Path

    from benchkit.functions.dry_run import DryRun
    from benchkit.runs.run import Outcome

#: The exit code if some cells failed and others did not.
SOME_CELLS_FAILED = 3


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data; for one of the paper's tables, with the paper's figures beside it."""
    from benchkit.report.paper_comparison import beside_table

    compared = beside_table(outcome.board)
    return outcome.as_json() | ({} if compared is None else {"paper": compared.as_json()})


def print_outcome(outcome: Outcome, out: Path | None) -> None:
    """Print the board, where the report is, and how long the run took."""
    from benchkit.report.board_table import board_sheet
    from benchkit.report.paper_comparison import beside_table
    from benchkit.report.render_board import rich_notes, rich_table

    screen = console()
    compared = beside_table(outcome.board)
    for sheet in (board_sheet(outcome.board), *(() if compared is None else (compared.sheet(),))):
        screen.print(rich_table(sheet, screen.width))
        screen.print(rich_notes(sheet, screen.width))
    print_counts(outcome)
    if out is None:
        print(f"show it again: benchkit leaderboard show {outcome.run}   (--out DIR writes tables and a page)")
        return
    print(f"report: {out / 'index.html' if (out / 'index.html').is_file() else out}")


def print_counts(outcome: Outcome) -> None:
    """Print the run's id, its numbers of stages and its time."""
    counts = ", ".join(f"{number} {state}" for state, number in outcome.stages.items())
    print(f"\nrun {outcome.run}: {counts} stages in {outcome.seconds:.1f} s")


def print_dry_run(dry_run: DryRun, as_json: bool) -> None:
    """Print what a comparison would do, as JSON or as text."""
    if as_json:
        print_json(dry_run.as_json())
        return
    from rich import box
    from rich.table import Table

    table = Table(title=f"plan: {dry_run.title}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("stage", "to run", "cached"):
        table.add_column(header, justify="left" if header == "stage" else "right")
    *kinds, total = dry_run.table()
    for line in kinds:
        table.add_row(*map(str, line))
    table.add_section()
    table.add_row(*map(str, total))
    console().print(table)
    console().print(with_flags("\n".join(dry_run.lines())), markup=False)


def exit_with_failures(outcome: Outcome) -> None:
    """Print each failure once, and the skipped plugins; raise typer.Exit with code 3 if there are any."""
    for reason in outcome.skipped_plugins:
        tell(f"failed: {reason}")
    for reason in dict.fromkeys(outcome.failures):
        tell(f"failed: {reason}")
    for reason in dict.fromkeys(outcome.earlier):
        tell(f"failed in an earlier attempt: {reason}")
    if outcome.failures:
        tell(f"some cells failed; tracebacks are in {outcome.log or log_file()}")
    if outcome.earlier:
        tell("cells that failed earlier were not retried; add --retry-failed to retry them")
    if outcome.failures or outcome.earlier or outcome.skipped_plugins:
        raise typer.Exit(SOME_CELLS_FAILED)
