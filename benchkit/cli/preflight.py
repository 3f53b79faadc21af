"""Checks of options before any work, so that a command reports all faults at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.executors.batch import Executor
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places, RunOptions

T = TypeVar("T")
Check = Callable[[], object]


def make_run_options(device: str, executor: Executor, retry_failed: bool, force: bool) -> RunOptions:
    """Return the options of a run; raise BenchkitError if the device is not available."""
    from benchkit.runs.run import RunOptions
    from benchkit.system.devices import resolve_device

    return RunOptions(resolve_device(device, several=True), executor, retry_failed=retry_failed, force=force)


def option_checks(check_out: Check | None, device: str) -> list[Check]:
    """Return the checks of --device and, if given, of --out. They create nothing and load nothing for `auto`."""
    from benchkit.system.devices import resolve_device

    # `auto` is available on every machine, and to resolve it may load torch.
    checks: list[Check] = [] if device == "auto" else [partial(resolve_device, device, several=True)]
    return checks if check_out is None else [*checks, check_out]


def check_out_folder(grid: Grid, registry: Registry, places: Places, force: bool) -> None:
    """Raise BenchkitError if --out cannot be written, or holds something other than this comparison's report."""
    from benchkit.planning.paper_protocol import to_record
    from benchkit.runs.run import check_out
    from benchkit.system.output_files import check_writable

    assert places.out is not None
    check_writable(places.out, probe=False)
    try:
        config = to_record(grid, registry)
    except BenchkitError:
        return  # planning reports what is wrong with the grid
    check_out(places, config, force)


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


def check_then_make(make: Callable[[], RunOptions], check_out: Check | None, plan: Check) -> RunOptions:
    """Return what `make` returns. If it or --out is refused, report the faults of the plan as well."""
    try:
        if check_out is not None:
            check_out()
        return make()
    except BenchkitError:
        plan_and_check(plan, make, *option_checks(check_out, "auto"))
        raise
