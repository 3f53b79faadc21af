"""`benchkit compare`: run a comparison, or say what it would do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
    log_file,
    print_json,
    tell,
)
from benchkit.cli.given import note_unused
from benchkit.cli.leftout import SOME_CELLS_FAILED, left_out_named, tolerant
from benchkit.errors import BenchkitError, OutputTaken
from benchkit.system.fetching import nothing_fetched

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchkit.config.grid import Grid
    from benchkit.executors.batch import Done, Executor
    from benchkit.planning.dry_run import Preview
    from benchkit.planning.planner import Plan, PlannedCell
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Outcome, Places, RunOptions
    from benchkit.specs.spec import Spec
    from benchkit.stages.base import Env, Stage

T = TypeVar("T")


def compare(
    preset: options.Preset = "quick",
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
    """Cross corruptors, selectors and detectors; train, score and rank them.

    Whatever is finished is kept, and never computed again. Exit code 3: some cells failed, the others are on the board.
    """
    from benchkit.runs import run

    lists = {"selectors": selector, "corruptors": corruptor, "detectors": detector, "inverters": inverter}
    runs = options.chosen_executor(executor, time_limit, address)
    single = {"dataset": dataset, "model": model, "seeds": seeds}
    places = run.Places(out=out, cache=cache_root(cache), results=store)
    with redirect_stdout(sys.stderr), nothing_fetched(dry_run):  # what plugins print is not the command's own
        registry = tolerant(load_registry(plugin, plugin_folder, strict))
        grid = asked_grid(preset, single, lists, setting, scale, registry)
        note_inverter(grid, registry)
        look = None if out is None else partial(_look_at_out, grid, registry, places, force)
        if dry_run:
            plan, seen = check_together(partial(previewed, grid, registry, places), *checks_of(look, device))
        else:
            prepared = partial(run.prepare, grid, registry, places)
            how = checked_options(partial(run_options, device, runs, retry_failed, force), look, prepared)
            outcome = watched(partial(run.compare, grid, registry, places), places, how)
    if dry_run:
        print_json(preview_json(grid, plan, seen)) if as_json else print_preview(grid, plan, seen, registry)
        return
    print_json(outcome_json(outcome)) if as_json else print_outcome(outcome, out)
    with left_out_named(registry):
        exit_with_failures(outcome)


def note_inverter(grid: Grid, registry: Registry) -> None:
    """Say that --inverter changes nothing where no corruptor of the grid works on inverted latents."""
    from benchkit.api import PixelCorruptor
    from benchkit.specs.spec import Spec

    names = [Spec.parse("corruptor", text).name for text in (*grid.corruptors, *grid.with_human)]
    known = [registry.entry("corruptor", name).cls for name in names if registry.has("corruptor", name)]
    if len(known) == len(names) and all(issubclass(cls, PixelCorruptor) for cls in known):
        note_unused({"inverter"}, "no corruptor of this comparison works on latents")


def exit_with_failures(outcome: Outcome) -> None:
    """Name what failed, each reason once, and end with exit code 3; nothing where nothing did."""
    for reason in dict.fromkeys(outcome.failures):
        tell(f"failed: {reason}")
    for reason in dict.fromkeys(outcome.earlier):
        tell(f"failed in an earlier attempt: {reason}")
    if outcome.failures:
        tell(f"some cells failed; tracebacks are in {outcome.log or log_file()}")
    if outcome.earlier:
        tell("cells that had failed were not tried again: --retry-failed does that")
    if outcome.failures or outcome.earlier:
        raise typer.Exit(SOME_CELLS_FAILED)


def asked_grid(
    preset: str,
    single: dict[str, str | None],
    lists: dict[str, list[str] | None],
    settings: Sequence[str] | None,
    scale: float | None,
    registry: Registry | None = None,
) -> Grid:
    """The grid that a preset or file and the options mean; registry: the plugins, see `chosen`."""
    from benchkit.config.grid import load_grid

    fields = {name for name, value in (*single.items(), *lists.items()) if value}
    options.check_settings(fields, settings or ())
    return adapted(chosen(load_grid(preset), single, lists, registry), settings, scale)


def chosen(
    grid: Grid, single: dict[str, str | None], lists: dict[str, list[str] | None], registry: Registry | None = None
) -> Grid:
    """The grid with what the command line says in the place of the preset's.

    Where it names corruptors, rows `human+CORRUPTOR` stay for those that are still compared; with a registry,
    `x` and `x:k=default` are one. A dataset comes with what the preset
    replaces on it; the other options replace that in turn.
    """
    from benchkit.config.overrides import on_dataset

    for field, texts in lists.items():
        options.check_one_each(field, texts or ())
    if single.get("dataset") is not None:
        grid = on_dataset(grid, str(single["dataset"]))
        single = {**single, "dataset": None}
    changes: dict[str, Any] = {name: value for name, value in single.items() if value is not None}
    changes |= {name: texts for name, texts in lists.items() if texts}
    if len(changes.get("inverters", ())) == 1:  # one, or a sweep
        changes |= {"inverter": changes["inverters"][0], "inverters": []}
    if "seeds" in changes:
        changes["seeds"] = options.parse_numbers("--seeds", changes["seeds"])
    if not changes:
        return grid
    changed = grid.replaced(**changes)
    if "corruptors" not in changes:
        return changed
    compared = {_whole(name, registry) for name in changed.corruptors}
    mixed = tuple(name for name in changed.with_human if _whole(name, registry) in compared)
    for name in changed.with_human:
        if name not in mixed:
            tell(f"row 'human+{name}' of '{grid.title}' is skipped: --corruptor does not name '{name}'")
    return changed if mixed == changed.with_human else changed.replaced(with_human=mixed)


def _whole(text: str, registry: Registry | None) -> Spec:
    """The corruptor's Spec with its defaults; as it is written where it is not known, which the plan says."""
    from benchkit.specs.spec import Spec

    spec = Spec.parse("corruptor", text)
    try:
        return spec if registry is None else registry.complete(spec)
    except BenchkitError:
        return spec


def adapted(grid: Grid, settings: Sequence[str] | None, scale: float | None) -> Grid:
    """The grid with --set and then --scale applied."""
    from benchkit.config.overrides import remarks, scaled, with_settings

    grid = with_settings(grid, settings) if settings else grid
    if scale is not None:
        smaller = scaled(grid, scale)
        if smaller.replaced(scale=grid.scale, title=grid.title) == grid:
            tell(f"note: --scale {scale:g} changes nothing: no number of images or iterations gets smaller")
        grid = smaller
    for remark in remarks(grid):
        tell(f"note: {remark}")
    return grid


def run_options(device: str, executor: Executor, retry_failed: bool, force: bool = False) -> RunOptions:
    """What a command line says about how a run goes; raises BenchkitError for a device that is not there."""
    from benchkit.inference.functional import resolve_device
    from benchkit.runs.run import RunOptions

    return RunOptions(resolve_device(device, several=True), executor, retry_failed=retry_failed, force=force)


def watched(work: Callable[[RunOptions], T], places: Places, how: RunOptions) -> T:
    """What `work` returns under these options, its progress on stderr."""
    from benchkit.store.opening import open_store

    open_store(places.cache, create=False)  # refuses another version's cache before --out is made
    with progress.shown() as screen:

        def ended(_: Done) -> None:
            screen.advance()

        return work(replace(how, executor=Watched(screen, how.executor), report=ended, progress=screen.note))


@dataclass
class Watched:
    """Another executor, telling the progress how many stages there are, and when they are over."""

    screen: progress.Progress
    executor: Executor

    def check(self) -> None:
        """Ask the other."""
        self.executor.check()

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Have the other run the stages."""
        self.screen.start(len(stages))
        self.executor.execute(stages, env, report)
        self.screen.note("report: rows, tables and page")


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain data; of one of the paper's tables with the same beside the paper."""
    from benchkit.report.beside import beside_table

    compared = beside_table(outcome.board)
    return outcome.as_json() | ({} if compared is None else {"paper": compared.as_json()})


def print_outcome(outcome: Outcome, out: Path | None) -> None:
    """The board, where the report lies, what it took."""
    from benchkit.report.beside import beside_table
    from benchkit.report.sheet import board_sheet
    from benchkit.report.tables import rich_notes, rich_table

    screen = console()
    compared = beside_table(outcome.board)
    for sheet in (board_sheet(outcome.board), *(() if compared is None else (compared.sheet(),))):
        screen.print(rich_table(sheet, screen.width))
        screen.print(rich_notes(sheet, screen.width))
    counts = ", ".join(f"{number} {state}" for state, number in outcome.stages.items())
    print(f"\nrun {outcome.run}: {counts} stages in {outcome.seconds:.1f} s")
    if out is None:
        print(f"again: benchkit leaderboard show {outcome.run}   (--out DIR writes tables and a page)")
        return
    print(f"report: {out / 'index.html' if (out / 'index.html').is_file() else out}")


def checks_of(look: Callable[[], object] | None, device: str) -> tuple[Callable[[], object], ...]:
    """The checks of --device and, by `look`, of --out as a run makes them; nothing is made or loaded for it."""
    from benchkit.inference.functional import resolve_device

    # `auto` is there on every machine, but may have to load torch to say so.
    checks: list[Callable[[], object]] = [] if device == "auto" else [partial(resolve_device, device, several=True)]
    return (*checks, *([] if look is None else [look]))


def _look_at_out(grid: Grid, registry: Registry, places: Places, force: bool) -> None:
    """Raise BenchkitError where --out cannot be written, or holds what is not this comparison's."""
    from benchkit.planning.paper_protocol import recorded
    from benchkit.runs.run import check_out
    from benchkit.system.output_files import check_writable

    assert places.out is not None
    check_writable(places.out, probe=False)
    try:
        config = recorded(grid, registry)
    except BenchkitError:
        return  # the plan says what is wrong with it
    try:
        check_out(places, config, force)
    except OutputTaken as error:
        raise BenchkitError(f"{error} (--force)") from None


def check_together(plan: Callable[[], T], *checks: Callable[[], object]) -> T:
    """What `plan` returns; raises FaultsError with all that it and the checks refuse."""
    from benchkit.specs.faults import Collector

    faults = Collector()
    made: list[T] = []
    with faults.collecting():
        made.append(plan())
    for check in checks:
        with faults.collecting():
            check()
    faults.check()
    return made[0]


def checked_options(
    how: Callable[[], RunOptions], look: Callable[[], object] | None, plan: Callable[[], object]
) -> RunOptions:
    """What `how` returns; where it or --out is refused, all that is wrong with the plan is said too."""
    try:
        for check in checks_of(look, "auto"):
            check()
        return how()
    except BenchkitError:
        check_together(plan, how, *checks_of(look, "auto"))
        raise


def previewed(grid: Grid, registry: Registry, places: Places) -> tuple[Plan, Preview]:
    """The plan of a grid and what of it is there already; nothing is written, not even an empty cache."""
    from benchkit.planning.dry_run import preview
    from benchkit.runs import run
    from benchkit.store.opening import open_store

    with progress.shown() as screen:
        plan = run.prepare(grid, registry, places, screen.note)
    return plan, preview(plan, registry, run.model_of(grid), open_store(places.cache, create=False))


def preview_json(grid: Grid, plan: Plan, seen: Preview) -> dict[str, Any]:
    """A preview as plain data."""
    names = plan.names
    return {
        "title": grid.title,
        "stages": {"pending": dict(seen.pending), "cached": dict(seen.cached)},
        "network_evaluations": {"total": seen.network_evaluations, "pending": seen.pending_network_evaluations},
        "train_iterations": seen.train_iterations,
        "cells": [_cell(planned, names[planned.key]) for planned in seen.cells],
    }


def _cell(planned: PlannedCell, name: str) -> dict[str, Any]:
    cell, training = planned.cell, planned.cell.training
    specs = {"selector": training.selector, "inverter": cell.inverter, "detector": cell.detector}
    return {
        "training_set": name,
        "role": cell.role,
        **{kind: None if spec is None else str(spec) for kind, spec in specs.items()},
        "source_name": cell.source_name,
        "seed": cell.seed,
        "state": "skipped" if planned.skip else "planned",
        "reason": planned.skip,
    }


def print_preview(grid: Grid, plan: Plan, seen: Preview, registry: Registry) -> None:
    """The plan for people: stages by kind, costs, rows, what is skipped."""
    from rich import box
    from rich.table import Table

    from benchkit.planning.paper_protocol import all_differences
    from benchkit.specs.spec import ROLES

    table = Table(title=f"plan: {grid.title}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("stage", "to run", "cached"):
        table.add_column(header, justify="left" if header == "stage" else "right")
    kinds = dict.fromkeys(type(stage).__name__.lower() for stage in plan.stages)
    for kind in kinds:
        table.add_row(kind, str(seen.pending.get(kind, 0)), str(seen.cached.get(kind, 0)))
    table.add_section()
    table.add_row("all", str(sum(seen.pending.values())), str(sum(seen.cached.values())))
    screen = console()
    screen.print(table)
    planned = [cell for cell in seen.cells if not cell.skip]
    screen.print(
        f"network evaluations: {seen.pending_network_evaluations:,} to run of {seen.network_evaluations:,} (images)",
        markup=False,
    )
    screen.print(f"training iterations: {seen.train_iterations:,} to run", markup=False)
    for text in all_differences(grid, registry):
        screen.print(f"not the paper's protocol: {text}", markup=False)
    screen.print(f"cells: {len(planned)}", markup=False)
    for role in ROLES:
        rows = dict.fromkeys(plan.names[cell.key] for cell in planned if cell.cell.role == role)
        if rows:
            screen.print(f"rows, {role}: {', '.join(rows)}", markup=False)
    for reason, count in _skips(seen.cells).items():
        screen.print(f"skipped: {count} cells: {reason}", markup=False)


def _skips(cells: Sequence[PlannedCell]) -> dict[str, int]:
    reasons = [cell.skip for cell in cells if cell.skip]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
