"""`benchkit tune`: search a corruptor's parameters on validation data, within a stated budget."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchkit.cli import options, progress
from benchkit.cli.common import (
    AsJson,
    Cache,
    Device,
    PluginFiles,
    PluginFolders,
    Strict,
    cache_root,
    load_registry,
    log_file,
    print_json,
    tell,
)
from benchkit.cli.compare import asked_grid, check_together, checks_of
from benchkit.cli.leftout import SOME_CELLS_FAILED
from benchkit.errors import BenchkitError, shortened
from benchkit.system.fetching import nothing_fetched

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.executors.batch import Executor
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places
    from benchkit.search.search_space import Space
    from benchkit.search.tuning import Search, Tuner
    from benchkit.specs.spec import Spec

Spaces = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=LOW..HIGH|A|B",
        help="What to search instead of every declared parameter: KEY=LOW..HIGH, or KEY=A|B|C; may be repeated.",
    ),
]
Further = Annotated[
    list[str] | None,
    typer.Option("--corruptor", metavar="NAME[:k=v,…]", help="A further corruptor, with the same budget; repeatable."),
]
Kept = Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the trials here; resumes what is there.")]
Again = Annotated[
    bool, typer.Option("--retry-failed", help="First score again, each in its place, the trials in --out that failed.")
]
OnlySay = Annotated[bool, typer.Option("--dry-run", help="Only say what would be searched, and its budget.")]
First = Annotated[str, typer.Argument(metavar="CORRUPTOR", help="NAME[:k=v,…]; what it sets is not searched.")]


def tune(
    first: First,
    preset: options.Preset = "quick",
    trials: Annotated[int, typer.Option(metavar="N", help="Trials of each corruptor, failed ones included.")] = 20,
    space: Spaces = None,
    corruptor: Further = None,
    sampler_seed: Annotated[int, typer.Option(metavar="N", help="Seed of the sampler (TPE).")] = 0,
    dataset: options.DatasetName = None,
    model: options.ModelName = None,
    selector: options.Selectors = None,
    detector: options.Detectors = None,
    inverter: options.Inverters = None,
    seeds: options.Seeds = None,
    setting: options.Settings = None,
    scale: options.Scale = None,
    out: Kept = None,
    cache: Cache = None,
    device: Device = "auto",
    time_limit: options.TimeLimit = None,
    executor: options.ExecutorName = "inline",
    address: options.Address = None,
    retry_failed: Again = False,
    dry_run: OnlySay = False,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    plugin_folder: PluginFolders = None,
    strict: Strict = False,
) -> None:
    """Search a corruptor's parameters on validation data; the test split is never read.

    The same command again resumes: finished trials are not repeated. Exit code 3: some trials failed.
    """
    from benchkit.search.tuning import STORAGE
    from benchkit.system.output_files import check_folder

    runs = options.chosen_executor(executor, time_limit, address)
    options.check_one_each("corruptors", [first, *(corruptor or ())])
    _check_settings(setting or ())
    single = {"dataset": dataset, "model": model, "seeds": seeds}
    base = asked_grid(
        preset, single, {"selectors": selector, "detectors": detector, "inverters": inverter}, setting, scale
    )
    tuner, places = _tuner(trials, sampler_seed, out, retry_failed), _places(out, cache)
    look = None if out is None else partial(check_folder, out, True, STORAGE, "the trials of a search")
    with redirect_stdout(sys.stderr), nothing_fetched(dry_run):  # what plugins print is not the command's own
        registry = load_registry(plugin, plugin_folder, strict)
        wanted = partial(_spaces, [first, *(corruptor or ())], space or [], base, registry)
        spaces = check_together(wanted, *checks_of(look, device))
        found = [] if dry_run else _searched(spaces, base, registry, places, tuner, device, runs)
    _print(found, spaces, base, tuner, as_json)
    _exit_with_failures(found)


def _check_settings(settings: Sequence[str]) -> None:
    """Raise BenchkitError for a --set of what a trial's grid replaces."""
    from benchkit.search.tuning import REPLACED

    for text in settings:
        field = re.split(r"[.=]", text, maxsplit=1)[0].strip()
        if field in REPLACED:
            raise BenchkitError(
                f"--set {shortened(text)}: not used here: a trial has one corruptor's row, scored on validation images"
            )


def _places(out: Path | None, cache: str | None) -> Places:
    from benchkit.runs.run import Places

    return Places(out=out, cache=cache_root(cache))


def _tuner(trials: int, seed: int, out: Path | None, retry_failed: bool) -> Tuner:
    from benchkit.search.tuning import Tuner

    if trials < 1:
        raise BenchkitError(f"--trials {trials}: give 1 or more")
    if not 0 <= seed < 2**31:
        raise BenchkitError(f"--sampler-seed {seed}: give 0 or more")
    if retry_failed and out is None:
        raise BenchkitError("--retry-failed: name the folder of the trials that failed with --out")
    return Tuner(trials, seed, out, retry_failed)


def _spaces(texts: list[str], given: list[str], base: Grid, registry: Registry) -> dict[Spec, Space]:
    """What is searched of each corruptor; every mistake is found here, before anything is computed or written."""
    from benchkit.search.search_space import check_keys, corners, parse_space, space_of
    from benchkit.search.tuning import check_search, tuning_plan
    from benchkit.specs.faults import Collector
    from benchkit.specs.spec import Spec

    given_specs = [Spec.parse("corruptor", text) for text in texts]
    specs = list(dict.fromkeys(given_specs))
    for spec in specs:
        if given_specs.count(spec) > 1:
            tell(f"note: corruptor '{spec}' is given twice: it is searched once")
    for spec in specs:
        registry.entry(spec.kind, spec.name)
    asked = parse_space(given)
    check_keys(asked, specs, registry)
    spaces: dict[Spec, Space] = {}
    faults = Collector()
    for spec in specs:
        with faults.collecting():
            spaces[spec] = space_of(spec, asked, registry, base.num_inference_steps)
    ends = [corner for spec, space in spaces.items() for corner in corners(spec, space)]
    with progress.shown() as screen, faults.collecting():
        check_search(base, ends, registry, screen.note)
    faults.check()
    for corner in ends:
        tuning_plan(base, corner, registry)
    return spaces


def _searched(
    spaces: dict[Spec, Space],
    base: Grid,
    registry: Registry,
    places: Places,
    tuner: Tuner,
    device: str,
    executor: Executor,
) -> list[Search]:
    """Every corruptor's search, its trials kept in --out as far as it came."""
    from benchkit.executors.choose import keep_workers
    from benchkit.inference.functional import resolve_device
    from benchkit.search.tuning import Scorer, as_json, budget, search_config, write_trials
    from benchkit.stages.base import Env
    from benchkit.system.output_files import check_writable

    chosen_device = resolve_device(device, several=True)
    executor.check()
    store = places.artifacts()
    if places.out is not None:
        check_writable(places.out)
    found: list[Search] = []
    with ExitStack() as stack:
        screen = stack.enter_context(progress.shown())
        tuner.told = screen.note
        screen.start(tuner.trials * len(spaces))
        env = Env(registry, store, chosen_device, screen.note)
        scorer = Scorer(base, registry, env, stack.enter_context(keep_workers(executor, env)))
        for spec, space in spaces.items():  # before the first of them takes its hours
            tuner.study(spec, space, search_config(base, spec, registry))
        for spec, space in spaces.items():

            def scored(tried: Spec) -> float:
                try:
                    return scorer(tried)
                finally:
                    screen.advance()

            found.append(tuner.search(spec, space, scored, search_config(base, spec, registry)))
            if places.out is not None:
                write_trials(found, as_json(found, budget(base, tuner.trials), base, tuner.seed), places.out)
    return found


def _print(found: list[Search], spaces: dict[Spec, Space], base: Grid, tuner: Tuner, machine_readable: bool) -> None:
    from benchkit.search.tuning import as_json, budget

    trials, spent = tuner.trials, budget(base, tuner.trials)
    if machine_readable:
        plain: dict[str, Any] = as_json(found, spent, base, tuner.seed)
        searched = {str(spec): {key: str(part) for key, part in space.items()} for spec, space in spaces.items()}
        print_json(plain if found else {**plain, "spaces": searched})
        return
    print(
        f"budget of each corruptor: {trials} trials x {spent['trainings_per_trial']} trainings x "
        f"{spent['training_iterations']} iterations, {spent['sources']} sources"
    )
    assert base.validation is not None
    print(f"scored on: split '{base.validation.split}', {base.validation.size} images; the test split is not read")
    for spec, space in spaces.items():
        print(f"searched of {spec}: {', '.join(f'{key}={part}' for key, part in space.items())}")
    for search in found:
        done = f"{len(search.trials)} trials, {search.resumed} of them from before"
        if search.best is None:
            print(f"{search.corruptor}: {done}: every one failed")
        else:
            value = 100 * (search.best.value or 0.0)
            print(f"{search.corruptor}: {done}; best artifact IoU {value:.2f} % on validation data")
            print(f"--corruptor {shlex.quote(str(search.best.spec))}")


def _exit_with_failures(found: list[Search]) -> None:
    failed = [(search, trial) for search in found for trial in search.trials if trial.value is None]
    for _, trial in failed:
        tell(f"failed: trial {trial.number} ({trial.spec}): {trial.reason}")
    if failed:
        tell(f"some trials failed; tracebacks are in {log_file()}")
        if any(trial.number < search.resumed for search, trial in failed):
            tell("what had failed before was not tried again: --retry-failed does that")
        raise typer.Exit(SOME_CELLS_FAILED)
