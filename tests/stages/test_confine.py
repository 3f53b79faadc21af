"""Confinement over a set: the figures of all its images, computed chunk by chunk."""

from __future__ import annotations

import json
import weakref
from typing import Any

import numpy as np
import pytest

from benchkit.metrics.confinement import confinement, summarise_confinement
from benchkit.stages.confine import Confine

SIZES = (16, 16, 5)


class Finished:
    """Finished stages and what they stored; it counts the arrays that are in memory."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.corrupted, self.round_trips = (
            {name + str(i): rng.integers(0, 256, (count, 12, 12, 3), np.uint8) for i, count in enumerate(SIZES)}
            for name in ("corrupted", "round trip")
        )
        self.masks = rng.random((sum(SIZES), 12, 12)) < rng.random((sum(SIZES), 1, 1)) / 4
        self.masks[[0, 3, 20]] = False  # selections that are empty
        self.masks[16:32] = False  # of a whole chunk
        self.given: list[weakref.ref[Any]] = []
        self.most = 0

    def arrays(self, stage: str) -> dict[str, np.ndarray]:
        images = {**self.corrupted, **self.round_trips}[stage].copy()
        self.given.append(weakref.ref(images))
        self.most = max(self.most, sum(one() is not None for one in self.given))
        return {"images": images}

    def mask_rows(self, _: Any) -> np.ndarray:
        return self.masks

    def run(self) -> dict[str, float]:
        stage = Confine(tuple(self.corrupted), tuple(self.round_trips), self)  # type: ignore[arg-type]
        return json.loads(stage.run(self).files["confinement.json"])  # type: ignore[arg-type]


@pytest.fixture
def finished() -> Finished:
    return Finished()


def test_it_equals_the_figures_of_the_whole_set_to_the_last_bit(finished: Finished) -> None:
    images, references = (np.concatenate(list(one.values())) for one in (finished.corrupted, finished.round_trips))
    keep = finished.masks.any(axis=(1, 2))
    expected = summarise_confinement(confinement(images[keep], references[keep], finished.masks[keep]))
    assert finished.run() == expected
    assert expected["images"] == keep.sum() < len(keep)


def test_images_of_one_chunk_are_in_memory_at_once(finished: Finished) -> None:
    finished.run()
    assert finished.most <= 4  # a chunk and the one before it, whose names are not yet bound anew


def test_without_any_selection_there_are_no_figures(finished: Finished) -> None:
    finished.masks[:] = False
    assert finished.run() == {}
