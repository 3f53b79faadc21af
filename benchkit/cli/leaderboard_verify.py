"""`benchkit leaderboard verify`: run cells of a submission again, and compare."""

from __future__ import annotations

import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, print_json
from benchkit.cli.outcome import SOME_CELLS_FAILED
from benchkit.functions import progress
from benchkit.system.fetching import forbid_downloads

if TYPE_CHECKING:
    from benchkit.leaderboard.verified import CellOutcome, Verified
    from benchkit.planning.dry_run import Preview


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a submission.")],
    cells: Annotated[int, typer.Option("--cells", min=1, metavar="N", help="How many cells to run again.")] = 2,
    salt: Annotated[
        str,
        typer.Option(
            "--salt",
            metavar="TEXT",
            help="Choose other cells: a text that the submitter could not know, such as today's commit.",
        ),
    ] = "",
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME|DIR|FILE", help="Where the submission's checkpoint lies here."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            metavar="NAME:root=DIR",
            help="Where a dataset of the submission lies here, or another parameter of its place; repeatable.",
        ),
    ] = None,
    device: options.Device = "cpu",
    executor: options.ExecutorName = "inline",
    time_limit: options.TimeLimit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the chosen cells and what they cost.")] = False,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Run a few cells of a submission again, in a fresh cache, and compare figures and per-image counts.

    A hash of the submission chooses the cells. Nothing is downloaded. The outcome is written to DIR/verified.json.
    Exit code 3: a cell differs, or cannot run here.
    """
    from benchkit.leaderboard.verified import write_verified
    from benchkit.leaderboard.verify import plan_rerun, preview_rerun
    from benchkit.leaderboard.verify import verify as run_again
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.specs.spec import Spec
    from benchkit.system.devices import resolve_device

    stages_run_in = options.parse_executor(executor, time_limit, None)
    with redirect_stdout(sys.stderr), forbid_downloads():
        registry = TolerantRegistry(load_registry(plugin, plugin_folder))
        places = [Spec.parse("dataset", text) for text in dataset or ()]
        rerun = plan_rerun(folder, registry, cells, salt, model, places)
        cost = preview_rerun(rerun, registry)
    if not as_json:
        _print_cost(len(rerun.chosen), cost)
    if dry_run:
        chosen = [
            {"cell": row["cell"], "row": row["training_set"], "detector": row["detector"], "seed": row["seed"]}
            | {"reason": rerun.impossible.get(row["cell"], "")}
            for row in rerun.chosen
        ]
        if as_json:
            evaluations = cost.network_evaluations if cost else 0
            iterations = cost.train_iterations if cost else 0
            print_json({"cells": chosen, "network_evaluations": evaluations, "train_iterations": iterations})
        for one in chosen if not as_json else ():
            reason = f": cannot run here: {one['reason']}" if one["reason"] else ""
            print(f"{one['row']}, {one['detector']}, seed {one['seed']}{reason}")
        return
    with (
        redirect_stdout(sys.stderr),
        forbid_downloads(),
        tempfile.TemporaryDirectory(prefix="benchkit-verify-") as cache,
    ):
        resolved = resolve_device(device, several=True)
        with progress.shown() as screen:
            reporting = progress.ReportingExecutor(screen, stages_run_in, "compare figures and counts")
            verified = run_again(rerun, registry, reporting, resolved, screen.note, Path(cache))
    file = write_verified(folder, verified)
    if as_json:
        print_json(verified.as_json())
    else:
        _print_outcome(verified, file)
    if verified.verdict != "verified":
        raise typer.Exit(SOME_CELLS_FAILED)


def _print_cost(number: int, cost: Preview | None) -> None:
    if cost is not None:
        print(
            f"{number} cells: {sum(cost.pending.values())} stages, {cost.network_evaluations:,} network evaluations "
            f"(images), {cost.train_iterations:,} training iterations"
        )


def _print_outcome(verified: Verified, file: Path) -> None:
    for one in verified.cells:
        print(f"{one.row}, {one.detector}, seed {one.seed} (cell {one.cell[:12]}): {_describe(one)}")
    print(f"{verified.verdict}: {file}")


def _describe(one: CellOutcome) -> str:
    if one.state == "verified":
        how = "every figure and count is the reported one" if one.exact else f"within tolerance: {one.reason}"
        return f"verified, {how} ({one.seconds:.0f} s)"
    return f"{'cannot run here' if one.state == 'cannot run' else one.state}: {one.reason}"
