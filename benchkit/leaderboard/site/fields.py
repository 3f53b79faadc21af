"""The fields of a row of the site, and the columns of a board that they are read from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.report.aggregate import KEY
from benchkit.report.board_table import is_shown
from benchkit.report.columns import BASELINES, RANKINGS, delta_columns, joint_columns, rank_columns

#: Fields of a row of the site <- columns of a board.
_FIGURES = {
    "iou_validation": "artifact_iou_validation_threshold",
    "auroc": "auroc",
    "f1": "f1",
    "iou_per_image": "artifact_iou_per_image",
    "inside": "confinement_change_inside",
    "outside": "confinement_psnr_outside",
    "change_outside": "confinement_change_outside",
    **{name: name for name in ("steps", "seconds", "seeds", "planned_seeds", "iterations", "train_images", "role")},
    **{name: name for name in ("state", "reason", "unstable", "reordered", "plugins", "variant", "no_interval")},
    "curve": "curve",
    "sd": "artifact_iou_std",
}


def _ranked_fields() -> Iterator[tuple[str, str]]:
    """Yield the fields of both rankings and their columns."""
    for ranking, short, end in zip(RANKINGS, ("iou", "ap"), ("", "_ap"), strict=True):
        yield from ((short + part, ranking + part) for part in ("", "_low", "_high"))
        yield from zip((f"{short}_joint_low", f"{short}_joint_high"), joint_columns(ranking), strict=True)
        yield from zip((f"rank{end}{part}" for part in ("", "_low", "_high")), rank_columns(ranking), strict=True)
        for base in BASELINES:
            parts = (f"{base}{end}{part}" for part in ("", "_low", "_high", "_p", "_verdict"))
            yield from zip(parts, delta_columns(ranking, base), strict=True)


FIELDS = {**_FIGURES, **dict(_ranked_fields())}
_JOINT = {column for ranking in RANKINGS for column in joint_columns(ranking)}
_NEEDED = {*FIELDS.values(), *KEY, "training_set", "group", "protocol", "num_inference_steps"}


def is_needed(column: str) -> bool:
    """Return whether the pages need a column of a board; figures by kind are read on demand, see `KindFigures`."""
    return column in _NEEDED or is_shown(column)


def plain_column(column: pd.Series) -> NDArray[Any]:
    """Return a column of a board: whole numbers, numbers with NaN where undefined or infinite, or objects with None."""
    if column.dtype == float:
        values = column.to_numpy()
        return np.where(np.isinf(values), np.nan, values) if np.isinf(values).any() else values
    return (
        column.to_numpy() if column.dtype.kind == "i" else column.astype(object).where(column.notna(), None).to_numpy()
    )


def read_fields(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the fields that are columns of a board. Only a board with joint intervals has fields for them."""
    found = {}
    for name, column in FIELDS.items():
        if column in _JOINT and not (column in frame and frame[column].notna().any()):
            continue
        if column in frame:
            found[name] = plain_column(frame[column])
        else:
            found[name] = np.full(len(frame), None, object)
    return found
