"""`benchkit ablate`: vary one setting at a time, or cross several, and compare each variant with the base."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options, progress
from benchkit.cli.common import cache_root, console, load_registry, print_json
from benchkit.cli.dry_run import preview_plan, print_dry_run
from benchkit.cli.grid_options import GridOptions
from benchkit.cli.outcome import exit_with_failures, print_counts
from benchkit.cli.preflight import check_then_make, make_run_options, option_checks, plan_and_check
from benchkit.cli.unused_options import note_unused
from benchkit.system.fetching import forbid_downloads

if TYPE_CHECKING:
    from pathlib import Path

    from benchkit.config.grid import Grid
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places
    from benchkit.search.ablation import Ablation, AblationOutcome

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
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.runs.run import Places, check_out
    from benchkit.search.ablation import run_ablation
    from benchkit.system.output_files import check_writable

    if len(vary or ()) < 2:
        note_unused({"crossed"}, "there is one axis; cross two or more --vary")
    stages_run_in = options.parse_executor(executor, time_limit, address)
    asked = GridOptions(dataset, model, seeds, selector, corruptor, detector, inverter, setting, scale)
    places = Places(out=out, cache=cache_root(cache), results=store)
    with redirect_stdout(sys.stderr), forbid_downloads(dry_run):  # stdout is for results, not for what plugins print
        registry = TolerantRegistry(load_registry(plugin, plugin_folder, strict))
        base = asked.load(preset, registry)
        plan = partial(_plan, base, vary or [], registry, crossed, places, device)
        check_folder = None if out is None else partial(check_writable, out, probe=False)
        if dry_run:
            ablation = plan_and_check(plan, *option_checks(check_folder, device))
            check_out(places, ablation.config, force)
            preview = preview_plan(ablation.plan, ablation.base, registry, places)
        else:
            make = partial(make_run_options, device, stages_run_in, retry_failed, force)
            how = check_then_make(make, check_folder, plan)
            ablation = plan()
            ended = progress.run_with_progress(partial(run_ablation, ablation, registry, places), places, how)
    if dry_run:
        titled = ablation.base.replaced(title=str(ablation.config["title"]))
        print_dry_run(titled, ablation.plan, preview, registry=registry, as_json=as_json)
        return
    print_json(ended.as_json()) if as_json else _print_outcome(ended, out)
    exit_with_failures(ended.outcome, registry)


def _plan(base: Grid, vary: list[str], registry: Registry, crossed: bool, places: Places, device: str) -> Ablation:
    """Return the base with its variants, after all checks."""
    from benchkit.runs.run import check_pending
    from benchkit.search.ablation import make_ablation
    from benchkit.search.variants import Axis

    ablation = make_ablation(base, [Axis.parse(text) for text in vary], registry, crossed)
    with progress.shown() as screen:
        check_pending(ablation.grids, ablation.plan, registry, places, screen.note, device)
    return ablation


def _print_outcome(ended: AblationOutcome, out: Path | None) -> None:
    """Print the differences to the base, where the files are, and how long the run took."""
    from benchkit.report.tables import rich_notes, rich_table

    screen = console()
    sheet = ended.board.with_axis()
    screen.print(rich_table(sheet, screen.width))
    screen.print(rich_notes(sheet, screen.width))
    print_counts(ended.outcome)
    if out is None:
        print("--out DIR writes tables, the figure and a page")
    else:
        print(f"report: {out / 'index.html'}, {out / 'ablation.md'}")
