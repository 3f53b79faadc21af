"""Score a predictor on annotated images (see benchkit.metrics): one row, the per-image counts, the score histograms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchkit.plugin.samples import HEATMAP
from benchkit.specs.keys import LATER
from benchkit.stages.base import Arrays, Env, Output, Stage
from benchkit.stages.features import Features
from benchkit.stages.images import Images, check_ids, check_labelled, kind_masks
from benchkit.stages.train import Train
from benchkit.store.artifacts import arrays_from_bytes, arrays_to_bytes, json_to_bytes

if TYPE_CHECKING:
    from benchkit.metrics import Measured, Scored

#: A finished stage of images -> their scores (N, H, W).
Predict = Callable[[Images], np.ndarray]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrivialPredictor:
    """A prediction without a network. rule: `all-negative`, `all-positive` or `mean-mask` (of `labelled`).

    The mean mask leaves ignored pixels out; where a pixel is ignored in every image it is the prevalence of the set.
    """

    rule: str
    labelled: tuple[Images, ...] = ()

    def predictor(self, env: Env) -> Predict:
        """Return what scores finished images."""
        if self.rule == "mean-mask":
            for stage in self.labelled:
                check_labelled(stage, env)
            prior = _mean_mask([env.arrays(stage) for stage in self.labelled])
            return lambda stage: np.broadcast_to(prior, env.arrays(stage)["masks"].shape)
        value = np.float32(self.rule == "all-positive")
        return lambda stage: np.full(env.arrays(stage)["masks"].shape, value)


def _mean_mask(chunks: Sequence[Arrays]) -> np.ndarray:
    """Return the fraction of the images in which each pixel is annotated, (H, W) float32."""
    masks = np.concatenate([arrays["masks"] for arrays in chunks])
    if not any("ignored" in arrays for arrays in chunks):
        return masks.mean(axis=0, dtype=np.float32)
    counted = np.concatenate([~arrays.get("ignored", np.zeros_like(arrays["masks"])) for arrays in chunks])
    images = counted.sum(axis=0)
    prevalence = masks.sum() / max(1, counted.sum())
    return np.where(images, masks.sum(axis=0) / np.maximum(images, 1), prevalence).astype(np.float32)


@dataclass(frozen=True)
class Evaluate(Stage):
    """A predictor on test images; `validation` images choose the threshold of the second F1, if there are any.

    features: the trunk's maps of all these images, if the predictor has a frozen trunk; else empty.
    """

    predictor: Train | TrivialPredictor
    test: tuple[Images, ...]
    validation: tuple[Images, ...]
    features: tuple[Features, ...] = field(default=(), metadata=LATER)

    version: ClassVar[int] = 2

    def run(self, env: Env) -> Output:
        from benchkit import metrics

        check_ids(self.test, env)
        check_ids(self.validation, env)
        for stage in (*self.test, *self.validation):  # first, for a mask that lacks is no reason to predict
            check_labelled(stage, env)
        predict = self._predictor(env)
        with env.store.workdir(self.key) as work:
            threshold = self._threshold(env, predict, work)
            measured = _measured(env, self.test, predict, work, threshold)
        measured = replace(measured, threshold=threshold)
        facts = {
            "row": metrics.summarise(measured),
            "coverage": metrics.coverage(measured),
            "threshold": threshold,
            "ids": [name for stage in self.test for name in env.meta(stage)["ids"]],
        }
        files = {"measured.safetensors": arrays_to_bytes(measured.arrays()), "row.json": json_to_bytes(facts)}
        return Output(files)

    def _threshold(self, env: Env, predict: Predict, work: Path) -> float | None:
        """Return the best threshold on the validation images; None without images or artifacts in them."""
        from benchkit import metrics

        if not self.validation:
            return None
        held = _measured(env, self.validation, predict, work)
        if not held.histograms[:, metrics.ARTIFACT].any():
            source = self.validation[0].source
            log.warning(
                "split '%s' of dataset '%s' shows no artifact in its %d validation images: rows come without the "
                "figures at the validation threshold; name validation images with artifacts for those",
                source.split,
                source.images.dataset,
                len(held),
            )
            return None
        return metrics.best_threshold(held.histograms, held.edges)

    def _predictor(self, env: Env) -> Predict:
        if isinstance(self.predictor, TrivialPredictor):
            return self.predictor.predictor(env)
        return self.predictor.scorer(env, self.features)

    def measured(self, env: Env) -> dict[str, np.ndarray]:
        """Return the finished record, as benchkit.metrics.Measured.arrays wrote it."""
        return arrays_from_bytes(env.store.open(self.key).read("measured.safetensors"))

    def describe(self) -> str:
        who = self.predictor.rule if isinstance(self.predictor, TrivialPredictor) else self.predictor.detector.name
        return f"evaluate {who} ({sum(len(s.source.indices) for s in self.test)})"


def _measured(
    env: Env, stages: Sequence[Images], predict: Predict, work: Path, threshold: float | None = None
) -> Measured:
    """Return the record of all images. The scores are kept in `work`, so that memory holds those of one stage only."""
    from benchkit import metrics

    parts = []
    for number, stage in enumerate(stages):
        np.save(work / f"scores-{number}.npy", predict(stage))
        parts.append(partial(_scored, env, stage, work / f"scores-{number}.npy"))
    return metrics.measure_parts(parts, threshold)


def _scored(env: Env, stage: Images, scores: Path) -> tuple[Scored, np.ndarray | None]:
    return score_arrays(env.arrays(stage), env.meta(stage)["kinds"], np.load(scores))


def score_arrays(arrays: Arrays, names: Sequence[str], scores: np.ndarray) -> tuple[Scored, np.ndarray | None]:
    """Return the arrays and kinds of `label_arrays` with scores (N, H, W), and their graded maps if they have any."""
    from benchkit import metrics

    masks = kind_masks(arrays, names)
    kinds = [{kind: marks[i] for kind, marks in masks.items()} for i in range(len(scores))]
    return metrics.Scored(scores, arrays["masks"], kinds, arrays.get("ignored")), arrays.get(HEATMAP)
