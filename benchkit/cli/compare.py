"""`benchkit compare`: run a comparison, or print what it would do."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

from benchkit.cli import options, progress
from benchkit.cli.common import cache_root, load_registry, print_json
from benchkit.cli.dry_run import LargestPreview, preview_plan, print_dry_run
from benchkit.cli.grid_options import GridOptions, note_unused_inverter
from benchkit.cli.outcome import exit_with_failures, outcome_json, print_outcome
from benchkit.cli.preflight import check_out_folder, check_then_make, make_run_options, option_checks, plan_and_check
from benchkit.system.fetching import forbid_downloads

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places


def compare(
    preset: options.Preset = "quick",
    dataset: options.DatasetName = None,
    model: options.ModelName = None,
    selector: options.Selectors = None,
    corruptor: options.Corruptors = None,
    detector: options.Detectors = None,
    inverter: options.Inverters = None,
    seeds: options.Seeds = None,
    until_resolved: options.UntilResolved = None,
    max_seeds: options.MaxSeeds = None,
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
    """Train detectors on images made by each combination of corruptor and selector, then score and rank them.

    Finished work is kept in the cache and never computed again. Exit code 3: some cells failed; the board shows the
    others.
    """
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.runs import run

    stages_run_in = options.parse_executor(executor, time_limit, address)
    lists = (selector, corruptor, detector, inverter)
    asked = GridOptions(dataset, model, seeds, *lists, setting, scale, until_resolved, max_seeds)
    places = run.Places(out=out, cache=cache_root(cache), results=store)
    with redirect_stdout(sys.stderr), forbid_downloads(dry_run):  # stdout is for results, not for what plugins print
        registry = TolerantRegistry(load_registry(plugin, plugin_folder, strict))
        grid = asked.load(preset, registry)
        note_unused_inverter(grid, registry)
        check_out = None if out is None else partial(check_out_folder, grid, registry, places, force)
        if dry_run:
            plan, *previews = plan_and_check(
                partial(_plan, grid, registry, places, device), *option_checks(check_out, device)
            )
        else:
            make = partial(make_run_options, device, stages_run_in, retry_failed, force)
            how = check_then_make(make, check_out, partial(run.prepare, grid, registry, places))
            outcome = progress.run_with_progress(partial(run.compare, grid, registry, places), places, how)
    if dry_run:
        print_dry_run(grid, plan, *previews, registry=registry, as_json=as_json)
        return
    print_json(outcome_json(outcome)) if as_json else print_outcome(outcome, out)
    exit_with_failures(outcome, registry)


def _plan(grid: Grid, registry: Registry, places: Places, device: str) -> tuple[Any, ...]:
    """Return the plan and its preview; with `--until-resolved` those of the first look, and the largest preview."""
    from benchkit.planning.looks import find_rule, take_seeds
    from benchkit.runs.run import prepare

    with progress.shown() as screen:
        plan = prepare(grid, registry, places, screen.note, device)
    preview = preview_plan(plan, grid, registry, places)
    if (rule := find_rule(grid, registry)) is None:
        return plan, preview
    first = take_seeds(plan, rule, {})
    return first, preview_plan(first, grid, registry, places), LargestPreview(rule, preview)
