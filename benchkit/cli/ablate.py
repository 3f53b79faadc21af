"""`benchkit ablate`: vary one thing at a time, or cross the axes, and say what each changes against the base."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options, progress
from benchkit.cli.common import (
    AsJson,
    Cache,
    Device,
    PluginFiles,
    PluginFolders,
    RetryFailed,
    Store,
    Strict,
    cache_root,
    console,
    load_registry,
    print_json,
)
from benchkit.cli.compare import (
    asked_grid,
    check_together,
    checked_options,
    checks_of,
    exit_with_failures,
    preview_json,
    print_preview,
    run_options,
    watched,
)
from benchkit.cli.given import note_unused
from benchkit.cli.leftout import left_out_named, tolerant
from benchkit.system.fetching import nothing_fetched

if TYPE_CHECKING:
    from pathlib import Path

    from benchkit.config.grid import Grid
    from benchkit.planning.dry_run import Preview
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places, RunOptions
    from benchkit.search.ablation import Ablation, AblationOutcome

Vary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS=v1,v2,…",
        help="What to vary: corruptor, selector, inverter, detector, KIND.PARAMETER, or a grid's setting such as "
        "source.size; may be repeated. A value that holds a ',' stands in brackets.",
    ),
]


def ablate(
    preset: options.Preset = "quick",
    vary: Vary = None,
    crossed: Annotated[bool, typer.Option("--crossed", help="Every combination, not one axis at a time.")] = False,
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
    cache: Cache = None,
    store: Store = None,
    device: Device = "auto",
    time_limit: options.TimeLimit = None,
    executor: options.ExecutorName = "inline",
    address: options.Address = None,
    retry_failed: RetryFailed = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    plugin_folder: PluginFolders = None,
    strict: Strict = False,
) -> None:
    """Vary one axis of a comparison at a time, and score each value against the base.

    All variants are one plan: what several need is computed once. Exit code 3: some cells failed.
    """
    from benchkit.runs.run import check_out
    from benchkit.system.output_files import check_writable

    if len(vary or ()) < 2:
        note_unused({"crossed"}, "there is one axis; cross two or more --vary")
    runs = options.chosen_executor(executor, time_limit, address)
    single = {"dataset": dataset, "model": model, "seeds": seeds}
    lists = {"selectors": selector, "corruptors": corruptor, "detectors": detector, "inverters": inverter}
    places = _places(out, cache, store)
    with redirect_stdout(sys.stderr), nothing_fetched(dry_run):  # what plugins print is not the command's own
        registry = tolerant(load_registry(plugin, plugin_folder, strict))
        base = asked_grid(preset, single, lists, setting, scale, registry)
        prepared = partial(_planned, base, vary or [], registry, crossed, places)
        ended, look = None, None if out is None else partial(check_writable, out, probe=False)
        if dry_run:
            ablation = check_together(prepared, *checks_of(look, device))
            check_out(places, ablation.config, force)
            seen = _previewed(ablation, registry, places)
        else:
            how = checked_options(partial(run_options, device, runs, retry_failed, force), look, prepared)
            ablation = prepared()
            ended = _ran(ablation, registry, places, how)
    if ended is None:
        titled = ablation.base.replaced(title=str(ablation.config["title"]))
        if as_json:
            print_json(preview_json(titled, ablation.plan, seen))
        else:
            print_preview(titled, ablation.plan, seen, registry)
        return
    print_json(ended.as_json()) if as_json else _print_outcome(ended, out)
    with left_out_named(registry):
        exit_with_failures(ended.outcome)


def _places(out: Path | None, cache: str | None, store: str | None) -> Places:
    from benchkit.runs.run import Places

    return Places(out=out, cache=cache_root(cache), results=store)


def _planned(base: Grid, vary: list[str], registry: Registry, crossed: bool, places: Places) -> Ablation:
    """The base with its variants, after all checks."""
    from benchkit.runs.run import check_pending
    from benchkit.search.ablation import make_ablation
    from benchkit.search.variants import Axis

    ablation = make_ablation(base, [Axis.parse(text) for text in vary], registry, crossed)
    with progress.shown() as screen:
        check_pending(ablation.grids, ablation.plan, registry, places, screen.note)
    return ablation


def _ran(ablation: Ablation, registry: Registry, places: Places, how: RunOptions) -> AblationOutcome:
    from benchkit.search.ablation import run_ablation

    return watched(partial(run_ablation, ablation, registry, places), places, how)


def _previewed(ablation: Ablation, registry: Registry, places: Places) -> Preview:
    """What of the plan is there already; nothing is written."""
    from benchkit.planning.dry_run import preview
    from benchkit.runs.run import model_of
    from benchkit.store.opening import open_store

    store = open_store(places.cache, create=False)
    return preview(ablation.plan, registry, model_of(ablation.base), store)


def _print_outcome(ended: AblationOutcome, out: Path | None) -> None:
    """The differences, where the files lie, what it took."""
    from benchkit.report.tables import rich_notes, rich_table

    screen, outcome = console(), ended.outcome
    sheet = ended.board.with_axis()
    screen.print(rich_table(sheet, screen.width))
    screen.print(rich_notes(sheet, screen.width))
    counts = ", ".join(f"{number} {state}" for state, number in outcome.stages.items())
    print(f"\nrun {outcome.run}: {counts} stages in {outcome.seconds:.1f} s")
    print(
        "files: --out DIR writes tables, the figure and the page"
        if out is None
        else f"report: {out / 'index.html'}, {out / 'ablation.md'}"
    )
