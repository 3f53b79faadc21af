"""What the functions that run comparisons share: plugins, locations, device, executor and progress of one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchkit.errors import ArgumentTypeError, ArgumentValueError, BenchkitError, as_argument_error, describe_value
from benchkit.functions.arguments import check_flags, check_number
from benchkit.functions.plugin_arguments import PluginSources, keep_in_process, load_plugins
from benchkit.functions.progress import Progressing, check_progress
from benchkit.inference.models import get_loaded
from benchkit.system.paths import check_path

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.diffusion.backend import DiffusionBackend
    from benchkit.executors.batch import Executor
    from benchkit.inference.models import ModelLike
    from benchkit.planning.plan import Plan
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.runs.run import RunLocations, RunOptions
    from benchkit.store.location import Location

T = TypeVar("T")
Check = Callable[[], object]


@dataclass(frozen=True)
class Session:
    """The plugins, locations and ways of one call. Its registry is its own, so that classes stay in this call."""

    registry: TolerantRegistry
    locations: RunLocations
    device: str
    executor: Executor
    progress: Progressing
    retry_failed: bool = False
    force: bool = False
    loaded: DiffusionBackend | None = None

    @classmethod
    def make(
        cls,
        plugins: PluginSources,
        strict: bool,
        out: str | Path | None,
        cache: str | Path | Location | None,
        store: str | None,
        device: str,
        executor: str | Executor,
        time_limit: float | None,
        progress: Progressing,
        retry_failed: bool = False,
        force: bool = False,
        model: ModelLike | None = None,
    ) -> Session:
        """Return the session of a function's arguments; raise BenchkitError for a wrong one.

        model: a loaded checkpoint is used as it is in this process; other processes load it again.
        """
        from benchkit.plugin.placeholders import TolerantRegistry

        if not isinstance(device, str):
            raise ArgumentTypeError(f"device: {describe_value(device)} is no text: give auto, cpu, cuda, cuda:N or mps")
        check_progress(progress)
        check_flags(strict=strict, retry_failed=retry_failed, force=force)
        registry = TolerantRegistry(load_plugins(plugins, strict))
        loaded = None if model is None else get_loaded(model)
        with as_argument_error():
            ways = (device, make_executor(executor, time_limit), progress, retry_failed, force, loaded)
            return cls(registry, make_places(out, cache, store), *ways)

    def settle_sampling(self, grid: Grid, measure: bool, silent: bool = False) -> Grid:
        """Return the grid without `auto` in its `sampling`; see `runs.settle_sampling`. silent: log no notes."""
        if "auto" not in (grid.sampling.precision, grid.sampling.chunk):
            return grid
        from benchkit.functions.grid_arguments import note
        from benchkit.runs.settle_sampling import settle_sampling
        from benchkit.stages.base import each_device
        from benchkit.system.devices import resolve_device

        device = each_device(resolve_device(self.device, several=True))[0]
        settled, notes = settle_sampling(grid, self.registry, self.locations, device, measure)
        for text in () if silent else notes:
            note(text)
        return settled

    def calibrate(self, plan: Plan) -> None:
        """Measure what the plan's pending stages cost where no run has yet; see `benchkit.runs.calibration`."""
        from benchkit.functions.grid_arguments import note
        from benchkit.runs.calibration import calibrate
        from benchkit.stages.base import Env, each_device
        from benchkit.system.devices import resolve_device

        device = each_device(resolve_device(self.device, several=True))[0]
        for text in calibrate(plan.stages, Env(self.registry, self.locations.artifacts(), device, loaded=self.loaded)):
            note(f"calibration: {text}")

    def check_writable(self) -> None:
        """Raise BenchkitError if `out` cannot be written; write nothing."""
        from benchkit.system.output_files import check_writable

        if self.locations.out is not None:
            check_writable(self.locations.out, probe=False)

    def list_skipped(self) -> tuple[str, ...]:
        """Return the plugins whose cells were skipped because they cannot be used, with the reason of each."""
        found = self.registry.placeholders.items()
        return tuple(f"{name} was skipped ({broken.origin}): {broken.reason}" for name, broken in found)

    def run_options(self) -> RunOptions:
        """Return the options of a run; raise BenchkitError if the device or the executor cannot be used."""
        from benchkit.runs.run import RunOptions
        from benchkit.system.devices import resolve_device

        device = resolve_device(self.device, several=True)
        executor = keep_in_process(self.executor, self.registry, device)
        return RunOptions(device, executor, retry_failed=self.retry_failed, force=self.force, loaded=self.loaded)

    def checks(self, check_out: Check | None) -> list[Check]:
        """Return the checks of the device, the executor and, if given, the output folder.

        They create nothing, and load nothing for the device `auto`.
        """
        from benchkit.system.devices import resolve_device

        # `auto` is available on every machine, and to resolve it may load torch.
        checks: list[Check] = [] if self.device == "auto" else [partial(resolve_device, self.device, several=True)]
        checks.append(partial(keep_in_process, self.executor, self.registry, self.device))
        return checks if check_out is None else [*checks, check_out]

    def check_then_make(self, check_out: Check | None, plan: Check) -> RunOptions:
        """Return the run's options. If they or the output folder are refused, report the faults of the plan as well."""
        try:
            if check_out is not None:
                check_out()
            return self.run_options()
        except BenchkitError:
            plan_and_check(plan, self.run_options, *self.checks(check_out))
            raise


def make_places(
    out: str | Path | None = None, cache: str | Path | Location | None = None, store: str | None = None
) -> RunLocations:
    """Return where a run is kept. out: folder of the report. store: a database for the rows."""
    from benchkit.runs.run import RunLocations
    from benchkit.store.location import get_default_cache

    check_store(store)
    where = get_default_cache() if cache is None else parse_cache(cache)
    return RunLocations(None if out is None else check_path("out", out), where, store)


def parse_cache(cache: Any) -> Location:
    """Return the cache of a folder or a URL; raise ArgumentTypeError for anything else."""
    from benchkit.store.location import CacheUrl, parse_location

    if isinstance(cache, CacheUrl):
        return cache
    return parse_location(cache if isinstance(cache, str) else check_path("cache", cache))


def check_store(store: Any) -> None:
    """Raise ArgumentTypeError for anything but text or None."""
    if not isinstance(store, str | None):
        raise ArgumentTypeError(f"store: {describe_value(store)} is no text: give a database's file or URL")


def make_executor(executor: str | Executor, time_limit: float | None = None) -> Executor:
    """Return the executor that a text names; raise BenchkitError for a wrong one."""
    from benchkit.executors.choose import parse_executor

    check_time_limit(time_limit)
    if isinstance(executor, str):
        return parse_executor(executor, time_limit)
    if isinstance(executor, type) or not hasattr(executor, "execute"):
        raise ArgumentTypeError(f"executor: {describe_value(executor)} is no executor: give text, such as 'inline'")
    return executor


def check_time_limit(seconds: float | None) -> None:
    """Raise ArgumentValueError for a time limit that is not positive."""
    check_number("time_limit", seconds, "give seconds")
    if seconds is not None and not 0 < seconds < 1e9:
        raise ArgumentValueError(f"`time_limit` {seconds:g}: give a number of seconds above 0")


def check_out_folder(grid: Grid, session: Session) -> None:
    """Raise BenchkitError if `out` cannot be written, or holds something other than this comparison's report."""
    from benchkit.planning.paper_protocol import to_record
    from benchkit.runs.run import check_out

    session.check_writable()
    try:
        config = to_record(grid, session.registry)
    except BenchkitError:
        return  # planning reports what is wrong with the grid
    check_out(session.locations, config, session.force)


def plan_and_check(plan: Callable[[], T], *checks: Check) -> T:
    """Return what `plan` returns; raise FaultsError with the faults that it and all checks find."""
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
