"""The input of a report: plain data of a run, without plugins or torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchkit.statistics.look_rule import LookRule


@dataclass(frozen=True)
class Example:
    """One image of a gallery: before and after (H, W, 3) uint8, the mask (H, W) bool it was corrupted in."""

    id: str
    before: np.ndarray
    after: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class RunData:
    """One run, as a report sees it.

    rows: benchkit.store.results.ResultStore.rows with the rows' names, a line per cell. records: cell key -> the arrays
    of its benchkit.metrics.Measured, for the cells that are done. gallery: cell key -> examples. grid: the comparison
    as plain data.
    """

    run: str
    grid: Mapping[str, Any]
    environment: Mapping[str, Any]
    rows: pd.DataFrame
    records: Mapping[str, Mapping[str, np.ndarray]]
    gallery: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)


def read_look_rule(grid: Mapping[str, Any]) -> LookRule | None:
    """Return the looks that a run's record states, or None if it adds no seeds."""
    points, most = grid.get("until_resolved"), grid.get("max_seeds")
    if points is None or most is None:
        return None
    return LookRule.make(tuple(dict.fromkeys(grid["seeds"])), int(most), float(points) / 100)
