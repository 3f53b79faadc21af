"""Rows, a line per cell, to lines of a board: the seeds of one training set, selector and detector as one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchkit.errors import BenchkitError
from benchkit.metrics import PRIMARY
from benchkit.report.text import known, listed
from benchkit.store.results import ROW_COLUMNS
from benchkit.store.schema import SETTINGS

#: What makes rows of several seeds one line: all that a row is, but for its seed.
KEY = (
    *("test_set", "detector", "selector", "role", "method", "corruptor", "corruptor_params", "inverter"),
    *("source_name", "variant"),
)
#: What the rows of a line have in common beside.
_COMMON = ("training_set", *SETTINGS)
_NEEDED = ("training_set", *ROW_COLUMNS)
#: A line without any finished seed is called by the first of these that one of its cells is in.
_UNFINISHED = ("failed", "pending", "skipped")


def aggregated(rows: pd.DataFrame, is_metric: Callable[[str], bool]) -> pd.DataFrame:
    """One line per KEY in the rows' order: labels, settings, state, reason, seeds, planned_seeds, numbers over seeds.

    Metrics as mean and NAME_std (with n - 1), undefined where any seed's is; other numbers as the mean of those known;
    seconds as their sum. Column `cells` holds the finished cells' keys by seed. Raises BenchkitError for a frame
    without the columns of a row.
    """
    if lacking := [name for name in _NEEDED if name not in rows]:
        raise BenchkitError(f"these rows are no run's: they lack the column '{lacking[0]}'")
    columns = [str(name) for name in rows if name not in _NEEDED]
    numbers = {name: pd.to_numeric(rows[name], errors="coerce").astype(float) for name in columns}
    numbers = {name: values for name, values in numbers.items() if is_metric(name) or values.notna().any()}
    frame = pd.DataFrame(numbers, index=rows.index)
    metrics = [is_metric(name) for name in numbers]
    lines = [_line(rows.loc[where], frame.loc[where], np.array(metrics)) for where in _places(rows)]
    if not lines:
        raise BenchkitError("a run without cells has no board")
    result = pd.DataFrame(lines)
    return result if PRIMARY in result else result.assign(**{PRIMARY: np.nan, f"{PRIMARY}_std": np.nan})


def _places(rows: pd.DataFrame) -> list[list[Any]]:
    """The rows of each line, by index label."""
    found: dict[tuple[str | None, ...], list[Any]] = {}
    for where, *key in zip(rows.index, *(rows[name] for name in KEY), strict=True):
        found.setdefault(tuple(str(part) if known(part) else None for part in key), []).append(where)
    return list(found.values())


def _line(cells: pd.DataFrame, numbers: pd.DataFrame, metrics: np.ndarray) -> dict[str, Any]:
    done = (cells["state"] == "done").to_numpy()
    finished = {int(seed): str(key) for seed, key in zip(cells["seed"][done], cells["cell"][done], strict=True)}
    first = cells.iloc[0]
    labels: dict[str, Any] = {name: first[name] if known(first[name]) else None for name in (*KEY, *_COMMON)}
    labels["corruptor_params"] = _params(labels["corruptor_params"])
    summary = {
        "state": _state(cells["state"].tolist()),
        "reason": _reason(cells[~done]),
        "seeds": len(finished),
        "planned_seeds": cells["seed"].nunique(),
        "seconds": float(pd.to_numeric(cells["seconds"], errors="coerce").sum()),
        "cells": finished,
    }
    return {**labels, **summary, **_over_seeds(numbers[done], metrics)}


def _over_seeds(numbers: pd.DataFrame, metrics: np.ndarray) -> dict[str, float]:
    """Means and, of metrics, standard deviations of (seeds, columns)."""
    values = numbers.to_numpy()
    here = ~np.isnan(values)
    counted = np.where(metrics, here.all(axis=0) * len(values), here.sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counted > 0, np.nansum(values, axis=0) / counted, np.nan)
        spread = np.sqrt(((values - means) ** 2).sum(axis=0) / (len(values) - 1)) if len(values) > 1 else means * np.nan
    line: dict[str, float] = {}
    for name, mean, deviation, is_metric in zip(numbers, means, spread, metrics, strict=True):
        line[str(name)] = float(mean)
        if is_metric:
            line[f"{name}_std"] = float(deviation)
    return line


def _state(states: list[str]) -> str:
    if "done" in states:
        return "done" if set(states) == {"done"} else "partial"
    return next((state for state in _UNFINISHED if state in states), states[0])


def _reason(unfinished: pd.DataFrame) -> str | None:
    """Why cells did not finish, each different reason once."""
    if unfinished.empty:
        return None
    told = listed(
        f"{state}: {why}" if known(why) else str(state)
        for state, why in zip(unfinished["state"], unfinished["reason"], strict=True)
    )
    return told or None


def _params(value: Any) -> str | None:
    """A corruptor's parameters as canonical JSON text, None where it has none."""
    text = json.dumps(dict(value), sort_keys=True) if isinstance(value, dict) else value
    return None if not known(text) or text in ("", "{}") else str(text)
