"""Aggregate cell results, one per seed, into the rows of a board, which this package calls lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchkit.errors import BenchkitError
from benchkit.metrics import PRIMARY
from benchkit.report.curves import average_curves
from benchkit.report.format_values import known, listed
from benchkit.report.frames import line_records
from benchkit.store.columns import RARE_SETTINGS, ROW_COLUMNS, SETTINGS

#: What makes rows of several seeds one line: all that a row is, except its seed.
KEY = (
    *("test_set", "detector", "selector", "role", "method", "corruptor", "corruptor_params", "inverter"),
    *("source_name", "variant"),
)
#: Numbers that are read from a line's other settings, so that each is a column: inversion steps, training iterations.
DERIVED = ("steps", "iterations")
#: IoU and F1 of the same counts are functions of each other; rows contain the second one.
AT_VALIDATION, F1_AT_VALIDATION = "artifact_iou_validation_threshold", "f1_validation_threshold"
#: What else the rows of a line have in common.
_COMMON = ("training_set", *SETTINGS)
_NEEDED = ("training_set", *ROW_COLUMNS)
#: A line without any finished seed has the state of the first of these that one of its cells is in.
_UNFINISHED = ("failed", "pending", "skipped")


def aggregate_rows(rows: pd.DataFrame, is_metric: Callable[[str], bool]) -> pd.DataFrame:
    """Return one line per KEY in the rows' order.

    Columns: labels, settings, DERIVED, state, reason, seeds, planned_seeds; metrics as mean and NAME_std (with n - 1),
    undefined where any seed's is; other numbers as the mean of those known (`still_climbing`: the fraction of seeds);
    seconds as their sum; `curve`: the mean learning curve, see benchkit.report.curves. `cells` contains the finished
    cells' keys by seed, `failed` the seeds that failed or were skipped. Raises BenchkitError for a frame without the
    columns of a row.
    """
    if missing := [name for name in _NEEDED if name not in rows]:
        raise BenchkitError(f"these rows do not come from a run: the column '{missing[0]}' is missing")
    columns = [str(name) for name in rows if name not in (*_NEEDED, *RARE_SETTINGS, "curve")]
    numbers = {name: _to_floats(rows[name]) for name in columns}
    numbers = {name: values for name, values in numbers.items() if is_metric(name) or not np.isnan(values).all()}
    if F1_AT_VALIDATION in numbers:
        f1 = numbers[F1_AT_VALIDATION]  # rows of earlier versions have F1 alone
        numbers[AT_VALIDATION] = np.where(np.isnan(f1), numbers.get(AT_VALIDATION, f1), f1 / (2 - f1))
    values = np.array([*numbers.values()]).reshape(len(numbers), len(rows))
    metrics = {name: is_metric(name) for name in numbers}
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for place, key in enumerate(zip(*(rows[name] for name in KEY), strict=True)):
        groups.setdefault(tuple(str(part) if known(part) else None for part in key), []).append(place)
    if not groups:
        raise BenchkitError("a run without cells has no board")
    result = pd.DataFrame([_make_line(rows.iloc[own], values.take(own, axis=1), metrics) for own in groups.values()])
    return result if PRIMARY in result else result.assign(**{PRIMARY: np.nan, f"{PRIMARY}_std": np.nan})


def _to_floats(column: pd.Series) -> np.ndarray:
    return (column if column.dtype == float else pd.to_numeric(column, errors="coerce").astype(float)).to_numpy()


def _make_line(cells: pd.DataFrame, numbers: np.ndarray, metrics: Mapping[str, bool]) -> dict[str, Any]:
    done = (cells["state"] == "done").to_numpy()
    finished = {int(seed): str(key) for seed, key in zip(cells["seed"][done], cells["cell"][done], strict=True)}
    failed = frozenset(map(int, cells.loc[cells["state"].isin(("failed", "skipped")), "seed"]))
    first = line_records(cells.head(1))[0]
    common = (*KEY, *_COMMON, *(name for name in RARE_SETTINGS if name in cells))
    labels: dict[str, Any] = {name: first[name] if known(first[name]) else None for name in common}
    parameters = read_object(labels["corruptor_params"])
    labels["corruptor_params"] = json.dumps(parameters, sort_keys=True) if parameters else None
    # The network of a human row is trained as those of learned selectors are.
    training = read_object(labels["training"]) or read_object(labels["selector_training"])
    trained = labels["role"] != "trivial"
    summary = {
        "steps": parameters.get("steps"),
        "iterations": training.get("iterations") if trained else None,
        "state": _summarise_states(cells["state"].tolist()),
        "reason": _list_reasons(cells.loc[~done, "state"], cells.loc[~done, "reason"]),
        "seeds": len(finished),
        "planned_seeds": cells["seed"].nunique(),
        "seconds": float(pd.to_numeric(cells["seconds"], errors="coerce").sum()),
        "cells": finished,
        "curve": average_curves(cells.loc[done, "curve"]) if "curve" in cells else None,
        "failed": failed,
    }
    return {**labels, **summary, **_average(numbers.compress(done, axis=1), metrics)}


def _average(values: np.ndarray, metrics: Mapping[str, bool]) -> dict[str, float]:
    """Return means and, of metrics, standard deviations of values (columns, seeds); metrics: column -> whether."""
    present, number = ~np.isnan(values), values.shape[1]
    counted = np.where([*metrics.values()], present.all(axis=1) * number, present.sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counted > 0, np.nansum(values, axis=1) / counted, np.nan)
        squares = ((values - means[:, None]) ** 2).sum(axis=1)
        spread = np.sqrt(squares / (number - 1)) if number > 1 else means * np.nan
    line: dict[str, float] = {}
    for name, mean, deviation, is_metric in zip(metrics, means, spread, metrics.values(), strict=True):
        line[name] = float(mean)
        if is_metric:
            line[f"{name}_std"] = float(deviation)
    return line


def _summarise_states(states: list[str]) -> str:
    if "done" in states:
        return "done" if set(states) == {"done"} else "partial"
    return next((state for state in _UNFINISHED if state in states), states[0])


def _list_reasons(states: Iterable[Any], reasons: Iterable[Any]) -> str | None:
    """Return why cells did not finish, each different reason once."""
    pairs = zip(states, reasons, strict=True)
    return listed(f"{state}: {why}" if known(why) else str(state) for state, why in pairs) or None


def read_object(value: Any) -> dict[str, Any]:
    """Return a JSON object, given as such or as text that may be anybody's; empty where it is none."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {}
    return dict(found) if isinstance(found, dict) else {}
