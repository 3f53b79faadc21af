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
        import pandas as pd

        from benchkit.metrics.confinement import confinement, summarise_confinement

        masks, start, parts = self.select.mask_rows(env), 0, []
        # Chunk by chunk, so that memory does not grow with the set; each image has figures of its own.
        for stage, round_trip in zip(self.corrupted, self.round_trips, strict=True):
            images, references = (env.arrays(one)["images"] for one in (stage, round_trip))
            own = np.stack([masks[start + i] for i in range(len(images))])
            start += len(images)
            keep = own.any(axis=(1, 2))
            if keep.any():
                parts.append(confinement(images[keep], references[keep], own[keep]))
        facts = summarise_confinement(pd.concat(parts, ignore_index=True)) if parts else {}
        return Output({"confinement.json": json_to_bytes(facts)})

    def describe(self) -> str:
        return f"confinement of {self.corrupted[0].corruptor.name}"
