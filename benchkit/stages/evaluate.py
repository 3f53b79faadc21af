"""Score a predictor on marked images (see benchkit.metrics): one row, the per-image counts, the score histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchkit.stages.base import Env, Output, Stage
from benchkit.stages.images import HEATMAP, Images, check_labelled, kind_masks
from benchkit.stages.train import Train
from benchkit.store.artifacts import arrays_from_bytes, arrays_to_bytes, json_to_bytes

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TrivialPredictor:
    """A prediction without a network. rule: `all-negative`, `all-positive` or `mean-mask` (of `labelled`)."""

    rule: str
    labelled: tuple[Images, ...] = ()

    def predictor(self, env: Env) -> Predict:
        """images (N, H, W, 3) -> scores (N, H, W)."""
        if self.rule == "mean-mask":
            for stage in self.labelled:
                check_labelled(stage, env)
            prior = np.concatenate([env.arrays(s)["masks"] for s in self.labelled]).mean(axis=0, dtype=np.float32)
            return lambda images: np.broadcast_to(prior, images.shape[:3])
        value = np.float32(self.rule == "all-positive")
        return lambda images: np.full(images.shape[:3], value)


@dataclass(frozen=True)
class Evaluate(Stage):
    """A predictor on test images; `validation` images choose the threshold of the second F1, if there are any."""

    predictor: Train | TrivialPredictor
    test: tuple[Images, ...]
    validation: tuple[Images, ...]

    def run(self, env: Env) -> Output:
        from benchkit import metrics

        for stage in (*self.test, *self.validation):  # first, for a mask that lacks is no reason to predict
            check_labelled(stage, env)
        predict = self._predictor(env)
        threshold = None
        if self.validation:
            held = [metrics.score_histograms(predict(a["images"]), a["masks"]) for a in _each(env, self.validation)]
            threshold = metrics.best_threshold(np.concatenate(held).sum(axis=0))
        parts, ids = [], []
        for stage, arrays in zip(self.test, _each(env, self.test), strict=True):
            masks = kind_masks(env, stage)
            kinds = [{kind: marks[i] for kind, marks in masks.items()} for i in range(len(arrays["images"]))]
            parts.append(metrics.measure(predict(arrays["images"]), arrays["masks"], kinds, arrays.get(HEATMAP)))
            ids += env.meta(stage)["ids"]
        measured = metrics.Measured.concat(parts)
        row = metrics.summarise(
            measured.table, measured.histograms, threshold, regions=measured.regions, kinds=measured.kinds
        )
        facts = {"row": row, "coverage": metrics.coverage(measured.table), "threshold": threshold, "ids": ids}
        files = {"measured.safetensors": arrays_to_bytes(measured.arrays()), "row.json": json_to_bytes(facts)}
        return Output(files)

    def _predictor(self, env: Env) -> Predict:
        if isinstance(self.predictor, TrivialPredictor):
            return self.predictor.predictor(env)
        from benchkit import training

        network = self.predictor.network(env)
        return lambda images: training.predict(network, images)

    def measured(self, env: Env) -> dict[str, np.ndarray]:
        """The finished record, as benchkit.metrics.Measured.arrays wrote it."""
        return arrays_from_bytes(env.store.open(self.key).read("measured.safetensors"))

    def describe(self) -> str:
        who = self.predictor.rule if isinstance(self.predictor, TrivialPredictor) else self.predictor.detector.name
        return f"evaluate {who} ({sum(len(s.source.indices) for s in self.test)})"


def _each(env: Env, stages: tuple[Images, ...]) -> Iterator[dict[str, np.ndarray]]:
    for stage in stages:
        yield env.arrays(stage)
