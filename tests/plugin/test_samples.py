"""Samples are checked where they enter the suite, with one sentence for each way in which they can be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchkit.api import BenchkitError, Dataset, Sample
from benchkit.plugin.samples import read_samples
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.base import Env
from benchkit.stages.evaluate import Evaluate, TrivialPredictor
from benchkit.stages.images import Images, Source
from benchkit.stages.pairs import LabelledPairs
from benchkit.stages.select import Select
from benchkit.store.artifacts import ArtifactStore

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
MASK = np.zeros((6, 8), bool)
SOUND = Sample("a", IMAGE, MASK, "a hand", {"hand": MASK}, {"heatmap": np.ones((6, 8), np.float32)}, ~MASK)
#: What a plugin may give, which part of the message names it, and a remedy.
WRONG: dict[str, tuple[Any, str]] = {
    "float image": (IMAGE / 255, r"uint8 array, not \(6, 8, 3\) float64: from \[0, 1\] convert with"),
    "grey image": (IMAGE[..., 0], "repeat the grey channel"),
    "channels first": (IMAGE.transpose(2, 0, 1), "move the channels last"),
    "alpha": (np.concatenate([IMAGE, IMAGE[..., :1]], axis=2), "leave the alpha channel out"),
    "16 bits": (IMAGE.astype(np.uint16), "from 16 bits convert"),
    "list": (IMAGE.tolist(), "not list: give a numpy array"),
    "PIL": (Image.fromarray(IMAGE), r"not Image: give np.asarray"),
    "no pixel": (IMAGE[:0], r"not \(0, 8, 3\) uint8"),
}
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "mask of another size": ({"mask": MASK[:5]}, r"expected mask that is \(6, 8\) bool, not \(5, 8\) bool"),
    "label map": ({"mask": MASK.astype(np.uint8) * 255}, r"not \(6, 8\) uint8: compare, such as mask == 1"),
    "float mask": ({"mask": MASK.astype(float)}, "compare, such as mask == 1"),
    "mask of a list": ({"mask": MASK.tolist()}, "not list: give a numpy array"),
    "kind of another size": ({"kinds": {"hand": MASK.T}}, r"kinds\['hand'\] that is \(6, 8\) bool, not \(8, 6\)"),
    "kind without a mask": ({"kinds": {"hand": None}}, r"kinds\['hand'\] .* not NoneType"),
    "kinds as a list": ({"kinds": ["hand"]}, "kinds that map names to masks, not list"),
    "kind by number": ({"kinds": {3: MASK}}, "kinds that map names to masks, not int"),
    "ignored of another size": ({"ignored": MASK[:, :4]}, r"ignored that is \(6, 8\) bool, not \(6, 4\) bool"),
    "ignored as values": ({"ignored": MASK.astype(np.uint8)}, "ignored that is"),
    "marked and ignored": ({"mask": ~MASK}, "False where pixels are ignored, not 48 pixels that are both"),
    "no text as id": ({"id": 7}, "an id that is a str and not empty, not 7"),
    "empty id": ({"id": ""}, "not ''"),
    "caption": ({"caption": ["a", "hand"]}, "a caption that is str or None, not list"),
    "NaN heat map": ({"attributes": {"heatmap": np.full((6, 8), np.nan)}}, "finite numbers, 0 or more, not NaN"),
    "negative heat map": ({"attributes": {"heatmap": -np.ones((6, 8))}}, "finite numbers, 0 or more"),
    "heat map of another size": ({"attributes": {"heatmap": np.ones((3, 4))}}, r"not \(3, 4\) float64"),
    "attributes": ({"attributes": ["x"]}, "attributes that map names"),
}


@dataclass(frozen=True)
class Made(Dataset):
    """Gives the samples of a list, whatever they are."""

    name = "made"
    given: tuple[Any, ...] = (SOUND,)
    order: int = 1
    print: str = "1"

    def splits(self) -> Mapping[str, int]:
        return {"test": len(self.given)}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        return [self.given[i] for i in indices][:: self.order]

    def labelled(self, count: int, seed: int) -> list[int]:
        return list(range(count))

    def fingerprint(self) -> str:
        return self.print


def test_a_sound_sample_is_handed_on():
    assert read_samples(Made(), "test", [0]) == [SOUND]
    assert read_samples(Made((replace(SOUND, mask=None, ignored=None),)), "test", [0])[0].mask is None


@pytest.mark.parametrize("name", WRONG)
def test_images_that_are_none_are_refused(name):
    image, message = WRONG[name]
    with pytest.raises(BenchkitError, match=rf"^dataset 'made': test\[0\] \('a'\): expected an image.*{message}"):
        read_samples(Made((replace(SOUND, image=image),)), "test", [0])


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_that_is_wrong_is_refused(name):
    fields, message = OTHERS[name]
    with pytest.raises(BenchkitError, match=message):
        read_samples(Made((replace(SOUND, **fields),)), "test", [0])


def test_several_faults_are_one_line():
    wrong = replace(SOUND, mask=MASK[:2], caption=3, id="", attributes=None)
    with pytest.raises(BenchkitError) as error:
        read_samples(Made((SOUND, wrong, wrong)), "test", [0, 1, 2])
    assert "test[1] and 1 more: expected an id" in str(error.value)
    assert str(error.value).endswith("; and 1 more")
    assert "\n" not in str(error.value)


def test_what_is_no_sample_and_too_few_of_them():
    with pytest.raises(BenchkitError, match=r"test\[0\]: expected benchkit.api.Sample, not tuple"):
        read_samples(Made(((IMAGE, MASK),)), "test", [0])

    class Short(Made):
        def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
            return [SOUND]

    with pytest.raises(BenchkitError, match="gave 1 samples of split 'test' for 3 indices"):
        read_samples(Short(), "test", [0, 1, 2])


def named(*ids: str) -> tuple[Sample, ...]:
    return tuple(Sample(name, IMAGE, MASK) for name in ids)


def test_ids_that_come_twice_and_another_order():
    with pytest.raises(BenchkitError, match=r"test\[1\] and test\[2\] have the same id 'b'"):
        read_samples(Made(named("a", "b", "b")), "test", [0, 1, 2])
    assert len(read_samples(Made(named("a", "b")), "test", [0, 1, 0])) == 3  # one index, one id
    turned = Made(named("a", "b", "c"), order=-1)
    with pytest.raises(BenchkitError, match=r"test\[2\]: read\(\) gave 'a' among others and 'c' alone"):
        read_samples(turned, "test", [0, 1, 2], alone=True)


class World:
    """A dataset in a store: stages run at once."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.dataset = dataset
        self.env = Env(SimpleNamespace(make=lambda *_: self.dataset), ArtifactStore(folder))  # type: ignore[arg-type]

    def done(self, stage: Any) -> Any:
        output = stage.run(self.env)
        self.env.store.write(stage.key, output.files, output.meta)
        return stage

    def images(self, *indices: int) -> Images:
        images = ImageSet(Spec.of("dataset", "made"), "test", indices)
        return self.done(Images(Source.of(images, "1"), None))


def test_a_stage_refuses_what_is_wrong(tmp_path):
    with pytest.raises(BenchkitError, match=r"dataset 'made': test\[0\] \('a'\): expected an image"):
        World(tmp_path, Made((replace(SOUND, image=IMAGE / 255),))).images(0)
    with pytest.raises(BenchkitError, match="in the order of the indices"):
        World(tmp_path, Made(named("a", "b"), order=-1)).images(0, 1)


def test_an_id_in_two_chunks_is_refused_before_work_and_scores(tmp_path):
    world = World(tmp_path, Made(named("a", "b", "a")))
    chunks = (world.images(0, 1), world.images(2))
    for user in (
        LabelledPairs(chunks).load,
        Select(chunks, Spec.of("selector", "grid"), "1", None, 0).run,
        Evaluate(TrivialPredictor("all-negative"), chunks, ()).run,
    ):
        with pytest.raises(BenchkitError, match=r"test\[0\] and test\[2\] have the same id 'a'"):
            user(world.env)


def test_files_that_change_during_a_run_are_named_and_nothing_is_kept(tmp_path):
    world = World(tmp_path, Made(named("a", "b")))
    world.images(0)
    world.dataset = Made(named("a", "b"), print="2")
    with pytest.raises(BenchkitError, match="the files of dataset 'made' changed since the run was planned"):
        world.images(1)
    world.dataset = Made(named("a"), print="2")  # the second file is gone
    with pytest.raises(BenchkitError, match=r"changed since the run was planned \(tuple index out of range\)"):
        world.images(1)
    assert len(list(world.env.store.ls())) == 1


def test_ignored_pixels_are_kept_only_where_there_are_some(tmp_path):
    some = Sample("b", IMAGE, MASK, ignored=~MASK)
    world = World(tmp_path, Made((Sample("a", IMAGE, MASK), some, Sample("c", IMAGE, MASK, ignored=MASK))))
    assert "ignored" not in world.env.arrays(world.images(0, 2))
    kept = world.env.arrays(world.images(0, 1, 2))["ignored"]
    assert kept.dtype == bool and kept.any(axis=(1, 2)).tolist() == [False, True, False]


def test_validation_images_without_an_artifact_cost_the_threshold_and_no_row(tmp_path, caplog):
    marked = MASK.copy()
    marked[2:4] = True
    world = World(tmp_path, Made((Sample("a", IMAGE, marked), Sample("b", IMAGE, MASK))))
    test, validation = world.images(0), world.images(1)
    evaluate = world.done(Evaluate(TrivialPredictor("all-positive"), (test,), (validation,)))
    facts = world.env.store.open(evaluate.key).read("row.json").decode()
    assert '"threshold":null' in facts and '"artifact_iou":0.333' in facts
    assert "shows no artifact in its 1 validation images" in caplog.text
