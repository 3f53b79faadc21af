"""Score the trained detectors of a run on the images of a season, and put the figures beside the public ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from benchkit.errors import BenchkitError
from benchkit.executors.batch import Executor, StageResult
from benchkit.leaderboard.season import Season
from benchkit.metrics import PRIMARY, is_metric
from benchkit.outputs.finished_run import FinishedRun
from benchkit.planning.planner import Plan, PlannedCell, Planner
from benchkit.readers.season import SEASON, digest_season
from benchkit.report.board import Board
from benchkit.report.data import RunData
from benchkit.report.text import known
from benchkit.runs.recorder import read_row
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet

_ROW = ("training_set", "detector", "selector")


@dataclass(frozen=True)
class SeasonScore:
    """What a season gave. board: its figures, as a board. pairs: a record per trained row, public and fresh.

    tau: Kendall's tau-b of the two orders by artifact IoU, per detector; None with fewer than two rows.
    """

    season: Season
    run: str
    images_sha256: str
    board: Board
    pairs: Sequence[Mapping[str, Any]]
    tau: Mapping[str, float | None]

    def as_json(self) -> dict[str, Any]:
        """Return plain data; equal scores give equal data."""
        return {
            "schema": 1,
            "season": self.season.name,
            "commitment": self.season.commitment,
            "images_sha256": self.images_sha256,
            "run": self.run,
            "tau": dict(self.tau),
            "rows": list(self.pairs),
            "board": self.board.as_json(),
        }


def score_season(
    run: FinishedRun,
    public: RunData,
    season: Season,
    images: str,
    executor: Executor,
    progress: Callable[[str], None] = lambda _: None,
) -> SeasonScore:
    """Score every finished row of a run on the season's images, in the run's cache.

    public: the run as a report sees it. images: the file that `season reveal` wrote. Raises BenchkitError for another
    file, and where the cache does not hold the weights of a row any more: a submission alone has none.
    """
    if season.images not in (None, digest_season(images)):
        raise BenchkitError(f"'{images}' does not hold the images of season '{season.name}': draw them from its secret")
    named = Spec.parse("dataset", season.dataset)
    registry = run.env.registry
    spec = registry.complete(Spec.of("dataset", named.name, **{**named.values, "season": images}))
    test = ImageSet(spec, SEASON, tuple(range(registry.dataset(spec).splits()[SEASON])))
    done = [planned for planned in run.plan.cells if run.is_done(planned) and planned.evaluate]
    if not done:
        raise BenchkitError(f"run {run.id} has no finished row")
    for planned in done:
        run.require([planned.train] if planned.train else [], run.name(planned))
    planner = Planner(run.grid, registry, run.model(done[0]))
    fresh = {planned.key: PlannedCell(planned.cell, planner.evaluate_on(planned, test)) for planned in done}
    results: dict[str, StageResult] = {}
    run.env.progress = progress
    stages = Plan(tuple(fresh.values())).stages
    executor.execute(stages, run.env, lambda result: results.__setitem__(result.stage.key, result))
    for result in results.values():
        if result.state in ("failed", "skipped"):
            raise BenchkitError(f"season '{season.name}': {result.reason}")
    board = Board.of(_fresh_data(run, public, season, fresh))
    pairs = _pair_rows(Board.of(public), board)
    return SeasonScore(season, run.id, digest_season(images), board, pairs, _taus(pairs))


def _fresh_data(run: FinishedRun, public: RunData, season: Season, fresh: Mapping[str, PlannedCell]) -> RunData:
    """Return the run with the figures of the season in place of the public ones."""
    lines, records = [], {}
    for line in public.rows.to_dict("records"):
        own = {str(name): value for name, value in line.items() if not is_metric(str(name))}
        if (planned := fresh.get(line["cell"])) is not None:
            figures, _, records[line["cell"]] = read_row(planned, run.env)
            own |= {name: math.nan if value is None else value for name, value in figures.items()}
            own |= {"test_set": f"season {season.name}", "test_images": season.count}
            lines.append(own)
    return RunData(run.id, public.grid, public.environment, pd.DataFrame(lines), records)


def _pair_rows(public: Board, fresh: Board) -> list[dict[str, Any]]:
    def key(line: Mapping[Any, Any]) -> tuple[str, ...]:
        return tuple(str(line[name]) if known(line[name]) else "" for name in _ROW)

    before = {key(line): line for line in public.frame.to_dict("records")}
    pairs = []
    for line in fresh.frame.to_dict("records"):
        if line["group"] != "trained" or key(line) not in before:
            continue
        own = {name: line[name] if known(line[name]) else None for name in _ROW}
        for what, of in (("public", before[key(line)]), ("fresh", line)):
            own |= {what: _number(of[PRIMARY]), f"{what}_rank": _number(of["rank"])}
        pairs.append(own)
    return pairs


def _number(value: Any) -> float | None:
    return float(value) if known(value) else None


def _taus(pairs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    taus: dict[str, float | None] = {}
    for detector in dict.fromkeys(str(one["detector"]) for one in pairs):
        own = [one for one in pairs if str(one["detector"]) == detector]
        both = [(one["public"], one["fresh"]) for one in own if one["public"] is not None and one["fresh"] is not None]
        tau = float(stats.kendalltau(*zip(*both, strict=True)).statistic) if len(both) > 1 else math.nan
        taus[detector] = None if math.isnan(tau) else tau
    return taus
