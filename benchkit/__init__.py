"""benchkit: corruption methods, region selectors and detectors, crossed, trained, scored and ranked.

The Python API is six functions: `compare` and `predict` here, `load_detector` in `benchkit.inference.detector`, the
others in `benchkit.inference.functional`. Importing this package loads neither torch nor any plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchkit.config.grid import Grid
    from benchkit.inference.detector import load_detector
    from benchkit.inference.functional import corrupt, invert, load_backend
    from benchkit.runs.run import Outcome
    from benchkit.search.prediction import Prediction

__all__ = ["compare", "corrupt", "invert", "load_backend", "load_detector", "predict"]


def compare(
    preset: str | Path | Grid = "quick",
    out: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run a comparison: a preset's name, a YAML file or a Grid. Finished stages come from the cache.

    out: folder of the report; None writes no report. cache: folder or URL of artifacts and rows; None is the user's
    cache. device: see `benchkit.inference.functional.resolve_device`. plugins: files of further plugins. progress:
    called with a message for each step. With the grid's `until_resolved` and `max_seeds`, seeds are added only where
    pairs of rows are unresolved. Raises BenchkitError for faults in any of them, before anything is computed.
    """
    from pathlib import Path

    from benchkit.config.grid import Grid, load_grid
    from benchkit.inference.functional import resolve_device
    from benchkit.plugin.registry import Registry
    from benchkit.runs import run
    from benchkit.store.location import get_default_cache, parse_location

    grid = preset if isinstance(preset, Grid) else load_grid(str(preset))
    registry = Registry.load(files=[Path(file) for file in plugins])
    places = run.Places(
        None if out is None else Path(out), get_default_cache() if cache is None else parse_location(cache)
    )
    options = run.RunOptions(resolve_device(device, several=True), progress=progress)
    return run.compare(grid, registry, places, options)


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
    from pathlib import Path

    from benchkit.config.grid import Grid, load_grid
    from benchkit.inference.functional import resolve_device
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places, RunOptions
    from benchkit.search import prediction
    from benchkit.store.location import get_default_cache, parse_location

    registry = Registry.load(files=[Path(file) for file in plugins])
    places = Places(None, get_default_cache() if cache is None else parse_location(cache))
    options = RunOptions(resolve_device(device), progress=progress)
    grid = instrument if isinstance(instrument, Grid) else load_grid(str(instrument))
    rows, file = (None if path is None else Path(path) for path in (reference, board))
    return prediction.predict(corruptor, registry, places, grid, options, rows, file, detector)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'benchkit' has no attribute '{name}'")
    from benchkit.inference import detector as trained
    from benchkit.inference import functional

    return getattr(trained if hasattr(trained, name) else functional, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
