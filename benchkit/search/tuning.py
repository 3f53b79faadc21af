"""Searches for a corruptor's parameters on validation data, with the same budget for every method.

The test split is neither planned nor read: a trial is scored on the validation split instead.
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

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.executors.batch import Executor, StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.repair_artifacts import read_repaired
from benchkit.metrics import PRIMARY
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.look_plan import refuse_looks
from benchkit.planning.plan import Plan
from benchkit.planning.planner import Planner
from benchkit.planning.preflight.check_grids import check_images
from benchkit.plugin.registry import Registry
from benchkit.runs.run import find_model, log_remarks
from benchkit.search.search_space import Choices, Range, Space, rounded
from benchkit.search.trials import Search, Trial, describe_space
from benchkit.specs.faults import Collector, Fault, FaultsError
from benchkit.specs.grammar import Scalar
from benchkit.specs.keys import digest
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Stage
from benchkit.stages.images import Images, Latents
from benchkit.store.artifacts import CacheUnwritable, parse_json

if TYPE_CHECKING:
    import optuna

STORAGE = "trials.sqlite"


class TrialFailedError(Exception):
    """A trial has no figure; the message gives the reason."""


class CannotExecute(BenchkitError):
    """Nothing can be run, for example because no worker process starts; the trial is not the cause."""


#: A complete Spec's score, higher is better; raises TrialFailedError or BenchkitError where there is none.
Objective = Callable[[Spec], float]


#: Settings of a trial's grid that replace the base's.
REPLACED = ("corruptors", "with_human", "baselines", "trivial", "test", "oracle")


def make_trial_grid(base: Grid, corruptor: Spec) -> Grid:
    """Return the grid of one trial: only the corruptor's rows, scored on the validation split, without the test split.

    Raises FaultsError for a base without validation data, or whose validation or training images are test images.
    """
    if unfit := list(_unfit_for_tuning(base)):
        raise FaultsError(unfit)
    return _rows_of(base, [corruptor]).replaced(test=base.validation, validation=None)


def _rows_of(base: Grid, corruptors: Sequence[Spec]) -> Grid:
    return base.replaced(corruptors=corruptors, with_human=[], baselines=[], trivial=[], oracle=None)


def _unfit_for_tuning(base: Grid) -> Iterator[Fault]:
    """Yield the reasons why a grid's sets cannot be used in a search."""
    if base.validation is None:
        yield Fault("tuning needs validation data", "add 'validation: {split: …, size: …}' to the grid")
    if base.sources:
        yield Fault("tuning takes one source", "write 'source: {split: …, size: …}' in place of 'sources'")
    elif base.source.size is None:
        yield Fault("tuning states its budget", "give the grid's source a size", {"source.size": 64})
    for name, used in {"validation": base.validation, "source": base.source}.items():
        if used is not None and used.split == base.test.split:
            yield Fault(f"{name}.split is '{used.split}', the test split, which tuning must not see", "name another")


def check_search(base: Grid, corruptors: Sequence[Spec], registry: Registry, progress: Callable[[str], None]) -> None:
    """Raise FaultsError with every fault of these trials that can be known before work; no test image is read."""
    refuse_looks(base, "a search")
    found = Collector()
    found.add(*_unfit_for_tuning(base))
    with found.collecting():
        check_images([("", _rows_of(base, corruptors))], registry, progress, test=False)
    # Tuning needs validation images.
    settings = ({k: v for k, v in fault.settings.items() if k != "validation"} for fault in found.faults)
    found.faults = [replace(fault, settings=own) for fault, own in zip(found.faults, settings, strict=True)]
    found.check()
    log_remarks([base], registry)


def make_trial_plan(base: Grid, corruptor: Spec, registry: Registry) -> Plan:
    """Return the plan of one trial; raises BenchkitError if one of its stages would read the test split."""
    grid = make_trial_grid(base, corruptor)
    whole = Planner(grid, registry, find_model(grid)).plan()
    # A search does not use confinement, which would cost a round trip at every number of steps.
    plan = Plan(tuple(replace(cell, confine=None) for cell in whole.cells))
    for stage in plan.stages:
        if isinstance(stage, Images | Latents) and stage.source.split == base.test.split:
            raise BenchkitError(f"'{stage.describe()}' reads the test split '{base.test.split}': tuning must not")
    if skipped := [cell.skip for cell in plan.cells if cell.skip]:
        raise BenchkitError(f"cannot tune: {skipped[0]}")
    return plan


def budget(base: Grid, trials: int, registry: Registry) -> dict[str, int | None]:
    """Return the budget of every method: trials, trainings per trial, their iterations, and source images.

    training_iterations: of one training; None if the detectors have different numbers.
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
    """The objective of a search: mean pooled artifact IoU on validation images, over detectors, rows and seeds."""

    base: Grid
    registry: Registry
    env: Env
    executor: Executor = field(default_factory=Inline)
    report: Callable[[StageResult], None] = lambda _: None

    def __call__(self, spec: Spec) -> float:
        """Run the trial's missing stages and return its figure."""
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
    """Runs searches of one or more corruptors. With `out`, trials are kept there and a search can be resumed.

    trials: of every corruptor, failed ones included. seed: of the sampler; trial n depends only on (seed, n) and the
    trials before it, so a resumed search gives the same trials. retry_failed: first score each failed trial again, in
    its own place. report: called with a line for each trial.
    """

    trials: int
    seed: int = 0
    out: Path | None = None
    retry_failed: bool = False
    report: Callable[[str], None] = field(default=lambda _: None)

    def search(self, corruptor: Spec, space: Space, objective: Objective, config: Mapping[str, Any]) -> Search:
        """Run the missing trials; config: must be equal when a search is resumed.

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
        """Return the kept search; raises BenchkitError if `out` contains another search of this corruptor."""
        import optuna

        key = digest({**config, "space": describe_space(space), "seed": self.seed})
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
        """Ask for one trial, score it, and keep the result."""
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
        """Score a failed trial again; the result replaces it, unless the attempt is interrupted."""
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
        """Return a trial's figure and its other facts: seconds, and the reason if there is no figure."""
        self.report(f"trial {number + 1} of {self.trials}: {spec}")
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
    """Return the trials that ended, in order, the last try of each; interrupted ones are not among them."""
    ended = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE" or "reason" in t.user_attrs]
    firsts = [trial for trial in ended if _INSTEAD_OF not in trial.user_attrs]
    later = {trial.user_attrs[_INSTEAD_OF]: trial for trial in ended if _INSTEAD_OF in trial.user_attrs}
    return [later.get(number, first) for number, first in enumerate(firsts)]


def _requeue(study: optuna.Study) -> None:
    """Queue the trials that an interruption cut off, unless they wait already."""
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


def describe_search(base: Grid, corruptor: Spec, registry: Registry) -> dict[str, Any]:
    """Return what determines a trial's figure beside its parameters: the trial's grid and the plugin's identity."""
    return {**make_trial_grid(base, corruptor).as_data(), "identity": registry.identity(registry.complete(corruptor))}
