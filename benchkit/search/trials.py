"""Trials of searches: what each was and scored, and the files that record them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.metrics import PRIMARY
from benchkit.search.search_space import Space
from benchkit.specs.spec import Spec
from benchkit.system.files import write_atomic

FILES = ("trials.csv", "trials.json")
SCHEMA = 1


@dataclass(frozen=True)
class Trial:
    """One trial: its Spec, its figure or the reason why there is none, and its seconds."""

    number: int
    spec: Spec
    value: float | None
    reason: str | None
    seconds: float


@dataclass(frozen=True)
class Search:
    """A finished search of one corruptor: its trials in order. resumed: how many were kept from before."""

    corruptor: Spec
    space: Space
    trials: tuple[Trial, ...]
    resumed: int = 0

    @property
    def best(self) -> Trial | None:
        """The first trial with the highest figure; None if every trial failed."""
        done = [trial for trial in self.trials if trial.value is not None]
        return max(done, key=lambda trial: trial.value or 0.0, default=None)


def describe_space(space: Space) -> dict[str, str]:
    """Return the text of each parameter's range or choices."""
    return {key: str(part) for key, part in space.items()}


def as_json(searches: Sequence[Search], spent: Mapping[str, int | None], base: Grid, seed: int) -> dict[str, Any]:
    """Return the searches as plain data: budget, validation images, best Spec, every trial."""
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
                "space": describe_space(search.space),
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
    from benchkit.report.render_board import csv_text, json_text

    lines = [{"corruptor": str(search.corruptor), **line} for search in searches for line in _records(search)]
    names = list(dict.fromkeys(name for line in lines for name in line))
    try:
        write_atomic(out / "trials.csv", csv_text(pd.DataFrame(lines, columns=names)).encode("utf-8", "replace"))
        write_atomic(out / "trials.json", json_text(dict(plain)).encode("utf-8", "replace"))
    except OSError as error:
        raise BenchkitError(f"cannot write the trials to `out` '{out}': {error.strerror or error}") from None
