"""Predict a corruptor's place on a board, from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.search.prediction import Prediction


def predict(
    corruptor: str,
    *,
    board: str | Path | None = None,
    detector: str | None = None,
    instrument: str | Path | Grid = "predict",
    reference: str | Path | None = None,
    cache: str | Path | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Prediction:
    """Predict a corruptor's place on a board from two detectors that train in seconds.

    corruptor: NAME or NAME:key=value,…. board: a board's file or folder; None is the board of portraits that ships.
    detector: one of the board's; None is the one with the most rows that is trained whole. instrument: the comparison
    that measures the corruptor. reference: the board of the rows that it has measured; None are those that ship. The
    others as in `compare`. Raises BenchkitError for faults in any of them, and if the corruptor fails.
    """
    from benchkit.config.grid import Grid, load_grid
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places, RunOptions
    from benchkit.search import prediction
    from benchkit.store.location import get_default_cache, parse_location
    from benchkit.system.devices import resolve_device

    registry = Registry.load(files=[Path(file) for file in plugins])
    places = Places(None, get_default_cache() if cache is None else parse_location(cache))
    options = RunOptions(resolve_device(device), progress=progress)
    grid = instrument if isinstance(instrument, Grid) else load_grid(str(instrument))
    rows, file = (None if path is None else Path(path) for path in (reference, board))
    return prediction.predict(corruptor, registry, places, grid, options, rows, file, detector)
