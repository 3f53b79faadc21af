"""Run a comparison, from Python and for `benchkit compare`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.runs.run import Outcome


def compare(
    grid: str | Path | Grid = "quick",
    *,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run a comparison: a preset's name, a YAML file or a Grid. Finished stages come from the cache.

    out: folder of the report; None writes no report. cache: folder or URL of artifacts and rows; None is the user's
    cache. device: see `benchkit.system.devices.resolve_device`. plugins: files of further plugins. progress:
    called with a message for each step. With the grid's `until_resolved` and `max_seeds`, seeds are added only where
    pairs of rows are unresolved. Raises BenchkitError for faults in any of them, before anything is computed.
    """
    from benchkit.config.grid import Grid, load_grid
    from benchkit.plugin.registry import Registry
    from benchkit.runs import run
    from benchkit.store.location import get_default_cache, parse_location
    from benchkit.system.devices import resolve_device

    base = grid if isinstance(grid, Grid) else load_grid(str(grid))
    registry = Registry.load(files=[Path(file) for file in plugins])
    places = run.Places(
        None if out is None else Path(out), get_default_cache() if cache is None else parse_location(cache)
    )
    options = run.RunOptions(resolve_device(device, several=True), progress=progress)
    return run.compare(base, registry, places, options)
