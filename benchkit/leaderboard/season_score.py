"""Score the trained detectors of a run on the images of a season."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchkit.errors import BenchkitError
from benchkit.executors.batch import Executor, StageResult
from benchkit.leaderboard.season import Season
from benchkit.leaderboard.submission import Facts, Submission, hide_paths, normalise_rows
from benchkit.leaderboard.submit import hide_columns, reduce_records
from benchkit.metrics import Measured, is_metric
from benchkit.outputs.finished_run import FinishedRun
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.planning.planner import Planner
from benchkit.readers.season import SEASON, digest_season
from benchkit.report.run_data import RunData
from benchkit.runs.cell_recorder import read_row
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet
from benchkit.store.results import ReadWhenUsed


@dataclass(frozen=True)
class Scored:
    """A run on the images of a season. data: as a report sees it. names: cell -> the names of the test images.

    The records of data are read from the cache at every use: those of a large run together do not fit in memory.
    """

    data: RunData
    names: Mapping[str, Sequence[str]]

    def as_submission(self, facts: Facts, season: Season) -> Submission:
        """Return the figures with what they follow from, for the submission of the run, whose facts these are."""
        rows = normalise_rows(hide_columns(self.data.rows))

        def read(cell: str) -> tuple[Measured, Sequence[str]]:
            return Measured.from_arrays(self.data.records[cell]), self.names[cell]

        return reduce_records(facts.model_copy(update={"season": season.commitment}), rows, read)


def score_season(
    run: FinishedRun,
    public: RunData,
    season: Season,
    images: str,
    executor: Executor,
    progress: Callable[[str], None] = lambda _: None,
) -> Scored:
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
    fresh = {
        planned.key: replace(planned, evaluate=planner.evaluate_on(planned, test), confine=None) for planned in done
    }
    results: dict[str, StageResult] = {}
    run.env.progress = progress
    stages = Plan(tuple(fresh.values())).stages
    executor.execute(stages, run.env, lambda result: results.__setitem__(result.stage.key, result))
    for result in results.values():
        if result.state in ("failed", "skipped"):
            raise BenchkitError(f"season '{season.name}': {result.reason}")
    return _read_scored(run, public, season, fresh)


def _read_scored(run: FinishedRun, public: RunData, season: Season, fresh: Mapping[str, PlannedCell]) -> Scored:
    """Return the run with the figures of the season in place of the public ones; rows without figures stay."""

    def read_record(cell: str) -> dict[str, np.ndarray]:
        evaluate = fresh[cell].evaluate
        assert evaluate is not None  # `score_season` takes no other cell
        return evaluate.measured(run.env)

    lines, names = [], {}
    for line in public.rows.to_dict("records"):
        own = {str(name): value for name, value in line.items() if not is_metric(str(name))}
        own |= {"test_set": f"season {season.name}", "test_images": season.count}
        if (planned := fresh.get(line["cell"])) is not None:
            figures, counts, _ = read_row(planned, run.env)
            own |= {name: math.nan if value is None else value for name, value in figures.items()}
            names[line["cell"]] = [hide_paths(str(name)) for name in counts["image"]]
        lines.append(own)
    records = ReadWhenUsed(read_record, names)
    return Scored(RunData(run.id, public.grid, public.environment, pd.DataFrame(lines), records), names)
