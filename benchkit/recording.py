"""From finished stages to a cell's row in the result store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from benchkit.environment import threads
from benchkit.executors.batch import Done
from benchkit.executors.mending import mended
from benchkit.metrics.counts import COUNTS, Measured
from benchkit.metrics.registry import by_kind
from benchkit.plan import Plan, PlannedCell
from benchkit.stages.base import Env
from benchkit.stages.train import Train
from benchkit.store.artifacts import json_from_bytes
from benchkit.store.results import ResultStore


@dataclass
class Recorder:
    """Brings cells up to date as their stages end, so that an interrupted run shows what it has."""

    run: str
    env: Env
    results: ResultStore
    environment: Mapping[str, Any]
    cells: Sequence[PlannedCell]
    ended: dict[str, Done] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers: dict[str, list[PlannedCell]] = {}
        for planned in self.cells:
            for stage in planned.stages:
                self.readers.setdefault(stage.key, []).append(planned)

    def note(self, done: Done) -> None:
        """Hear of a stage that ended, and record the cells that this completes."""
        self.ended[done.stage.key] = done
        for planned in self.readers.get(done.stage.key, ()):
            if all(stage.key in self.ended for stage in planned.stages):
                _record(planned, self.run, self.env, self.results, self.ended, self.environment)


def _record(
    planned: PlannedCell,
    run: str,
    env: Env,
    results: ResultStore,
    ended: Mapping[str, Done],
    environment: Mapping[str, Any],
) -> None:
    """Store one cell's state and row, now that its stages have ended."""
    broken = next((done for s in planned.stages if (done := ended[s.key]).state in ("failed", "skipped")), None)
    if broken is not None:
        results.set_state(run, planned.key, "failed", reason=broken.reason)
        return
    row, counts, measured = mended(lambda: _row(planned, env), planned.stages, env)
    results.save_row(planned.key, row, counts, measured, provenance={**environment, "threads": threads()})
    seconds = sum(ended[s.key].seconds for s in _closure(planned) if s.key in ended)
    results.set_state(run, planned.key, "done", seconds=seconds)


def _row(planned: PlannedCell, env: Env) -> tuple[dict[str, Any], pd.DataFrame, dict[str, np.ndarray]]:
    """A finished cell's metrics, its per-image counts, and its histograms with them."""
    assert planned.evaluate is not None
    facts = json_from_bytes(env.store.open(planned.evaluate.key).read("row.json"))
    measured = planned.evaluate.measured(env)
    counts = pd.DataFrame({"image": facts["ids"], **{name: measured[f"table:{name}"] for name in COUNTS}})
    kinds = by_kind(replace(Measured.from_arrays(measured), threshold=facts["threshold"]))
    row = {
        **facts["row"],
        **kinds,
        **facts["coverage"],
        "threshold": facts["threshold"],
        **_training_facts(planned, env),
    }
    return row, counts, measured


def _training_facts(planned: PlannedCell, env: Env) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    assert planned.evaluate is not None
    train = planned.evaluate.predictor
    if isinstance(train, Train):
        meta = env.meta(train)
        facts |= {"train_images": meta["images"], "dropped": meta["dropped"], "train_prevalence": meta["prevalence"]}
    if planned.confine is not None:
        select = env.meta(planned.confine.select)
        facts |= {"selected_area": select["area"], "selector_threshold": select["threshold"]}
        summary = json_from_bytes(env.store.open(planned.confine.key).read("confinement.json"))
        facts |= {f"confinement_{name}": value for name, value in summary.items()}
    return facts


def _closure(planned: PlannedCell) -> Sequence[Any]:
    return Plan((planned,)).stages
