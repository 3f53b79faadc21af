"""`benchkit ablate`: vary one setting at a time, or cross several, and compare each variant with the base."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import cache_root, console, load_registry, print_json
from benchkit.cli.outcome import exit_with_failures, print_counts, print_dry_run
from benchkit.cli.unused_options import note_unused

if TYPE_CHECKING:
    from pathlib import Path

    from benchkit.search.ablation import AblationOutcome

Vary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS=v1,v2,…",
        help="What to vary, and its values. AXIS is corruptor, selector, inverter, detector, KIND.PARAMETER, or a "
        "setting of the grid such as source.size; repeatable. Put a value that has a ',' in brackets.",
    ),
]


def ablate(
    preset: options.Preset = "quick",
    vary: Vary = None,
    crossed: Annotated[
        bool, typer.Option("--crossed", help="Run all combinations of the values, not one axis at a time.")
    ] = False,
    dataset: options.DatasetName = None,
    model: options.ModelName = None,
    selector: options.Selectors = None,
    corruptor: options.Corruptors = None,
    detector: options.Detectors = None,
    inverter: options.Inverters = None,
    seeds: options.Seeds = None,
    setting: options.Settings = None,
    scale: options.Scale = None,
    out: options.Out = None,
    cache: options.Cache = None,
    store: options.Store = None,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = None,
    executor: options.ExecutorName = "auto",
    address: options.Address = None,
    retry_failed: options.RetryFailed = False,
    force: options.ReplaceReport = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Vary one setting of a comparison at a time, and compare each value with the base.

    All variants are computed in one plan, so what several of them need is computed once. Exit code 3: some cells
    failed.
    """
    from benchkit.functions.ablate import ablate as run_ablation
    from benchkit.functions.dry_run import DryRun
    from benchkit.search.ablation import AblationOutcome

    if len(vary or ()) < 2:
        note_unused({"crossed"}, "there is one axis; cross two or more --vary")
    asked = options.grid_arguments(dataset, model, seeds, selector, corruptor, detector, inverter, setting, scale)
    with redirect_stdout(sys.stderr):  # stdout is for results, not for what plugins print
        ended = run_ablation(
            preset,
            vary or [],
            crossed=crossed,
            **asked,
            out=out,
            cache=cache_root(cache),
            store=store,
            device=device,
            executor=options.parse_executor(executor, time_limit, address),
            plugins=load_registry(plugin, plugin_folder, strict),
            dry_run=dry_run,
            force=force,
            retry_failed=retry_failed,
        )
    if isinstance(ended, DryRun):
        print_dry_run(ended, as_json)
        return
    made = AblationOutcome(ended.outcome, ended.ablation)
    print_json(made.as_json()) if as_json else _print_outcome(made, out)
    exit_with_failures(ended.outcome)


def _print_outcome(ended: AblationOutcome, out: Path | None) -> None:
    """Print the differences to the base, where the files are, and how long the run took."""
    from benchkit.report.render_board import rich_notes, rich_table

    screen = console()
    sheet = ended.board.with_axis()
    screen.print(rich_table(sheet, screen.width))
    screen.print(rich_notes(sheet, screen.width))
    print_counts(ended.outcome)
    if out is None:
        print("--out DIR writes tables, the figure and a page")
    else:
        print(f"report: {out / 'index.html'}, {out / 'ablation.md'}")
