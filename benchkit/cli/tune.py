"""`benchkit tune`: search a corruptor's parameters on validation data, within a stated budget."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import cache_root, load_registry, log_file, print_json, tell
from benchkit.cli.outcome import SOME_CELLS_FAILED

if TYPE_CHECKING:
    from benchkit.functions.tune import Tuning
    from benchkit.search.trials import Search

Spaces = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=LOW..HIGH|A|B",
        help="Search this parameter, not all declared ones: a range KEY=LOW..HIGH, or choices KEY=A|B|C; repeatable.",
    ),
]
Further = Annotated[
    list[str] | None,
    typer.Option(
        "--corruptor", metavar="NAME[:k=v,…]", help="Another corruptor to search with the same budget; repeatable."
    ),
]
Kept = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keep the trials here; the search resumes from trials in this folder."),
]
Again = Annotated[bool, typer.Option("--retry-failed", help="First repeat the trials in --out that failed.")]
OnlySay = Annotated[bool, typer.Option("--dry-run", help="Only print what would be searched, and the budget.")]
First = Annotated[
    str,
    typer.Argument(
        metavar="CORRUPTOR", help="A corruptor, NAME[:k=v,…]. Parameters that are set here are not searched."
    ),
]


def tune(
    first: First,
    preset: options.Preset = "quick",
    trials: Annotated[
        int, typer.Option(metavar="N", help="Number of trials of each corruptor; failed trials count.")
    ] = 20,
    space: Spaces = None,
    corruptor: Further = None,
    sampler_seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the sampler (TPE), which chooses the trials.")
    ] = 0,
    dataset: options.DatasetName = None,
    model: options.ModelName = None,
    selector: options.Selectors = None,
    detector: options.Detectors = None,
    inverter: options.Inverters = None,
    seeds: options.Seeds = None,
    setting: options.Settings = None,
    scale: options.Scale = None,
    out: Kept = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = None,
    executor: options.ExecutorName = "auto",
    address: options.Address = None,
    retry_failed: Again = False,
    dry_run: OnlySay = False,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Search a corruptor's parameters on validation data. The test split is never read.

    The same command resumes an interrupted search; finished trials are not repeated. Exit code 3: some trials failed.
    """
    from benchkit.functions.tune import tune as search

    executor_used = options.parse_executor(executor, time_limit, address)
    corruptors = [first, *(corruptor or ())]
    options.check_single_plugins("corruptors", corruptors)
    asked = options.grid_arguments(dataset, model, seeds, selector, None, detector, inverter, setting, scale)
    del asked["corruptors"]
    with redirect_stdout(sys.stderr):  # stdout is for results, not for what plugins print
        tuning = search(
            corruptors,
            space or None,
            grid=preset,
            trials=trials,
            sampler_seed=sampler_seed,
            **asked,
            out=out,
            cache=cache_root(cache),
            device=device,
            executor=executor_used,
            plugins=load_registry(plugin, plugin_folder, strict),
            dry_run=dry_run,
            retry_failed=retry_failed,
        )
    if as_json:
        print_json(tuning.as_json())
    else:
        _print(tuning)
    _exit_with_failures(tuning.searches)


def _print(tuning: Tuning) -> None:
    print("\n".join(tuning.lines()))
    for search in tuning.searches:
        if search.best is not None:
            print(f"--corruptor {shlex.quote(str(search.best.spec))}")


def _exit_with_failures(searches: Sequence[Search]) -> None:
    failed = [(search, trial) for search in searches for trial in search.trials if trial.value is None]
    for _, trial in failed:
        tell(f"failed: trial {trial.number} ({trial.spec}): {trial.reason}")
    if failed:
        tell(f"some trials failed; tracebacks are in {log_file()}")
        if any(trial.number < search.resumed for search, trial in failed):
            tell("trials that failed earlier were not retried; add --retry-failed to retry them")
        raise typer.Exit(SOME_CELLS_FAILED)
