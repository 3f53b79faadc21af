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
from benchkit.cli.common import cache_root, load_registry, log_file, print_json, tell
from benchkit.cli.grid_options import GridOptions
from benchkit.cli.outcome import SOME_CELLS_FAILED
from benchkit.cli.preflight import option_checks, plan_and_check
from benchkit.errors import BenchkitError, shortened
from benchkit.system.fetching import forbid_downloads

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.executors.batch import Executor
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places
    from benchkit.search.search_space import Space
    from benchkit.search.trials import Search
    from benchkit.search.tuning import Tuner
    from benchkit.specs.spec import Spec

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
    from benchkit.runs.run import Places
    from benchkit.search.tuning import STORAGE, budget
    from benchkit.system.output_files import check_folder

    stages_run_in = options.parse_executor(executor, time_limit, address)
    corruptors = [first, *(corruptor or ())]
    options.check_single_plugins("corruptors", corruptors)
    _check_settings(setting or ())
    asked = GridOptions(dataset, model, seeds, selector, None, detector, inverter, setting, scale)
    base = asked.load(preset)
    tuner, places = _make_tuner(trials, sampler_seed, out, retry_failed), Places(out=out, cache=cache_root(cache))
    check_out = None if out is None else partial(check_folder, out, True, STORAGE, "the trials of a search")
    with redirect_stdout(sys.stderr), forbid_downloads(dry_run):  # stdout is for results, not for what plugins print
        registry = load_registry(plugin, plugin_folder, strict)
        make = partial(_make_spaces, corruptors, space or [], base, registry, device)
        spaces = plan_and_check(make, *option_checks(check_out, device))
        searches = [] if dry_run else _search(spaces, base, registry, places, tuner, device, stages_run_in)
        spent = budget(base, tuner.trials, registry)
    _print(searches, spaces, base, tuner, spent, as_json)
    _exit_with_failures(searches)


def _check_settings(settings: Sequence[str]) -> None:
    """Raise BenchkitError for a --set of a field that every trial replaces."""
    from benchkit.search.tuning import REPLACED

    for text in settings:
        field = re.split(r"[.=]", text, maxsplit=1)[0].strip()
        if field in REPLACED:
            raise BenchkitError(
                f"--set {shortened(text)}: not used here: a trial has one corruptor and validation images"
            )


def _make_tuner(trials: int, seed: int, out: Path | None, retry_failed: bool) -> Tuner:
    from benchkit.search.tuning import Tuner

    if trials < 1:
        raise BenchkitError(f"--trials {trials}: give 1 or more")
    if not 0 <= seed < 2**31:
        raise BenchkitError(f"--sampler-seed {seed}: give 0 or more")
    if retry_failed and out is None:
        raise BenchkitError("--retry-failed: also give --out, the folder of the failed trials")
    return Tuner(trials, seed, out, retry_failed)


def _make_spaces(texts: list[str], given: list[str], base: Grid, registry: Registry, device: str) -> dict[Spec, Space]:
    """Return the search space of each corruptor; find every fault before anything is computed or written."""
    from benchkit.runs.run import check_precisions
    from benchkit.search.search_space import check_keys, corners, make_space, parse_space
    from benchkit.search.tuning import check_search, make_trial_plan
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
            spaces[spec] = make_space(spec, asked, registry, base.num_inference_steps)
    ends = [corner for spec, space in spaces.items() for corner in corners(spec, space)]
    with progress.shown() as screen, faults.collecting():
        check_search(base, ends, registry, screen.note)
    with faults.collecting():
        check_precisions([("", base)], registry, device)
    faults.check()
    for corner in ends:
        make_trial_plan(base, corner, registry)
    return spaces


def _search(
    spaces: dict[Spec, Space],
    base: Grid,
    registry: Registry,
    places: Places,
    tuner: Tuner,
    device: str,
    executor: Executor,
) -> list[Search]:
    """Search each corruptor and return the searches; write the trials to --out as they end."""
    from benchkit.executors.choose import keep_workers
    from benchkit.search.trials import as_json, write_trials
    from benchkit.search.tuning import Scorer, budget, describe_search
    from benchkit.stages.base import Env
    from benchkit.system.devices import resolve_device
    from benchkit.system.output_files import check_writable

    chosen_device = resolve_device(device, several=True)
    executor.check()
    store = places.artifacts()
    if places.out is not None:
        check_writable(places.out)
    searches: list[Search] = []
    with ExitStack() as stack:
        screen = stack.enter_context(progress.shown())
        tuner.report = screen.note
        screen.start(tuner.trials * len(spaces))
        env = Env(registry, store, chosen_device, screen.note)
        scorer = Scorer(base, registry, env, stack.enter_context(keep_workers(executor, env)))
        for spec, space in spaces.items():  # open every study before the first search, which may take hours
            tuner.study(spec, space, describe_search(base, spec, registry))
        for spec, space in spaces.items():

            def scored(tried: Spec) -> float:
                try:
                    return scorer(tried)
                finally:
                    screen.advance()

            searches.append(tuner.search(spec, space, scored, describe_search(base, spec, registry)))
            if places.out is not None:
                spent = budget(base, tuner.trials, registry)
                write_trials(searches, as_json(searches, spent, base, tuner.seed), places.out)
    return searches


def _print(
    searches: list[Search],
    spaces: dict[Spec, Space],
    base: Grid,
    tuner: Tuner,
    spent: dict[str, int | None],
    as_plain: bool,
) -> None:
    from benchkit.search.trials import as_json

    if as_plain:
        plain: dict[str, Any] = as_json(searches, spent, base, tuner.seed)
        searched = {str(spec): {key: str(part) for key, part in space.items()} for spec, space in spaces.items()}
        print_json(plain if searches else {**plain, "spaces": searched})
        return
    each, total = spent["training_iterations"], spent["total_training_iterations"]
    iterations = f" x {each} iterations" if each is not None else f", {total} iterations in total"
    print(
        f"budget of each corruptor: {tuner.trials} trials x {spent['trainings_per_trial']} trainings{iterations}, "
        f"{spent['sources']} sources"
    )
    assert base.validation is not None
    print(f"scored on: split '{base.validation.split}', {base.validation.size} images; the test split is not read")
    for spec, space in spaces.items():
        print(f"search space of {spec}: {', '.join(f'{key}={part}' for key, part in space.items())}")
    for search in searches:
        done = f"{len(search.trials)} trials, {search.resumed} of them from an earlier call"
        if search.best is None:
            print(f"{search.corruptor}: {done}: all failed")
        else:
            value = 100 * (search.best.value or 0.0)
            print(f"{search.corruptor}: {done}; best artifact IoU {value:.2f} % on validation data")
            print(f"--corruptor {shlex.quote(str(search.best.spec))}")


def _exit_with_failures(searches: list[Search]) -> None:
    failed = [(search, trial) for search in searches for trial in search.trials if trial.value is None]
    for _, trial in failed:
        tell(f"failed: trial {trial.number} ({trial.spec}): {trial.reason}")
    if failed:
        tell(f"some trials failed; tracebacks are in {log_file()}")
        if any(trial.number < search.resumed for search, trial in failed):
            tell("trials that failed earlier were not retried; add --retry-failed to retry them")
        raise typer.Exit(SOME_CELLS_FAILED)
