"""Images that nobody marked: refused beforehand where the first of a set shows it, by name where a later one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchkit.api import Dataset, Sample
from benchkit.errors import BenchkitError
from benchkit.foresight import foresee
from benchkit.plan import Plan, PlannedCell
from benchkit.registry import Registry
from benchkit.specs import Cell, ImageSet, Spec, Trivial
from benchkit.stages.base import Env, packed
from benchkit.stages.evaluate import Evaluate, TrivialPredictor
from benchkit.stages.images import Images, Source
from benchkit.stages.pairs import LabelledPairs
from benchkit.store.artifacts import ArtifactStore

SET = ImageSet(Spec.of("dataset", "half"), "test", (0, 1))
IMAGES = Images(Source.of(SET, "fingerprint"), None)
SAID = "split 'test' of dataset 'half' has images without a mask, '{}' is the first: mark them"


class Half(Registry):
    """A registry whose one dataset has read `looked` and marks images from `first_mask` on."""

    def __init__(self, first_mask: int, fails: bool = False) -> None:
        super().__init__()
        self.first_mask, self.fails, self.looked = first_mask, fails, 0

    def make(self, spec: Spec, base: type) -> Dataset:  # type: ignore[override]
        return self  # type: ignore[return-value]

    def read(self, split: str, indices: tuple[int, ...]) -> list[Sample]:
        self.looked += len(indices)
        if self.fails:
            raise OSError("no such file")
        image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool)
        return [Sample(f"i{i}", image, mask if i >= self.first_mask else None) for i in indices]


def env_of(tmp_path: Path, registry: Registry) -> Env:
    return Env(registry, ArtifactStore(tmp_path / "cache"))


def plan_of(*, validation: bool = False) -> Plan:
    evaluate = Evaluate(TrivialPredictor("all-negative"), (IMAGES,), (IMAGES,) if validation else ())
    return Plan((PlannedCell(Cell("trivial", Trivial("all-negative"), None, 0, SET, "all-negative"), evaluate),))


def finish_images(env: Env, labelled: list[bool]) -> None:
    count = len(labelled)
    arrays = {
        "images": np.zeros((count, 4, 4, 3), np.uint8),
        "masks": np.zeros((count, 4, 4), bool),
        "labelled": np.array(labelled),
        "kinds": np.zeros((count, 0, 2), np.uint8),
    }
    output = packed(arrays, kinds=[], ids=[f"i{i}" for i in range(count)], captions=[None] * count)
    env.store.write(IMAGES.key, output.files, output.meta)


def test_one_image_is_looked_at_and_refused_without_a_mask(tmp_path: Path) -> None:
    registry = Half(first_mask=1)
    with pytest.raises(BenchkitError, match=SAID.format("i0")):
        foresee(plan_of(validation=True), env_of(tmp_path, registry))
    assert registry.looked == 1


@pytest.mark.parametrize("registry", [Half(first_mask=0), Half(first_mask=0, fails=True)])
def test_what_is_marked_or_cannot_be_read_here_is_left_to_its_stage(tmp_path: Path, registry: Half) -> None:
    foresee(plan_of(validation=True), env_of(tmp_path, registry))
    assert registry.looked == 1


@pytest.mark.parametrize(("labelled", "first"), [([False, True], "i0"), ([True, False], "i1")])
def test_finished_images_are_looked_at_in_the_cache(tmp_path: Path, labelled: list[bool], first: str) -> None:
    registry = Half(first_mask=0)
    env = env_of(tmp_path, registry)
    finish_images(env, labelled)
    with pytest.raises(BenchkitError, match=SAID.format(first)):
        foresee(plan_of(), env)
    assert registry.looked == 0


@pytest.mark.parametrize("role", ["test", "validation", "prior", "training"])
def test_a_later_image_without_a_mask_fails_what_reads_it(tmp_path: Path, role: str) -> None:
    env = env_of(tmp_path, Half(first_mask=0))
    finish_images(env, [True, False])
    with pytest.raises(BenchkitError, match=SAID.format("i1")):
        if role == "training":
            LabelledPairs((IMAGES,)).load(env)
        elif role == "prior":
            TrivialPredictor("mean-mask", (IMAGES,)).predictor(env)
        else:
            validation = (IMAGES,) if role == "validation" else ()
            Evaluate(TrivialPredictor("all-negative"), (IMAGES,), validation).run(env)
