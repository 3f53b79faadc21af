"""A finished run, as a caller names it: its id, its output folder, or what `compare` returned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import ArgumentTypeError
from benchkit.functions.plugin_arguments import PluginLike, PluginSources, load_plugins, name_plugin

if TYPE_CHECKING:
    from benchkit.outputs.finished_run import FinishedRun, RowQuery
    from benchkit.plugin.registry import Registry
    from benchkit.store.location import Location

#: The id of a run, the start of an id, its output folder, or an object with the run's id such as an Outcome.
RunLike = str | Path | Any


def open_run(
    run: RunLike,
    cache: str | Path | Location | None,
    store: str | None,
    plugins: PluginSources | Registry,
    strict: bool,
    device: str = "cpu",
) -> FinishedRun:
    """Open a run and compute nothing; raise BenchkitError if there is none, or if it is of another version."""
    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.runs.finding import find_places
    from benchkit.store.location import parse_location

    name = str(run) if isinstance(run, str | Path) else getattr(run, "run", None)
    if not isinstance(name, str):
        raise ArgumentTypeError(f"run={run!r}: give a run's id, its output folder, or what benchkit.compare returned")
    place = parse_location(cache) if isinstance(cache, str) else cache
    registry = TolerantRegistry(load_plugins(plugins, strict))
    return FinishedRun.open(name, find_places(name, place, store), registry, device)


def make_query(
    run: FinishedRun, row: str | None, selector: PluginLike | None, detector: PluginLike | None, seed: int | None
) -> RowQuery:
    """Return which row of the run is meant; None means the first."""
    from benchkit.outputs.finished_run import RowQuery

    def text(value: PluginLike | None, kind: str) -> str | None:
        return None if value is None else name_plugin(value, kind, run.env.registry, kind)

    return RowQuery(row, text(selector, "selector"), text(detector, "detector"), seed)
