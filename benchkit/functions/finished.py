"""A finished run, as a caller names it: its id, its output folder, or what `compare` returned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.errors import ArgumentTypeError
from benchkit.functions.comparison import Comparison
from benchkit.functions.plugin_arguments import PluginLike, PluginSources, load_plugins, name_plugin

if TYPE_CHECKING:
    from benchkit.outputs.finished_run import FinishedRun, RowQuery
    from benchkit.plugin.registry import Registry
    from benchkit.store.location import Location

#: The id of a run, the start of an id, its output folder, or a Comparison.
RunLike = str | Path | Comparison


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

    if isinstance(run, Comparison):
        registry = TolerantRegistry(load_plugins(plugins, strict)) if plugins else run.registry
        return FinishedRun.open(run.run, run.places, registry, device)
    if not isinstance(run, str | Path):
        raise ArgumentTypeError(f"run={run!r}: give a run's id, its output folder, or what benchkit.compare returned")
    place = parse_location(cache) if isinstance(cache, str) else cache
    registry = TolerantRegistry(load_plugins(plugins, strict))
    return FinishedRun.open(str(run), find_places(str(run), place, store), registry, device)


def make_query(
    run: FinishedRun, row: str | None, selector: PluginLike | None, detector: PluginLike | None, seed: int | None
) -> RowQuery:
    """Return which row of the run is meant; None means the first."""
    from benchkit.outputs.finished_run import RowQuery

    def text(value: PluginLike | None, kind: str) -> str | None:
        return None if value is None else name_plugin(value, kind, run.env.registry, kind)

    return RowQuery(row, text(selector, "selector"), text(detector, "detector"), seed)
