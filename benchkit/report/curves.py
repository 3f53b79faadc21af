"""Learning curves of a board's lines: means over seeds, which of them still climb, and how the order of rows formed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchkit.report.format_values import known, numeric
from benchkit.statistics.ranks import rank_at_points

Fractions = list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]]
#: Decimals of a mean curve: a thousandth of a point.
_DIGITS = 5


class SeedCurve(BaseModel):
    """The learning curve of one training, on validation images. iterations: of each point, ascending."""

    model_config = ConfigDict(frozen=True)

    iterations: list[Annotated[int, Field(gt=0)]]
    average_precision: Fractions
    artifact_iou: Fractions

    @model_validator(mode="after")
    def _check_points(self) -> SeedCurve:
        lists = [value for value in self.__dict__.values() if isinstance(value, list)]
        if {len(one) for one in lists} != {len(self.iterations)} or not self.iterations:
            raise ValueError("a curve has as many figures as iterations, and at least one")
        if any(later <= earlier for earlier, later in pairwise(self.iterations)):
            raise ValueError("the iterations of a curve ascend")
        return self


class MeanCurve(SeedCurve):
    """The mean of the curves of `seeds` trainings, with the smallest and the largest figure of any seed."""

    seeds: int = Field(gt=0)
    average_precision_min: Fractions
    average_precision_max: Fractions
    artifact_iou_min: Fractions
    artifact_iou_max: Fractions


@dataclass(frozen=True)
class CurveLine:
    """A line of a board that has a learning curve of several points. line: its columns."""

    line: Mapping[str, Any]
    curve: MeanCurve


@dataclass(frozen=True)
class Order:
    """The order of rows by average precision at each point of their training.

    lines: best at the end first. fractions: (points,) of each row's iterations. values, ranks: (lines, points); rank 1
    is best, ties share the better rank. tau: (points,) Kendall's τ with the last order, NaN where all values are equal.
    """

    lines: tuple[CurveLine, ...]
    fractions: NDArray[np.float64]
    values: NDArray[np.float64]
    ranks: NDArray[np.int64]
    tau: NDArray[np.float64]


def average_curves(texts: Iterable[Any]) -> str | None:
    """Return the mean of the seeds' curves (JSON of SeedCurve) as JSON of MeanCurve.

    Seeds without a curve are skipped. None where no seed has one, or where their iterations differ.
    """
    curves = [curve for curve in (_parse(SeedCurve, text) for text in texts) if curve is not None]
    if not curves or any(curve.iterations != curves[0].iterations for curve in curves):
        return None
    found: dict[str, Any] = {"seeds": len(curves), "iterations": curves[0].iterations}
    for name in ("average_precision", "artifact_iou"):
        values = np.array([getattr(curve, name) for curve in curves])
        for end, points in (("", values.mean(axis=0)), ("_min", values.min(axis=0)), ("_max", values.max(axis=0))):
            found[f"{name}{end}"] = points.round(_DIGITS).tolist()
    return MeanCurve(**found).model_dump_json()


def mean_curve(line: Mapping[Any, Any]) -> MeanCurve | None:
    """Return the learning curve of a board's line, None where it has none that can be read."""
    return _parse(MeanCurve, line.get("curve"))


def climbing_seeds(line: Mapping[Any, Any]) -> tuple[int, int]:
    """Return in how many seeds a board's line still climbs, and how many seeds have a learning curve."""
    curve, fraction = mean_curve(line), numeric(line.get("still_climbing"))
    seeds = curve.seeds if curve else int(line["seeds"])
    return (round(fraction * seeds) if known(fraction) else 0), seeds


def curve_groups(trained: pd.DataFrame) -> list[tuple[str, list[CurveLine]]]:
    """Return detector -> its lines with a learning curve, the highest final average precision first.

    trained: lines of a board; those of an ablation's variants are skipped. Lines that differ in the test set alone have
    one curve. Detectors without any curve of several points are skipped.
    """
    of_grid = trained[trained["protocol"].isin([None, ""])].drop_duplicates(["detector", "selector", "training_set"])
    groups = []
    for detector, frame in of_grid.groupby("detector", sort=False):
        lines = [{str(name): value for name, value in line.items()} for line in frame.to_dict("records")]
        found = [CurveLine(line, curve) for line in lines if (curve := mean_curve(line)) and len(curve.iterations) > 1]
        if found:
            found.sort(key=lambda one: -one.curve.average_precision[-1])
            groups.append((str(detector), found))
    return groups


def order_of(lines: Sequence[CurveLine]) -> Order | None:
    """Return how the order of the lines formed; None for fewer than two lines.

    Points are compared by their place in the curve, so lines with another number of points than most are skipped.
    """
    points = Counter(len(one.curve.iterations) for one in lines).most_common(1)[0][0] if lines else 0
    kept = tuple(one for one in lines if len(one.curve.iterations) == points)
    if len(kept) < 2:
        return None
    values = np.array([one.curve.average_precision for one in kept])
    iterations = np.array([one.curve.iterations for one in kept], float)
    fractions = np.median(iterations / iterations[:, -1:], axis=0)
    return Order(kept, fractions, values, *rank_at_points(values))


def _parse(kind: type[Any], text: Any) -> Any:
    try:
        return kind.model_validate_json(text) if isinstance(text, str) else None
    except ValidationError:
        return None
