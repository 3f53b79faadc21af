"""Learning curves: figures on validation images while a network is trained, and whether they still climb."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.metrics.bins import THRESHOLD

#: Scores are counted in bins of equal width on the logit scale, from -LOGIT to LOGIT: about 0.001 each.
LOGIT, CURVE_BINS = 32.0, 2**16
#: A curve still climbs if the line through its last third rises by more than this over that third.
CLIMB = 0.005
#: Fewer points than this say nothing of where a curve goes.
LEAST_POINTS = 3


class CurvePoint:
    """Average precision and IoU at 0.5 of the pixels that are added, batch by batch; a constant number of counts."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, CURVE_BINS), np.int64)
        self._positive = np.zeros(2, np.int64)

    def add(self, scores: NDArray[np.float32], labels: NDArray[np.bool_], ignored: NDArray[np.bool_] | None) -> None:
        """Add images: scores in [0, 1], labels and ignored pixels, (N, H, W) each.

        Raises BenchkitError for scores that are not finite.
        """
        counted = np.ones(labels.shape, bool) if ignored is None else ~ignored
        values, truth = scores[counted].astype(np.float64), labels[counted]
        if not np.isfinite(values).all():
            raise BenchkitError(
                "training diverged: the network's scores of validation images are not finite; lower the lr"
            )
        with np.errstate(divide="ignore"):
            logits = np.log(values) - np.log1p(-values)
        bins = ((np.clip(logits, -LOGIT, LOGIT) + LOGIT) * ((CURVE_BINS - 1) / (2 * LOGIT))).astype(np.int64)
        for label in (0, 1):
            of_label = truth == bool(label)
            self._counts[label] += np.bincount(bins[of_label], minlength=CURVE_BINS)
            self._positive[label] += int((values[of_label] >= THRESHOLD).sum())

    def figures(self) -> dict[str, float]:
        """Return `average_precision` and `artifact_iou`; both are 0 where no pixel is annotated as an artifact."""
        clean, artifact = (counts[::-1].cumsum() for counts in self._counts)
        total = int(artifact[-1])
        if not total:
            return {"average_precision": 0.0, "artifact_iou": 0.0}
        precision = artifact / np.maximum(clean + artifact, 1)
        gained = np.diff(artifact, prepend=0) / total
        union = total + int(self._positive[0])
        return {
            "average_precision": float((precision * gained).sum()),
            "artifact_iou": int(self._positive[1]) / union,
        }


def is_climbing(steps: Sequence[int], figures: Sequence[float]) -> bool | None:
    """Return whether a learning curve still climbs at its end; None for fewer than 3 points.

    A straight line is fitted to the last third of the points, at least 3 of them, by least squares. The curve still
    climbs if that line rises by more than 0.005 (half a point) over these points, and by more than twice the standard
    error of its rise. steps: iterations of each point, ascending; figures: of each point, in [0, 1].
    """
    count = max(LEAST_POINTS, -(-len(steps) // 3))
    if len(steps) < count:
        return None
    x, y = np.asarray(steps[-count:], float), np.asarray(figures[-count:], float)
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    residuals = y - y.mean() - slope * centred
    error = float(np.sqrt(residuals @ residuals / max(1, count - 2) / (centred @ centred)))
    rise = slope * float(x[-1] - x[0])
    return rise > CLIMB and rise > 2 * error * float(x[-1] - x[0])
