"""The figures by kind of artifact: a board has a hundred columns of them, few rows show theirs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.leaderboard.site.sources import Source
from benchkit.report.columns import BY_KIND
from benchkit.report.format_values import known

#: Kind of artifact -> value and bounds.
Bars = dict[str, tuple[float, float, float]]
_ENDS = ("", "_low", "_high")


class KindFigures:
    """Reads value and bounds of each kind of artifact from the boards, for the rows that a page shows."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._boards: list[tuple[Source, dict[str, list[str]]]] = []

    def add(self, first: int, source: Source) -> None:
        """Add a board, whose rows begin at a place among all rows of the site."""
        columns = source.columns()
        having = [name for name in columns if ":" in name and f"{name}_low" in columns]
        self._firsts.append(first)
        self._boards.append(
            (source, {figure: [n for n in having if n.partition(":")[0] == figure] for figure in BY_KIND})
        )

    def have(self, figure: str, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows, by their places, are of a board that has a figure of BY_KIND."""
        given = np.array([bool(columns[figure]) for _, columns in self._boards], bool)
        return given[np.searchsorted(self._firsts, places, "right") - 1] if len(given) else np.zeros(len(places), bool)

    def read(self, wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Bars]:
        """Return (place, figure) -> its bars, without undefined ones."""
        lines: dict[tuple[int, str], dict[int, None]] = {}
        for place, figure in wanted:
            lines.setdefault((bisect_right(self._firsts, place) - 1, figure), {})[place] = None
        found: dict[tuple[int, str], Bars] = {}
        for (board, figure), places in lines.items():
            source, columns = self._boards[board]
            names = [name + end for name in columns[figure] for end in _ENDS]
            at = [place - self._firsts[board] for place in places]
            values = {name: _numbers(column[at]) for name, column in source.read(names)}
            for name in columns[figure]:
                bars = zip(places, *(values[name + end] for end in _ENDS), strict=True)
                for place, value, low, high in bars:
                    own = found.setdefault((place, figure), {})
                    if known(value):
                        own[name.partition(":")[2]] = (value, low, high)
        return found


def _numbers(column: NDArray[Any]) -> list[float]:
    """Return numbers, NaN for infinite ones and for anything else."""
    values = np.asarray(pd.to_numeric(column, errors="coerce"), float)
    return [float(value) for value in np.where(np.isfinite(values), values, np.nan)]
