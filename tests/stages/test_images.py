"""A chunk of a dataset is read once for its latents and its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchkit.api import Sample
from benchkit.config.grid import parse_grid
from benchkit.executors.inline import Inline
from benchkit.plugin.registry import Registry
from benchkit.runs.run import make_plan
from benchkit.stages.base import Env, Stage
from benchkit.stages.images import Images, Latents
from benchkit.store.artifacts import ArtifactStore
from tests.helpers.small_comparison import GRID, PLUGINS


@pytest.fixture
def registry() -> Registry:
    return Registry.load(files=[PLUGINS])


@pytest.fixture
def stages(registry: Registry, tiny_checkpoint: Path) -> tuple[Stage, ...]:
    plan = make_plan(parse_grid(GRID.format(model=tiny_checkpoint), "test"), registry)
    return tuple(stage for stage in plan.stages if isinstance(stage, Latents | Images))


def run(stages: Sequence[Stage], env: Env) -> None:
    failed: list[str] = []
    Inline().execute(stages, env, lambda one: failed.append(str(one.reason)) if one.reason else None)
    assert not failed


def test_latents_hand_their_samples_to_the_images_that_follow(
    registry: Registry, stages: tuple[Stage, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = registry.entry("dataset", "shapes").cls
    read, whole = shapes.read, Counter[str]()

    def counted(self: object, split: str, indices: Sequence[int]) -> list[Sample]:
        whole[split] += len(indices) > 1  # not the image that is read alone, to check the order
        return read(self, split, indices)

    monkeypatch.setattr(shapes, "read", counted)
    env = Env(registry, ArtifactStore(tmp_path / "one"))
    run(stages, env)
    assert whole and set(whole.values()) == {1}
    assert env.last_samples is None, "nothing is kept that a plugin could change for another stage"

    # In another order, as in several processes, the images are read again, and are the same.
    other = Env(registry, ArtifactStore(tmp_path / "two"))
    run([stage for stage in stages if isinstance(stage, Latents)], other)
    run([stage for stage in stages if isinstance(stage, Images)], other)
    for stage in stages:
        for name, array in env.arrays(stage).items():
            assert np.array_equal(array, other.arrays(stage)[name])
