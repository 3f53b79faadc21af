"""Check the figures of a board that is read, which may be anybody's: numbers in their ranges, and bounds in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.metrics import PRIMARY
from benchkit.report.aggregate import AT_VALIDATION
from benchkit.report.columns import BASELINES, RANKINGS, VERDICTS, delta_columns, rank_columns
from benchkit.report.format_values import known, short_reason
from benchkit.statistics.verdict import Verdict

#: Counts (seeds, images, ranks) are not larger.
MOST = 10**9
COUNTS = ("seeds", "planned_seeds")
#: What became of a row's cells.
RowState = Literal["done", "partial", "failed", "skipped", "pending"]
#: A value, its lower and its upper bound.
_DELTAS = [delta_columns(ranking, base)[:3] for ranking in RANKINGS for base in BASELINES]
_INTERVALS = [(ranking, f"{ranking}_low", f"{ranking}_high") for ranking in RANKINGS]
_RANKS = [rank_columns(ranking) for ranking in RANKINGS]
#: Column -> the least and the largest value. Bounds of schema 1 may lie outside of [0, 1].
RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys((*RANKINGS, AT_VALIDATION, "floor", f"{PRIMARY}_std"), (0, 1)),
    **{bound: (-1, 2) for _, *bounds in _INTERVALS for bound in bounds},
    **{value: (-1, 1) for value, *_ in _DELTAS},
    **{bound: (-2, 2) for _, *bounds in _DELTAS for bound in bounds},
    **{delta_columns(ranking, base)[3]: (0, 1) for ranking in RANKINGS for base in BASELINES},
    **{column: (1, MOST) for columns in _RANKS for column in columns},
    **dict.fromkeys((*COUNTS, "images"), (0, MOST)),
}
_WORDS = {**dict.fromkeys(VERDICTS, get_args(Verdict)), "state": get_args(RowState)}


def check_figures(columns: Mapping[str, NDArray[Any]], where: str) -> None:
    """Raise BenchkitError for the first value of a row that is no number of its column's range, or no known word.

    columns: as they were read, `training_set` among them, which names the row. where: names the board.
    """
    for column, number, message in _find_faults(columns):
        name = short_reason(str(columns["training_set"][number]))
        raise BenchkitError(f"{where}: not a board: row '{name}': '{column}' {message}")


def _find_faults(columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, int, str]]:
    """Yield column, number of the row, and what is wrong."""
    numbers: dict[str, NDArray[np.float64]] = {}
    for name in (name for name in RANGES if name in columns):
        own, (least, most) = columns[name], RANGES[name]
        if own.dtype in (object, bool):
            for i, value in enumerate(own):
                if isinstance(value, str | bool | np.bool_):
                    yield name, i, f"is {short_reason(repr(value))}, not a number"
        numbers[name] = values = np.asarray(pd.to_numeric(own, errors="coerce"), np.float64)
        for row_number in np.flatnonzero((values < least) | (values > most)).tolist():
            yield name, row_number, f"is {values[row_number]:g}, not between {least:,} and {most:,}"
        if name in COUNTS:
            for row_number in np.flatnonzero(values % 1 > 0).tolist():
                yield name, row_number, f"is {values[row_number]:g}, not a whole number"
    for _, low, high in (*_INTERVALS, *_DELTAS, *_RANKS):
        if low in numbers and high in numbers:
            for row_number in np.flatnonzero(numbers[low] > numbers[high]).tolist():
                yield low, row_number, f"is {numbers[low][row_number]:g}, above '{high}': {numbers[high][row_number]:g}"
    for name, words in _WORDS.items():
        texts = columns.get(name, ())
        for value in dict.fromkeys(texts):
            if known(value) and value not in words:
                yield name, list(texts).index(value), f"is {short_reason(repr(value))}, none of {', '.join(words)}"
