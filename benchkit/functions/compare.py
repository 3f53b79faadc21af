"""Run a comparison, from Python and for `benchkit compare`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, overload

from benchkit.errors import ArgumentValueError
from benchkit.functions.arguments import check_flags
from benchkit.functions.grid_arguments import GridArguments, Plugins, Settings, note_unused_inverter
from benchkit.functions.plugin_arguments import PluginSources
from benchkit.functions.progress import Progressing, run_with_progress, shown
from benchkit.functions.session import Session, check_out_folder, plan_and_check
from benchkit.system.fetching import forbid_downloads

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.executors.batch import Executor
    from benchkit.functions.comparison import Comparison
    from benchkit.functions.dry_run import DryRun
    from benchkit.functions.plugin_arguments import DatasetLike
    from benchkit.inference.models import ModelLike
    from benchkit.planning.plan import Plan
    from benchkit.runs.run import RunOptions
    from benchkit.store.location import Location


class RunArguments(TypedDict, total=False):
    """The arguments that `compare` and `ablate` share, for type checkers; `compare` explains them."""

    corruptors: Plugins
    selectors: Plugins
    detectors: Plugins
    inverters: Plugins
    dataset: DatasetLike | None
    model: ModelLike | None
    seeds: Iterable[int] | None
    settings: Settings | None
    scale: float | None
    out: str | Path | None
    cache: str | Path | Location | None
    store: str | None
    device: str
    executor: str | Executor
    time_limit: float | None
    plugins: PluginSources
    strict: bool
    force: bool
    retry_failed: bool
    progress: Progressing


class CompareArguments(RunArguments, total=False):
    """The arguments of `compare` alone."""

    until_resolved: float | None
    max_seeds: int | None
    calibrate: bool


@overload
def compare(
    grid: str | Path | Grid = ..., *, dry_run: Literal[True], **arguments: Unpack[CompareArguments]
) -> DryRun: ...


@overload
def compare(
    grid: str | Path | Grid = ..., *, dry_run: Literal[False] = ..., **arguments: Unpack[CompareArguments]
) -> Comparison: ...


@overload
def compare(
    grid: str | Path | Grid = ..., *, dry_run: bool, **arguments: Unpack[CompareArguments]
) -> Comparison | DryRun: ...


def compare(
    grid: str | Path | Grid = "quick",
    *,
    corruptors: Plugins = None,
    selectors: Plugins = None,
    detectors: Plugins = None,
    inverters: Plugins = None,
    dataset: DatasetLike | None = None,
    model: ModelLike | None = None,
    seeds: Iterable[int] | None = None,
    until_resolved: float | None = None,
    max_seeds: int | None = None,
    settings: Settings | None = None,
    scale: float | None = None,
    out: str | Path | None = None,
    cache: str | Path | Location | None = None,
    store: str | None = None,
    device: str = "auto",
    executor: str | Executor = "inline",
    time_limit: float | None = None,
    plugins: PluginSources = (),
    strict: bool = False,
    dry_run: bool = False,
    calibrate: bool = False,
    force: bool = False,
    retry_failed: bool = False,
    progress: Progressing = True,
) -> Comparison | DryRun:
    """Train detectors on images made by each combination of corruptor and selector, then score and rank them.

    Finished work is kept in the cache and never computed again. If a stage fails, only its own cells fail.

    grid: a preset's name, a YAML file or a Grid; the arguments below change it.
    corruptors, selectors, detectors, inverters: lists that replace the grid's. An entry is text `NAME:key=value`
    (`key=a|b` makes two entries), a Spec, a class (meaning its defaults) or an instance. A class of a notebook needs no
    file. Its source identifies it, so an edited cell is computed again, and an equal one is not.
    dataset: one plugin in the same forms, or what `load_dataset` returned; it brings the settings that the preset
    changes for this dataset.
    model: the diffusion checkpoint: its name, its folder, or what `load_model` returned. Its content identifies it. A
    loaded one brings its precision, and must have as many inference steps as the comparison; processes of an executor
    load it again from its files.
    seeds: of selection, noise and training, such as `range(5)`.
    until_resolved, max_seeds: add seeds to rows until each pair is resolved to so many points of artifact IoU.
    settings: settings of the grid by their keys, such as `{"source.size": 64}` (docs/reference/grid-keys.md).
    scale: multiplies all numbers of images and iterations, in (0, 1].
    out: folder for rows, tables and a web page; None writes none.
    cache: folder or URL of finished stages and rows; None is $BENCHKIT_CACHE, or else the user's cache folder.
    store: database of runs and rows; None is a file in the cache.
    device: auto, cpu, cuda, cuda:N or mps; `cuda:0,1` trains on both.
    executor: where stages run: inline (this process), auto, `processes:workers=N`, or `ray:address=…`.
    time_limit: seconds that a stage may take.
    plugins: files of further plugins, folders of such files, classes; or a Registry.
    strict: raise for a plugin that cannot be used, instead of skipping its rows.
    dry_run: compute nothing, and return what would run as a DryRun.
    calibrate: before a dry run, measure for about 20 seconds what stages cost that no run on this machine has measured;
    the estimate of time needs it, and the cache keeps it.
    force: replace another run's report in `out`.
    retry_failed: try again what failed in an earlier call with the same `out`.
    progress: True for a bar, False for silence, or a function that takes a line of text.

    Raises BenchkitError with every fault that can be known before work; nothing is written then. ArgumentTypeError
    and ArgumentValueError name the argument.

    Example:
        >>> import benchkit
        >>> benchkit.compare("quick", corruptors=["gaussian:steps=5"], seeds=range(2), dry_run=True)
        <DryRun of 'Quick tour of the paper's methods': 18 cells, ... stages to run, ... cached>
    """
    check_flags(dry_run=dry_run, calibrate=calibrate)
    if calibrate and not dry_run:
        raise ArgumentValueError("calibrate: a run measures its own stages; calibration is for a dry run (dry_run)")
    arguments = GridArguments(
        dataset, model, seeds, selectors, corruptors, detectors, inverters, settings, scale, until_resolved, max_seeds
    )
    where = (out, cache, store, device, executor, time_limit)
    with forbid_downloads(dry_run):
        session = Session.make(plugins, strict, *where, progress, retry_failed, force, model)
        asked = arguments.load(grid, session.registry)
        note_unused_inverter(arguments, asked, session.registry)
        grid = session.settle_sampling(asked, measure=False, silent=not dry_run)
        check_out = None if out is None else partial(check_out_folder, grid, session)
        if dry_run:
            return plan_and_check(partial(_dry_run, grid, session, calibrate), *session.checks(check_out))
        how = session.check_then_make(check_out, partial(_prepare, grid, session))
        return _run(session.settle_sampling(asked, measure=True), session, how)


def _prepare(grid: Grid, session: Session) -> Plan:
    from benchkit.runs.run import prepare

    return prepare(grid, session.registry, session.locations)


def _run(grid: Grid, session: Session, how: RunOptions) -> Comparison:
    from benchkit.functions.comparison import Comparison
    from benchkit.runs import run

    registry, locations = session.registry, session.locations
    outcome = run_with_progress(partial(run.compare, grid, registry, locations), locations, how, session.progress)
    return Comparison(replace(outcome, skipped_plugins=session.list_skipped()), locations, registry)


def _dry_run(grid: Grid, session: Session, calibrate: bool) -> DryRun:
    """Return the plan's dry run; with `until_resolved` that of the first look, and of the largest plan."""
    from benchkit.functions.dry_run import LargestPreview, count_with_own_selections, make_dry_run, preview_plan
    from benchkit.planning.look_plan import find_look_rule, take_seeds
    from benchkit.runs.run import prepare

    registry, locations = session.registry, session.locations
    with shown(session.progress) as screen:
        plan = prepare(grid, registry, locations, screen.note, session.device)
    if calibrate:
        session.calibrate(plan)
    preview = preview_plan(plan, grid, session)
    if (rule := find_look_rule(grid, registry)) is None:
        own = count_with_own_selections(grid, registry)
        return replace(make_dry_run(grid.title, grid, plan, registry, preview), own_selection=own)
    first = take_seeds(plan, rule, {})
    largest = LargestPreview(rule, preview)
    return make_dry_run(grid.title, grid, first, registry, preview_plan(first, grid, session), largest)
