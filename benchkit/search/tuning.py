"""A search for a corruptor's parameters on validation data: the same stated budget for every method.

The test split is neither planned nor read here: a trial's grid is scored on the validation split in its place.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.executors.batch import Executor, StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.repair import read_repaired
from benchkit.metrics import PRIMARY
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.planner import Plan, Planner
from benchkit.planning.preflight.check import check_images
from benchkit.plugin.registry import Registry
from benchkit.runs.run import find_model, log_remarks
from benchkit.search.search_space import Choices, Range, Space, rounded
from benchkit.specs.faults import Collector, Fault, FaultsError
from benchkit.specs.grammar import Scalar
from benchkit.specs.keys import digest
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Stage
from benchkit.stages.images import Images, Latents
from benchkit.store.artifacts import CacheUnwritable, parse_json
from benchkit.system.files import write_atomic

if TYPE_CHECKING:
    import optuna

STORAGE = "trials.sqlite"
FILES = ("trials.csv", "trials.json")
SCHEMA = 1


class TrialFailedError(Exception):
    """A trial without a figure; the message says why."""


class CannotExecute(BenchkitError):
    """Nothing can be run at all, such as where no worker process starts; no fault of the trial's."""


#: A complete Spec's score, higher is better; raises TrialFailedError or BenchkitError where there is none.
Objective = Callable[[Spec], float]


@dataclass(frozen=True)
class Trial:
    """One trial: the Spec that was scored, its figure or why there is none, and the seconds it took."""

    number: int
    spec: Spec
    value: float | None
    reason: str | None
    seconds: float


@dataclass(frozen=True)
class Search:
    """A finished search of one corruptor: its trials in order, and how many of them were there before."""

    corruptor: Spec
    space: Space
    trials: tuple[Trial, ...]
    resumed: int = 0

    @property
    def best(self) -> Trial | None:
        """The first of the trials with the highest figure; None where every trial failed."""
        done = [trial for trial in self.trials if trial.value is not None]
        return max(done, key=lambda trial: trial.value or 0.0, default=None)


#: What a trial's grid has in the place of the base's.
REPLACED = ("corruptors", "with_human", "baselines", "trivial", "test", "oracle")


def make_trial_grid(base: Grid, corruptor: Spec) -> Grid:
    """The grid of one trial: the corruptor's rows alone, scored on the validation split; the test split is not in it.

    Raises FaultsError for a base without validation data, or whose validation or training images are test images.
    """
    if unfit := list(_unfit_for_tuning(base)):
        raise FaultsError(unfit)
    return _rows_of(base, [corruptor]).replaced(test=base.validation, validation=None)


def _rows_of(base: Grid, corruptors: Sequence[Spec]) -> Grid:
    return base.replaced(corruptors=corruptors, with_human=[], baselines=[], trivial=[], oracle=None)


def _unfit_for_tuning(base: Grid) -> Iterator[Fault]:
    """Why a grid's sets cannot serve a search."""
    if base.validation is None:
        yield Fault("tuning needs validation data", "add 'validation: {split: …, size: …}' to the grid")
    if base.sources:
        yield Fault("tuning takes one source", "write 'source: {split: …, size: …}' in the place of 'sources'")
    elif base.source.size is None:
        yield Fault("tuning states its budget", "give the grid's source a size", {"source.size": 64})
    for name, used in {"validation": base.validation, "source": base.source}.items():
        if used is not None and used.split == base.test.split:
            yield Fault(f"{name}.split is '{used.split}', the test split, which tuning must not see", "name another")


def check_search(base: Grid, corruptors: Sequence[Spec], registry: Registry, progress: Callable[[str], None]) -> None:
    """Raise FaultsError with every fault of these trials that can be known before; no test image is read."""
    found = Collector()
    found.add(*_unfit_for_tuning(base))
    with found.collecting():
        check_images([("", _rows_of(base, corruptors))], registry, progress, test=False)
    # To go without validation images is no way out here.
    settings = ({k: v for k, v in fault.settings.items() if k != "validation"} for fault in found.faults)
    found.faults = [replace(fault, settings=own) for fault, own in zip(found.faults, settings, strict=True)]
    found.check()
    log_remarks([base], registry)


def make_trial_plan(base: Grid, corruptor: Spec, registry: Registry) -> Plan:
    """The plan of one trial; raises BenchkitError where a stage of it would read the test split."""
    grid = make_trial_grid(base, corruptor)
    whole = Planner(grid, registry, find_model(grid)).plan()
    # How far a corruption strays tells a search nothing, and would cost a round trip at every depth.
    plan = Plan(tuple(replace(cell, confine=None) for cell in whole.cells))
    for stage in plan.stages:
        if isinstance(stage, Images | Latents) and stage.source.split == base.test.split:
            raise BenchkitError(f"'{stage.describe()}' reads the test split '{base.test.split}': tuning must not")
    if skipped := [cell.skip for cell in plan.cells if cell.skip]:
        raise BenchkitError(f"cannot tune: {skipped[0]}")
    return plan


def budget(base: Grid, trials: int, registry: Registry) -> dict[str, int | None]:
    """What every method may spend: trials, and of each the trainings, their iterations and the source images.

    training_iterations: of one training; None where the detectors have different numbers.
    """
    settings = DetectorSettings(base, registry)
    rows = len(base.selectors) * len(base.every_inverter)
    detectors = list(map(registry.complete, base.detectors))
    trainings = [len(settings.seeds(one)) * rows for one in detectors]
    iterations = [settings.training(one).iterations for one in detectors]
    return {
        "trials": trials,
        "trainings_per_trial": sum(trainings),
        "training_iterations": iterations[0] if len(set(iterations)) == 1 else None,
        "sources": base.source.size or 0,
        "total_training_iterations": trials * sum(map(operator.mul, trainings, iterations)),
    }


@dataclass
class Scorer:
    """The objective of a real search: mean pooled artifact IoU on validation images, over rows and seeds."""

    base: Grid
    registry: Registry
    env: Env
    executor: Executor = field(default_factory=Inline)
    report: Callable[[StageResult], None] = lambda _: None

    def __call__(self, spec: Spec) -> float:
        """Run what the trial lacks; finished stages are never computed again."""
        plan = make_trial_plan(self.base, spec, self.registry)
        ended: list[StageResult] = []

        def note(done: StageResult) -> None:
            ended.append(done)
            self.report(done)

        try:
            self.executor.execute(plan.stages, self.env, note)
        except CacheUnwritable:
            raise
        except BenchkitError as error:
            raise CannotExecute(str(error)) from None
        if failed := [done.reason for done in ended if done.state == "failed"]:
            raise TrialFailedError(failed[0] or "a stage failed")
        stages = [cell.evaluate for cell in plan.cells if cell.evaluate is not None]
        rows = read_repaired(lambda: [self._row(stage) for stage in stages], stages, self.env)
        values: dict[Spec | None, list[float]] = {}
        for cell, row in zip(plan.cells, rows, strict=True):
            values.setdefault(cell.cell.detector, []).append(
                math.nan if row.get(PRIMARY) is None else float(row[PRIMARY])
            )
        # Detectors count alike, however many seeds each has.
        return fmean(fmean(own) for own in values.values())

    def _row(self, stage: Stage) -> Mapping[str, Any]:
        row: Mapping[str, Any] = parse_json(self.env.store.open(stage.key).read("row.json"))["row"]
        return row


@dataclass
class Tuner:
    """Searches of one or more corruptors, kept in `out` where one is named, and so resumable.

    trials: of every corruptor, failed ones included. seed: of the sampler; trial n draws from (seed, n) and the trials
    before it alone, so that a resumed search goes on as if it had never stopped. retry_failed: first score once more,
    in its own place, each trial that failed before.
    """

    trials: int
    seed: int = 0
    out: Path | None = None
    retry_failed: bool = False
    told: Callable[[str], None] = field(default=lambda _: None)

    def search(self, corruptor: Spec, space: Space, objective: Objective, config: Mapping[str, Any]) -> Search:
        """Run the trials that are still lacking; config: what a resumed search must have in common with the first.

        Raises BenchkitError where `out` holds another search of this corruptor.
        """
        study = self.study(corruptor, space, config)
        finished = _finished(study)
        _requeue(study)
        for number, found in enumerate(finished[: self.trials]):
            if self.retry_failed and found.value is None:
                self._again(study, number, found, corruptor, space, objective)
        for number in range(len(finished), self.trials):
            self._one(study, number, corruptor, space, objective)
        made = tuple(_trial(i, corruptor, space, found) for i, found in enumerate(_finished(study)[: self.trials]))
        return Search(corruptor, space, made, min(len(finished), self.trials))

    def study(self, corruptor: Spec, space: Space, config: Mapping[str, Any]) -> optuna.Study:
        """The search as it was kept so far; raises BenchkitError where `out` holds another one of this corruptor."""
        import optuna

        key = digest({**config, "space": _plain(space), "seed": self.seed})
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = None if self.out is None else f"sqlite:///{(self.out / STORAGE).resolve()}"
        try:
            study = optuna.create_study(
                storage=storage, study_name=str(corruptor), direction="maximize", load_if_exists=True
            )
        except Exception as error:  # whatever the database says
            text = " ".join(str(error).split())[:200]
            raise BenchkitError(f"cannot keep trials in `out` '{self.out}': {text}; name another folder") from None
        if study.user_attrs.setdefault("config", key) != key:
            raise BenchkitError(
                f"`out` '{self.out}' holds another search of '{corruptor}' (other grid, `space` or `sampler_seed`): "
                "name another folder"
            )
        study.set_user_attr("config", key)
        return study

    def _one(self, study: optuna.Study, number: int, corruptor: Spec, space: Space, objective: Objective) -> None:
        """Ask for one trial, score it, and keep what came of it."""
        import numpy as np
        import optuna

        own = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=own)
        asked = study.ask({key: _distribution(part) for key, part in space.items()})
        value, attributes = self._scored(number, _spec(corruptor, space, asked.params), objective)
        for name, attribute in attributes.items():
            asked.set_user_attr(name, attribute)
        if value is None:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(asked, value)

    def _again(
        self,
        study: optuna.Study,
        number: int,
        found: optuna.trial.FrozenTrial,
        corruptor: Spec,
        space: Space,
        objective: Objective,
    ) -> None:
        """Score a trial that failed once more; what comes of it stands in its place, and an interruption leaves it."""
        import optuna

        value, attributes = self._scored(number, _spec(corruptor, space, found.params), objective)
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=value,
                params=found.params,
                distributions=found.distributions,
                user_attrs={**attributes, _INSTEAD_OF: number},
            )
        )

    def _scored(self, number: int, spec: Spec, objective: Objective) -> tuple[float | None, dict[str, Any]]:
        """A trial's figure, and what else is kept of it: the seconds it took, and why there is no figure."""
        self.told(f"trial {number + 1} of {self.trials}: {spec}")
        began, reason, value = time.monotonic(), None, math.nan
        try:
            value = objective(spec)
            reason = None if math.isfinite(value) else "the figure is not a finite number"
        except (CacheUnwritable, CannotExecute):  # no fault of this trial's
            raise
        except (BenchkitError, TrialFailedError) as error:
            reason = " ".join(str(error).split())
        except Exception as error:  # a plugin's own
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        seconds = {"seconds": time.monotonic() - began}
        return (value, seconds) if reason is None else (None, {**seconds, "reason": reason})


#: Marks a trial that was scored once more, and says in whose place it stands.
_INSTEAD_OF = "instead_of"


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that have ended by themselves, in order, the last try of each; what was cut off is not among them."""
    ended = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE" or "reason" in t.user_attrs]
    firsts = [trial for trial in ended if _INSTEAD_OF not in trial.user_attrs]
    later = {trial.user_attrs[_INSTEAD_OF]: trial for trial in ended if _INSTEAD_OF in trial.user_attrs}
    return [later.get(number, first) for number, first in enumerate(firsts)]


def _requeue(study: optuna.Study) -> None:
    """Ask first for what an interrupted search was at, unless that is waiting already."""
    import optuna

    for cut in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(cut.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(cut.params, skip_if_exists=False)


def _distribution(part: Range | Choices) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(part, Choices):
        return CategoricalDistribution(part.values)
    if part.whole:
        return IntDistribution(int(part.low), int(part.high))
    return FloatDistribution(part.low, part.high, log=part.log)


def _spec(corruptor: Spec, space: Space, params: Mapping[str, Scalar]) -> Spec:
    found = {key: rounded(value, space[key]) for key, value in params.items()}
    return Spec.of(corruptor.kind, corruptor.name, **{**corruptor.values, **found})


def _trial(number: int, corruptor: Spec, space: Space, found: optuna.trial.FrozenTrial) -> Trial:
    value = None if found.value is None else float(found.value)
    spec = _spec(corruptor, space, found.params)
    return Trial(number, spec, value, found.user_attrs.get("reason"), float(found.user_attrs.get("seconds", 0.0)))


def _plain(space: Space) -> dict[str, str]:
    return {key: str(part) for key, part in space.items()}


def describe_search(base: Grid, corruptor: Spec, registry: Registry) -> dict[str, Any]:
    """What decides a trial's figure beside its parameters: the trial's grid and the plugin's identity."""
    return {**make_trial_grid(base, corruptor).as_data(), "identity": registry.identity(registry.complete(corruptor))}


def as_json(searches: Sequence[Search], spent: Mapping[str, int | None], base: Grid, seed: int) -> dict[str, Any]:
    """The searches as plain data: the budget that each had, where it was scored, the best Spec, every trial."""
    held = base.validation
    return {
        "schema": SCHEMA,
        "metric": PRIMARY,
        "dataset": str(base.dataset),
        "validation": None if held is None else held.model_dump(mode="json"),
        "budget": dict(spent),
        "sampler": {"name": "TPE", "seed": seed},
        "searches": [
            {
                "corruptor": str(search.corruptor),
                "space": _plain(search.space),
                "best": None if search.best is None else str(search.best.spec),
                PRIMARY: None if search.best is None else search.best.value,
                "resumed": search.resumed,
                "trials": list(_records(search)),
            }
            for search in searches
        ],
    }


def _records(search: Search) -> Iterator[dict[str, Any]]:
    for trial in search.trials:
        yield {
            "trial": trial.number,
            "spec": str(trial.spec),
            "state": "failed" if trial.value is None else "done",
            PRIMARY: trial.value,
            "reason": trial.reason,
            "seconds": round(trial.seconds, 3),
            **{key: trial.spec.values[key] for key in search.space},
        }


def write_trials(searches: Sequence[Search], plain: Mapping[str, Any], out: Path) -> None:
    """Write FILES: every trial of every search as CSV, and all that `as_json` gave."""
    from benchkit.report.tables import csv_text, json_text

    lines = [{"corruptor": str(search.corruptor), **line} for search in searches for line in _records(search)]
    names = list(dict.fromkeys(name for line in lines for name in line))
    try:
        write_atomic(out / "trials.csv", csv_text(pd.DataFrame(lines, columns=names)).encode("utf-8", "replace"))
        write_atomic(out / "trials.json", json_text(dict(plain)).encode("utf-8", "replace"))
    except OSError as error:
        raise BenchkitError(f"cannot write the trials to `out` '{out}': {error.strerror or error}") from None
