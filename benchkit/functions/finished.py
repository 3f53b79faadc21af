"""A finished run, as a caller names it: its id, its output folder, or what `compare` returned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.errors import ArgumentTypeError, describe_value
from benchkit.functions.arguments import check_seed
from benchkit.functions.comparison import Comparison
from benchkit.functions.paired_difference import Row, row_text
from benchkit.functions.plugin_arguments import PluginLike, PluginSources, load_plugins, name_choice
from benchkit.functions.session import check_store, parse_cache

if TYPE_CHECKING:
    from benchkit.outputs.finished_run import FinishedRun, RowQuery
    from benchkit.store.location import Location

#: The id of a run, the start of an id, its output folder, or a Comparison.
RunLike = str | Path | Comparison


def open_run(
    run: RunLike,
    cache: str | Path | Location | None,
    store: str | None,
    plugins: PluginSources,
    strict: bool,
    device: str = "cpu",
) -> FinishedRun:
    """Open a run and compute nothing; raise BenchkitError if there is none, or if it is of another version."""
    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.runs.find_run import find_run_locations

    if isinstance(run, Comparison):
        registry = TolerantRegistry(load_plugins(plugins, strict)) if plugins else run.registry
        return FinishedRun.open(run.run, run.locations, registry, device)
    if not isinstance(run, str | Path):
        raise ArgumentTypeError(
            f"run: {describe_value(run)} is no run: give its id, its output folder, or what benchkit.compare returned"
        )
    check_store(store)
    place = None if cache is None else parse_cache(cache)
    registry = TolerantRegistry(load_plugins(plugins, strict))
    return FinishedRun.open(str(run), find_run_locations(str(run), place, store), registry, device)


def make_query(
    run: FinishedRun, row: Row | None, selector: PluginLike | None, detector: PluginLike | None, seed: int | None
) -> RowQuery:
    """Return which row of the run is meant; None means the first."""
    from benchkit.outputs.finished_run import RowQuery

    registry = run.env.registry
    chosen = (name_choice(selector, "selector", registry), name_choice(detector, "detector", registry))
    return RowQuery(None if row is None else row_text(row), *chosen, None if seed is None else check_seed(seed))
