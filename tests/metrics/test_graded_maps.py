"""A dataset's graded map reaches the heat-map measures; without one they are taken against the mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchkit.api import Dataset, Sample
from benchkit.metrics import heatmap_measures
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.base import Env, Stage
from benchkit.stages.evaluate import Evaluate, TrivialPredictor
from benchkit.stages.images import Images, Source
from benchkit.store.artifacts import ArtifactStore

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
MASKS = RNG.random((4, 8, 8)) < 0.4
GRADES = (RNG.random((4, 8, 8)) * 255).astype(np.uint8)


@dataclass(frozen=True)
class Graded(Dataset):
    """Four images, of which the first `graded` have a map."""

    name = "graded"
    graded: int = 4

    def splits(self) -> Mapping[str, int]:
        return {"test": 4}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        maps = [{"heatmap": GRADES[i]} if i < self.graded else {} for i in range(4)]
        return [Sample(str(i), PICTURES[i], MASKS[i], attributes=maps[i]) for i in indices]

    def labelled(self, count: int, seed: int) -> list[int]:
        return list(range(count))

    def fingerprint(self) -> str:
        return f"graded {self.graded}"


def measured(tmp_path: Path, graded: int) -> dict[str, np.ndarray]:
    """The stored record of the mean mask of images 0 and 1, scored on images 2 and 3."""
    dataset = Graded(graded)
    env = Env(SimpleNamespace(make=lambda *_: dataset), ArtifactStore(tmp_path))  # type: ignore[arg-type]

    def done(stage: Stage) -> Stage:
        output = stage.run(env)
        env.store.write(stage.key, output.files, output.meta)
        return stage

    halves = []
    for indices in ((0, 1), (2, 3)):
        images = ImageSet(Spec.of("dataset", "graded"), "test", indices)
        halves.append(done(Images(Source.of(images, dataset.fingerprint()), None)))
    evaluate = done(Evaluate(TrivialPredictor("mean-mask", (halves[0],)), (halves[1],), ()))
    return evaluate.measured(env)


@pytest.mark.parametrize(("graded", "density"), [(4, GRADES[2:]), (3, None)])
def test_the_measures_are_taken_against_the_graded_map(tmp_path: Path, graded: int, density: np.ndarray | None) -> None:
    scores = np.broadcast_to(MASKS[:2].mean(axis=0, dtype=np.float32), (2, 8, 8))
    expected = heatmap_measures(scores, MASKS[2:], density)
    found = measured(tmp_path, graded)
    for name in ("cc", "kld", "sim", "nss"):
        column = next(value for key, value in found.items() if key.endswith(name))
        np.testing.assert_allclose(column, expected[name], rtol=1e-6)
    against_mask = heatmap_measures(scores, MASKS[2:])
    assert (density is None) == np.allclose(expected["sim"], against_mask["sim"])
