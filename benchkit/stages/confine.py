"""Measure how well a corruptor kept to its regions (eq. 1): corrupted against round trip, inside against outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from benchkit.stages.base import Env, Output, Stage
from benchkit.stages.corrupt import AnyCorrupt, Choose, RoundTrip
from benchkit.stages.select import Select
from benchkit.store.artifacts import json_to_bytes


@dataclass(frozen=True)
class Confine(Stage):
    """Confinement of one corruptor over a set; images with an empty selection are skipped."""

    on_device: ClassVar[bool] = False

    corrupted: tuple[AnyCorrupt, ...]
    round_trips: tuple[RoundTrip | Choose, ...]
    select: Select

    def run(self, env: Env) -> Output:
        from benchkit.metrics.confinement import confinement, summarise_confinement

        corrupted = np.concatenate([env.arrays(stage)["images"] for stage in self.corrupted])
        round_trip = np.concatenate([env.arrays(stage)["images"] for stage in self.round_trips])
        masks = self.select.masks(env)
        keep = masks.any(axis=(1, 2))
        rows = confinement(corrupted[keep], round_trip[keep], masks[keep]) if keep.any() else None
        facts = summarise_confinement(rows) if rows is not None else {}
        return Output({"confinement.json": json_to_bytes(facts)})

    def describe(self) -> str:
        return f"confinement of {self.corrupted[0].corruptor.name}"
