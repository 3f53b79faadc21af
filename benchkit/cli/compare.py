"""`benchkit compare`: run a comparison, or print what it would do."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from benchkit.cli import options
from benchkit.cli.common import cache_root, load_registry, print_json
from benchkit.cli.outcome import exit_with_failures, outcome_json, print_dry_run, print_outcome


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
    calibrate: options.Calibrate = False,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Train detectors on images made by each combination of corruptor and selector, then score and rank them.

    Finished work is kept in the cache and never computed again. Exit code 3: some cells failed; the board shows the
    others.
    """
    from benchkit.functions.compare import compare as run_comparison
    from benchkit.functions.dry_run import DryRun

    asked = options.grid_arguments(dataset, model, seeds, selector, corruptor, detector, inverter, setting, scale)
    with redirect_stdout(sys.stderr):  # stdout is for results, not for what plugins print
        ended = run_comparison(
            preset,
            **asked,
            until_resolved=until_resolved,
            max_seeds=max_seeds,
            out=out,
            cache=cache_root(cache),
            store=store,
            device=device,
            executor=options.parse_executor(executor, time_limit, address),
            plugins=load_registry(plugin, plugin_folder, strict),
            dry_run=dry_run,
            calibrate=calibrate,
            force=force,
            retry_failed=retry_failed,
        )
    if isinstance(ended, DryRun):
        print_dry_run(ended, as_json)
        return
    print_json(outcome_json(ended.outcome)) if as_json else print_outcome(ended.outcome, out)
    exit_with_failures(ended.outcome)
