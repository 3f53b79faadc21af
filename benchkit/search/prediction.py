"""Predict a corruptor's rank on a board of fully trained detectors, from detectors that train in seconds.

The instrument is a small comparison of the corruptor with the row `pseudo`. Its reference rows are shipped corruptors
that it has measured before. Those that a larger board has too give the map from the instrument's figures to the
board's, and how often the map is right (benchkit.statistics.rank_prediction).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.metrics import COMPANION, PRIMARY
from benchkit.planning.paper_protocol import to_record
from benchkit.planning.plan import Plan
from benchkit.plugin.registry import Registry
from benchkit.report.board import Board
from benchkit.report.columns import RANKINGS, delta_columns
from benchkit.report.format_values import numeric
from benchkit.report.predict_rows import (
    BASE,
    Known,
    Table,
    Target,
    check_same_instrument,
    corruptor_key,
    find_target,
    load_table,
    match_rows,
)
from benchkit.runs.cell_recorder import make_cell_info
from benchkit.runs.run import Outcome, RunLocations, RunOptions, execute, prepare
from benchkit.specs.spec import Spec
from benchkit.statistics.confidence_level import LEVEL
from benchkit.statistics.rank_prediction import PredictedRank, Validation, predict_ranks, validate
from benchkit.store.location import get_local_folder

#: Predictions are recorded in a database of their own: their rows lack what a comparison measures besides.
RESULTS = "predictions.sqlite"
#: The names of RANKINGS for people.
LABELS = {PRIMARY: "artifact IoU", COMPANION: "AP"}
#: What a validation must reach; a prediction below it is shown with a warning.
LEAST_CORRELATION, LEAST_ROWS = 0.8, 20
#: How far the row `pseudo` may lie from the reference's before a warning: half a point.
TOLERANCE = 0.005


class PredictionError(BenchkitError):
    """The corruptor failed, so that nothing is predicted."""


@dataclass(frozen=True)
class Request:
    """What is to be predicted, planned and checked. target: None where no board backs the prediction, and why."""

    corruptor: Spec
    grid: Grid
    plan: Plan
    table: Table
    target: Target | None
    unbacked: str = ""


@dataclass(frozen=True)
class Reading:
    """The instrument's figure with one detector, by one metric.

    figure, low, high: in [0, 1]. delta, delta_low, delta_high: the paired difference to `pseudo`. rank: that of
    that difference among the reference rows, 1 + those with a higher one; rank_low, rank_high: that of the interval's
    ends. rows: the number of reference rows. covered: the difference as a fraction of that from `pseudo` to `human` in
    the reference rows; None where these lack `human`, or it is not better.
    """

    detector: str
    metric: str
    figure: float
    low: float
    high: float
    delta: float
    delta_low: float
    delta_high: float
    rank: int
    rank_low: int
    rank_high: int
    rows: int
    covered: float | None


@dataclass(frozen=True)
class Forecast:
    """The predicted figure and rank on the board, by one metric.

    rows: known rows among which the rank is. above, below: names and figures of the neighbours. base: the board's
    figure of `pseudo`, None where it has none. checked: of each row that validated the map, its figure as the other
    methods' rows predict it, and the true one.
    """

    metric: str
    place: PredictedRank
    rows: int
    above: tuple[str, float] | None
    below: tuple[str, float] | None
    base: float | None
    validation: Validation
    checked: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Prediction:
    """A corruptor's predicted rank: the instrument's readings, and one forecast per ranking where a board backs it.

    board: where and title of the board, its detector and seeds. warnings: sentences.
    """

    corruptor: str
    readings: tuple[Reading, ...]
    board: Mapping[str, Any] | None
    forecasts: tuple[Forecast, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the prediction as plain data."""
        found = _plain(asdict(self))
        for forecast in found["forecasts"]:
            del forecast["validation"]["predicted"]  # `checked` has them by name
        return found


def prepare_prediction(
    corruptor: str,
    registry: Registry,
    locations: RunLocations,
    instrument: Grid,
    reference: Path | None = None,
    board: Path | None = None,
    detector: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Request:
    """Plan what a prediction needs, and check everything that can be known before work.

    reference: the instrument's rows, a board's file or folder; None: those that ship. board, detector: see
    `find_target`. Raises BenchkitError for an unknown corruptor, several in one text, a wrong parameter, an instrument
    that has changed since its reference rows were measured, and a board that was named and does not fit.
    """
    spec = registry.complete(Spec.parse("corruptor", corruptor))
    table = load_table(reference)
    _check_instrument(instrument)
    changes = {"corruptors": [spec], "with_human": [], "baselines": [BASE], "trivial": [], "oracle": None}
    grid = instrument.replaced(**changes, title=f"{instrument.title}: {spec.short}")
    target, unbacked = None, ""
    try:
        target = find_target(board, detector, table)
    except BenchkitError as error:
        if board is not None or detector is not None:
            raise
        unbacked = str(error)
    whole = prepare(grid, registry, locations, progress)
    if skipped := [cell.skip for cell in whole.cells if cell.skip]:
        raise BenchkitError(f"cannot predict '{spec.short}': {skipped[0]}")
    # A prediction does not use confinement, which would cost a round trip at every number of steps.
    plan = Plan(tuple(replace(cell, confine=None) for cell in whole.cells))
    check_same_instrument(table, describe_instrument(plan, registry))
    return Request(spec, grid, plan, table, target, unbacked)


def describe_instrument(plan: Plan, registry: Registry) -> list[dict[str, Any]]:
    """Return the labels and settings of the planned rows of BASE, as `check_same_instrument` takes them."""
    bases = [make_cell_info(planned, registry) for planned in plan.cells if planned.cell.role == BASE]
    seeds = Counter(info.detector for info in bases)
    return [{**vars(info), **info.settings, "seeds": seeds[info.detector]} for info in bases]


def measure(request: Request, registry: Registry, locations: RunLocations, options: RunOptions) -> Outcome:
    """Run the instrument's stages that are not in the cache; its rows are kept in a database of their own."""
    apart = replace(locations, out=None, results=locations.results or str(get_local_folder(locations.cache) / RESULTS))
    return execute(request.plan, to_record(request.grid, registry), registry, apart, options)


def make_prediction(request: Request, board: Board) -> Prediction:
    """Return the predicted rank of the corruptor that the instrument measured on `board`."""
    lines = board.trained[board.trained["role"] == "corrupted"]
    detectors = [str(detector) for detector in lines["detector"]]
    own = request.corruptor
    readings = tuple(
        _read(line, metric, request.table, corruptor_key(own.name, own.values))
        for line in lines.to_dict("records")
        for metric in RANKINGS
    )
    warnings = list(_changed(board, request.table))
    target = request.target
    if target is None:
        return Prediction(own.short, readings, None, (), (*warnings, f"no rank is predicted: {request.unbacked}"))
    forecasts = []
    for metric in RANKINGS:
        rows = match_rows(request.table, detectors, target, metric)
        new = np.array([[one.delta for one in readings if one.metric == metric]])
        try:
            forecasts.append(_forecast(metric, rows, own.name, new, target))
        except BenchkitError as error:
            warnings.append(f"no rank is predicted by {LABELS[metric]}: {target.where}, {target.detector}: {error}")
    warnings += _doubts(forecasts, target, request.table, own)
    about = {"where": target.where, "title": target.title, "detector": target.detector, "seeds": target.seeds}
    return Prediction(own.short, readings, about, tuple(forecasts), tuple(warnings))


def _check_instrument(grid: Grid) -> None:
    """Raise BenchkitError unless each detector has one row of a corruptor."""
    for name, several in (("selectors", grid.selectors), ("sources", grid.every_source)):
        if len(several) > 1:
            raise BenchkitError(f"an instrument has one of its '{name}', not {len(several)}: keep one")
    if len(grid.every_inverter) > 1:
        raise BenchkitError(f"an instrument has one inverter, not {len(grid.every_inverter)}: keep one")


def _read(line: Mapping[Any, Any], metric: str, table: Table, own: str) -> Reading:
    figure, low, high = (numeric(line[f"{metric}{end}"]) for end in ("", "_low", "_high"))
    columns = delta_columns(metric, BASE)[:3]
    delta, delta_low, delta_high = (numeric(line[name]) for name in columns)
    if not np.isfinite(delta):
        raise BenchkitError(f"the instrument gives no {LABELS[metric]} with '{line['detector']}': use more test images")
    others = table.corrupted(str(line["detector"]))[columns[0]].dropna()
    others = others[others.index != own]
    rank, rank_low, rank_high = (1 + int((others > value).sum()) for value in (delta, delta_high, delta_low))
    ranks = (rank, rank_low, rank_high, len(others))
    base, human = (numeric((table.line(line["detector"], role) or {}).get(metric)) for role in (BASE, "human"))
    covered = delta / (human - base) if human > base else None
    return Reading(str(line["detector"]), metric, figure, low, high, delta, delta_low, delta_high, *ranks, covered)


def _forecast(metric: str, rows: Known, method: str, new: np.ndarray, target: Target) -> Forecast:
    """Return the forecast from the rows of other methods; its validation is over all rows."""
    others = rows.without(method)
    validation = validate(rows.inputs, rows.targets, rows.methods)
    (place,) = predict_ranks(others.inputs, others.targets, others.methods, new, LEVEL)
    named = list(zip(others.names, map(float, others.targets), strict=True))
    above, below = named[: place.rank - 1], named[place.rank - 1 :]
    base = numeric(target.base.get(metric))
    return Forecast(
        metric,
        place,
        len(named),
        above[-1] if above else None,
        below[0] if below else None,
        base if np.isfinite(base) else None,
        validation,
        {
            name: (float(predicted), float(true))
            for name, predicted, true in zip(rows.names, validation.predicted, rows.targets, strict=True)
        },
    )


def _changed(board: Board, table: Table) -> Iterator[str]:
    """Yield a warning for each detector whose row BASE is not what the reference says."""
    for line in board.trained[board.trained["role"] == BASE].to_dict("records"):
        before = table.line(str(line["detector"]), BASE) or {}
        for metric in RANKINGS:
            then, now = numeric(before.get(metric)), numeric(line[metric])
            if abs(now - then) > TOLERANCE:
                yield (
                    f"{line['detector']}: {LABELS[metric]} of '{BASE}' is {100 * now:.2f} here and {100 * then:.2f} in "
                    "the reference rows, which should be equal: measure the reference rows again with this version"
                )


def _doubts(forecasts: Sequence[Forecast], target: Target, table: Table, own: Spec) -> Iterator[str]:
    """Yield a warning for each reason to doubt the forecasts."""
    for one in forecasts:
        found = one.validation
        if not found.spearman >= LEAST_CORRELATION:
            yield (
                f"by {LABELS[one.metric]} the rank correlation of predicted and true figures is {found.spearman:.2f}, "
                f"below {LEAST_CORRELATION}: the predicted rank says little"
            )
    if forecasts and (rows := forecasts[0].validation.rows) < LEAST_ROWS:
        yield f"the prediction was validated on {rows} rows, fewer than {LEAST_ROWS}"
    if target.detector in set(table.frame["detector"]):
        yield f"'{target.detector}' is a detector of the instrument itself: this says nothing of a fully trained one"
    if own.name in set(target.lines["corruptor"]):
        yield f"rows of '{own.name}' are on the board and were not used to predict it"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: arrays as lists, what is not finite as None."""
    if isinstance(value, Mapping):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(own) for own in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
