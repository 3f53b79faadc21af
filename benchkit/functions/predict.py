"""Predict a corruptor's rank on a board, from Python and for `benchkit predict`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.functions.grid_arguments import load_base
from benchkit.functions.plugin_arguments import PluginLike, PluginSources, name_plugin
from benchkit.functions.progress import Progressing, run_with_progress, shown
from benchkit.functions.session import Session
from benchkit.system.paths import check_path

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.search.prediction import Prediction
    from benchkit.store.location import Location


def predict(
    corruptor: PluginLike,
    *,
    board: str | Path | None = None,
    detector: str | None = None,
    instrument: str | Path | Grid = "predict",
    reference: str | Path | None = None,
    cache: str | Path | Location | None = None,
    device: str = "auto",
    time_limit: float | None = None,
    plugins: PluginSources = (),
    strict: bool = False,
    progress: Progressing = True,
) -> Prediction:
    """Predict a corruptor's rank on a board of fully trained detectors, from detectors that train in seconds.

    Two detectors with a frozen trunk measure the corruptor. Rows that they and the board have in common turn their
    figures into the board's, and say how often such predictions were right.

    corruptor: in any form that `compare` takes. board: a board's file or folder; None is that of the preset
    `portraits-whole`, which ships. detector: one of the board's; None is the one with the most rows that is trained
    whole. instrument: the comparison that measures the corruptor. reference: the board of the rows that it has
    measured; None are those that ship. The other arguments: see `compare`. Raises BenchkitError for faults in any of
    them, and PredictionError if the corruptor fails.

    Example (it trains for about a minute):
        >>> import benchkit
        >>> prediction = benchkit.predict("gaussian:steps=20")  # doctest: +SKIP
        >>> prediction.corruptor  # doctest: +SKIP
        'gaussian:steps=20'
    """
    from benchkit.search.prediction import PredictionError, make_prediction, measure, prepare_prediction

    session = Session.make(plugins, strict, None, cache, None, device, "inline", time_limit, progress)
    registry, locations, how = session.registry, session.locations, session.run_options()
    text = name_plugin(corruptor, "corruptor", registry, "corruptor")
    rows = None if reference is None else check_path("reference", reference)
    file = None if board is None else check_path("board", board)
    with shown(progress) as screen:
        request = prepare_prediction(
            text, registry, locations, load_base(instrument), rows, file, detector, screen.note
        )
    outcome = run_with_progress(partial(measure, request, registry, locations), locations, how, progress)
    if outcome.failures:
        raise PredictionError(f"cannot predict '{request.corruptor.short}': {outcome.failures[0]}")
    return make_prediction(request, outcome.board)
