"""What is known before work: every fault of grids and of their images in one error, and none that is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from benchkit.api import BenchkitError, Dataset, Detector, ImageFacts, RegionSelector, Sample
from benchkit.config.grid import Grid, load_grid, parse_grid
from benchkit.planning.preflight.check_grids import check_grids, check_images
from benchkit.planning.preflight.facts import Facts
from benchkit.planning.preflight.remarks import find_unlike_checkpoint
from benchkit.plugin.registry import Entry, Registry
from benchkit.runs.run import add_remarks
from benchkit.specs.faults import Collector, Fault, FaultsError
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet

SIZES = {"pool": 40, "clean": 30, "test": 20, "validation": 10, "wild": 8}
#: Split -> index -> what differs there from a good image.
Odd = Mapping[str, Mapping[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class World(Dataset):
    """A dataset of 32x32 images whose facts are as a test says; each reading is counted."""

    name = "world"
    sizes: ClassVar[dict[str, int]] = {}
    odd: ClassVar[Odd] = {}
    says: ClassVar[bool] = True
    marked: ClassVar[frozenset[str]] = frozenset()
    reads: ClassVar[list[tuple[str, tuple[int, ...]]]] = []
    inspected: ClassVar[list[int]] = []

    def splits(self) -> Mapping[str, int]:
        return self.sizes

    def fact(self, split: str, index: int) -> ImageFacts:
        good = ImageFacts(f"{split}-{index}", (32, 32), split != "clean", None, True)
        return replace(good, **self.odd.get(split, {}).get(index, {}))

    def inspect(self, split: str, indices: Sequence[int]) -> Sequence[ImageFacts]:
        self.inspected.append(len(indices))
        return [self.fact(split, i) if self.says else ImageFacts() for i in indices]

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        self.reads.append((split, tuple(indices)))
        return [self._sample(self.fact(split, i), split) for i in indices]

    def _sample(self, fact: ImageFacts, split: str) -> Sample:
        if fact.fault:
            raise BenchkitError(fact.fault)
        mask = np.full(fact.size or (32, 32), split in self.marked)
        return Sample(fact.id, np.zeros((*mask.shape, 3), np.uint8), mask if fact.labelled else None, "a caption")

    def labelled(self, count: int, seed: int) -> list[int]:
        marked = [i for i in range(self.sizes["pool"]) if self.fact("pool", i).labelled]
        if count > len(marked):
            raise BenchkitError(f"{count} are more than the {len(marked)} with a mask")
        return np.random.default_rng(seed).permutation(marked)[:count].tolist()

    def fingerprint(self) -> str:
        return "1"

    def remedy(self, split: str) -> str | None:
        return f"map one with {split}=SPLIT"


@dataclass(frozen=True)
class Needy(RegionSelector):
    """Needs what its parameter says."""

    name = "needy"
    what: str = "mask"

    def needs(self) -> Sequence[str]:
        return (self.what,)

    def select(self, at: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Pair(Detector):
    """Trains on two images or more."""

    name = "pair"
    smallest_batch = 2

    def build(self) -> Any:
        raise NotImplementedError


GRID = """
title: A grid
dataset: world
model: portraits
num_inference_steps: 10
labelled: 4
source: {split: clean, size: 8}
test: {split: test, size: 8}
validation: {split: validation, size: 8}
baselines: [human, pseudo, oracle]
selectors: [random-boxes]
corruptors: ["gaussian:steps=2"]
inverter: ddim
detectors: [pair]
selector_training: &budget {iterations: 1, batch: 2}
training: *budget
"""


@pytest.fixture
def registry() -> Registry:
    found = Registry.load()
    World.sizes, World.odd, World.says = dict(SIZES), {}, True
    World.marked, World.reads, World.inspected = frozenset(SIZES), [], []
    for cls in (World, Needy, Pair):
        found._entries[cls.kind, cls.name] = Entry(cls.kind, cls.name, cls, "a test", None, "0")
    return found


def grid(**changes: Any) -> Grid:
    return parse_grid(GRID, "a.yaml").replaced(**changes)


def faults(registry: Registry, *grids: Grid, locations: Sequence[str] = ()) -> tuple[Fault, ...]:
    """All faults of the grids."""
    named = [(locations[i] if locations else "", one) for i, one in enumerate(grids)]
    with pytest.raises(FaultsError) as raised:
        check_images(named, registry)
    return raised.value.faults


def test_a_good_grid_has_no_fault_and_no_pixel_is_decoded_but_for_a_mark(registry: Registry) -> None:
    check_images([("", grid())], registry)
    read = [("test", (0,)), ("validation", (0,)), ("pool", (11,)), ("wild", (0,))]
    assert World.reads == read, "one mask of a set shows that some pixel is annotated"


def test_every_set_that_is_short_is_named_at_once_with_settings_that_fit(registry: Registry) -> None:
    wanted = {"test": 90, "source": 91, "validation": 92}
    sets = {key: {**getattr(grid(), key).model_dump(), "size": size} for key, size in wanted.items()}
    short = grid(labelled=77, oracle={"split": "wild", "size": 9}, **sets)
    found = faults(registry, short)
    assert [fault.message.partition(":")[0] for fault in found] == [
        "labelled",
        "source",
        "test",
        "validation",
        "oracle",
    ]
    fitting = FaultsError(found).settings
    assert fitting == {
        "labelled": 40,
        "source.size": 30,
        "test.size": 20,
        "validation.size": 10,
        "oracle.split": "wild",
        "oracle.size": 8,
    }
    from benchkit.config.overrides import apply_settings

    check_images([("", apply_settings(short, [f"{key}={value}" for key, value in fitting.items()]))], registry)


def test_a_pool_that_gives_labelled_images_and_sources_is_shared_out(registry: Registry) -> None:
    source = {"split": "pool", "size": 30, "rest": True}
    found = faults(registry, grid(labelled=90, source=source, baselines=["human"]))
    assert FaultsError(found).settings == {"labelled": 20, "source.size": 20}
    check_images([("", grid(labelled=20, source={**source, "size": 20}, baselines=["human"]))], registry)


def test_more_labelled_images_than_are_marked_are_refused_with_both_counts(registry: Registry) -> None:
    World.odd = {"pool": {i: {"labelled": False} for i in range(4, 40)}}
    (fault,) = faults(registry, grid(labelled=8))
    assert str(fault) == "labelled: 8 were asked for, split 'pool' of dataset 'world' has 4 with a mask"
    assert fault.settings == {"labelled": 4}


def test_a_split_that_lacks_is_named_with_the_datasets_own_remedy(registry: Registry) -> None:
    del World.sizes["validation"], World.sizes["clean"]
    source, validation = faults(registry, grid())
    assert (
        str(source) == "source: dataset 'world' has no split 'clean': it has pool, test, wild: map one with clean=SPLIT"
    )
    assert validation.settings == {"validation": None} and "validation=SPLIT" in str(validation)


def test_names_sets_checkpoint_and_images_are_faults_of_one_error(registry: Registry) -> None:
    World.odd = {"test": {3: {"labelled": False}}}
    wrong = grid(
        corruptors=["blurr", "gaussian:steps=11", "gaussian:strength=-1"],
        inverter="ddimm",
        model="no/such/folder",
        validation={"split": "held", "size": 2},
    )
    text = "\n".join(map(str, faults(registry, wrong)))
    for expected in (
        "unknown corruptor 'blurr'",
        "unknown inverter 'ddimm'",
        "corruptor 'gaussian:steps=11': steps must lie in 0...10",
        "has no split 'held'",
        "1 of 8 images of split 'test' of dataset 'world' have no mask: 'test-3'",
    ):
        assert expected in text
    assert "unknown parameter 'strength'" in text


def test_a_dataset_that_cannot_be_opened_is_one_fault(registry: Registry) -> None:
    (fault,) = faults(registry, grid(dataset="folder:root=no-such-folder"))
    assert "no-such-folder" in str(fault)


@pytest.mark.parametrize(
    ("split", "key", "marks"), [("test", "test", True), ("validation", "validation", True), ("wild", "oracle", True)]
)
def test_images_without_a_mask_are_counted_and_the_first_are_named(
    registry: Registry, split: str, key: str, marks: bool
) -> None:
    World.odd = {split: {i: {"labelled": False} for i in range(5)}}
    (fault,) = faults(registry, grid())
    assert fault.message == (
        f"{key}: 5 of 8 images of split '{split}' of dataset 'world' have no mask: '{split}-0', '{split}-1', "
        f"'{split}-2' and 2 more"
    )
    assert "annotate them" in fault.remedy


def test_faults_of_files_are_named_once_for_all_seeds_and_rows(registry: Registry) -> None:
    reason = "pool/7.png: the mask is 8x8, the image 32x32: make them one size"
    World.odd = {
        "pool": {i: {"fault": reason} for i in range(40)},
        "clean": {2: {"fault": "clean/2.png: not an image"}},
    }
    found = faults(registry, grid(seeds=[0, 1, 2]))
    assert len(found) == 2
    assert found[0].message.startswith("labelled: ") and found[0].message.count(reason) == 3
    assert found[1].message.endswith(
        "1 of 8 images of split 'clean' of dataset 'world' cannot be read: clean/2.png: not an image"
    )


def test_a_dataset_that_tells_nothing_is_looked_at_once_a_set(registry: Registry) -> None:
    World.says = False
    World.odd = {"test": {0: {"labelled": False}}, "validation": {1: {"labelled": False}}}
    (fault,) = faults(registry, grid())
    assert fault.message == "test: split 'test' of dataset 'world' has images without a mask, 'test-0' is the first"
    looked = [(split, indices) for split, indices in World.reads if split in ("clean", "parts")]
    assert (
        looked
        and all(len(indices) == 1 for _, indices in looked)
        and len(looked) == len({split for split, _ in looked})
    )


def test_a_first_image_that_cannot_be_read_is_refused_beforehand(registry: Registry) -> None:
    World.says = False
    World.odd = {"clean": {0: {"fault": "clean-0.png is no image"}}}
    (fault,) = faults(registry, grid())
    assert "clean-0.png is no image" in fault.message


def test_images_of_several_sizes_are_refused_with_how_many_of_each(registry: Registry) -> None:
    World.odd = {"clean": {5: {"size": (64, 48)}}}
    (fault,) = faults(registry, grid())
    assert fault.message == (
        "source: the images of split 'clean' of dataset 'world' have several sizes (7 of 32x32, 1 of 48x64): 'clean-5'"
    )


def test_sides_that_the_latent_factor_does_not_divide_are_refused(registry: Registry) -> None:
    World.odd = {"clean": {i: {"size": (30, 32)} for i in range(30)}}
    (fault,) = faults(registry, grid())
    assert "are 32x30: the checkpoint takes sides that are multiples of 8" in fault.message
    check_images([("", grid(corruptors=[], baselines=["human"]))], registry)


def test_images_without_pixels_are_refused(registry: Registry) -> None:
    World.odd = {"clean": {i: {"size": (0, 32)} for i in range(30)}}
    (fault,) = faults(registry, grid())
    assert "have no pixels: 32x0" in fault.message


def test_a_crop_larger_than_the_images_names_the_budget_and_a_crop_that_fits(registry: Registry) -> None:
    budget = {"iterations": 1, "batch": 2, "crop": 40}
    found = faults(registry, grid(training=budget))
    assert {fault.message[:32] for fault in found} == {"training: crop 40 is more than t"}
    assert FaultsError(found).settings == {"training.crop": 32}


def test_validation_images_without_a_mark_are_refused(registry: Registry) -> None:
    World.marked = frozenset(SIZES) - {"validation"}
    (fault,) = faults(registry, grid())
    assert "none of the 8 images of split 'validation' of dataset 'world' has an annotated pixel" in fault.message
    assert fault.settings == {"validation": None}
    check_images([("", grid(validation=None))], registry)


def test_test_images_without_a_mark_are_refused(registry: Registry) -> None:
    World.marked = frozenset(SIZES) - {"test"}
    (fault,) = faults(registry, grid())
    assert fault.message.startswith(
        "test: none of the 8 images of split 'test' of dataset 'world' has an annotated pixel"
    )
    assert fault.remedy == "name a split with artifacts" and not fault.settings


def test_where_the_dataset_knows_what_is_marked_no_mask_is_decoded(registry: Registry) -> None:
    knows = {"test": range(8), "validation": range(8), "wild": range(8), "pool": range(40)}
    World.odd = {split: {i: {"positive": i % 4 == 3} for i in indices} for split, indices in knows.items()}
    check_images([("", grid())], registry)
    World.odd = {**World.odd, "validation": {i: {"positive": False} for i in range(8)}}
    faults(registry, grid())
    assert World.reads == []


def test_labelled_images_without_a_mark_cannot_set_a_learned_threshold(registry: Registry) -> None:
    World.marked = frozenset({"test", "validation"})
    found = faults(registry, grid(selectors=["learned:detector=pair"]))
    assert "threshold cannot be matched" in found[0].message
    (fault,) = faults(registry, grid(baselines=["human", "pseudo"], selectors=["learned:detector=pair,tau=0.5"]))
    assert "labelled: none of the" in fault.message and "nothing can be learned from them" in fault.message
    check_images([("", grid(baselines=["pseudo"], selectors=["grid"]))], registry)


def test_an_oracle_without_an_artifact_is_refused_before_work(registry: Registry) -> None:
    World.marked = frozenset({"test", "validation", "pool"})
    (fault,) = faults(registry, grid(selectors=["grid"]))
    assert fault.message.startswith("oracle: none of the 8 images of split 'wild' of dataset 'world' has an annotated")


def test_what_a_plugin_needs_of_samples_is_known_before(registry: Registry) -> None:
    (mask,) = faults(registry, grid(selectors=["needy"]))
    assert mask.message.startswith("selector 'needy' needs 'mask' of every image: split 'clean' of dataset 'world'")
    (part,) = faults(registry, grid(selectors=["union:of=random-boxes+(needy:what=parts)"]))
    assert "needs 'parts'" in part.message
    World.odd = {"clean": {6: {"captioned": False}}}
    (caption,) = faults(registry, grid(selectors=["needy:what=caption"]))
    assert "'clean-6'" in caption.message


def test_a_part_that_the_dataset_does_not_know_is_a_fault(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = World.read

    def with_parts(self: World, split: str, indices: Sequence[int]) -> Sequence[Sample]:
        parts = {"parts": np.zeros((64, 64), np.uint8), "part_names": ("wall", "hand")}
        return [replace(sample, attributes=parts) for sample in plain(self, split, indices)]

    monkeypatch.setattr(World, "read", with_parts)
    (fault,) = faults(registry, grid(selectors=["parts:names=foot"]))
    assert fault.message == "selector 'parts': the dataset has no part 'foot': choose from wall, hand"
    check_images([("", grid(selectors=["parts:names=hand"]))], registry)


@pytest.mark.parametrize("name", ["prompt-swap:steps=2", "prompt-swap:steps=2,caption=null"])
def test_a_swap_of_captions_needs_captions(registry: Registry, name: str) -> None:
    World.odd = {"clean": {i: {"captioned": False} for i in range(30)}}
    (fault,) = faults(registry, grid(corruptors=[name]))
    assert "needs 'caption' of every image" in fault.message
    check_images([("", grid(corruptors=["prompt-swap:steps=2,caption=a dog"]))], registry)


def test_references_need_two_images(registry: Registry) -> None:
    one = {"split": "clean", "size": 1}
    (fault,) = faults(registry, grid(corruptors=["mode-interpolation:steps=2"], source=one))
    assert "draws a reference image for each image: give a source of two or more" in str(fault)


def test_an_empty_split_is_refused(registry: Registry) -> None:
    World.sizes["clean"] = 0
    (fault,) = faults(registry, grid(source={"split": "clean"}))
    assert str(fault) == "source: split 'clean' of dataset 'world' has no image: name a split that has some"


def test_a_batch_that_the_detector_cannot_train_on_is_refused(registry: Registry) -> None:
    (fault,) = faults(registry, grid(training={"iterations": 1, "batch": 1}))
    assert str(fault) == "training.batch is 1: detector 'pair' trains on batches of 2 or more"
    assert fault.settings == {"training.batch": 2}


def test_sets_that_are_put_together_must_be_of_one_size(registry: Registry) -> None:
    World.odd = {"pool": {i: {"size": (64, 64)} for i in range(40)}}
    mean, mixed = faults(registry, grid(with_human=["gaussian:steps=2"]))
    assert mean.settings == {"trivial": ["all-negative", "all-positive"]}
    assert mixed.message.startswith("with_human: labelled images of 64x64 and images of source of 32x32")


def test_a_longer_schedule_than_the_checkpoints_is_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchkit.diffusion.checkpoint import Checkpoint

    monkeypatch.setattr(Checkpoint, "scheduler_config", lambda self: {"num_train_timesteps": 100})
    (fault,) = faults(registry, grid(num_inference_steps=101))
    assert str(fault) == "num_inference_steps: 101 is more than the 100 timesteps of 'portraits': choose 100 or less"


def test_a_fault_of_the_base_is_not_said_again_of_its_variants(registry: Registry) -> None:
    World.odd = {"test": {0: {"labelled": False}}}
    deep = grid(corruptors=["gaussian:steps=11"])
    found = faults(registry, grid(), grid(labelled=5), deep, locations=("", "--vary labelled=5: ", "--vary steps=11: "))
    assert [fault.message.partition(": ")[0] for fault in found] == ["--vary steps=11", "test"]
    assert sum(World.inspected) <= sum(SIZES.values()) + 40, "each image is asked about once for all grids"


def test_images_are_looked_at_without_a_plan_only_where_something_else_is_wrong(registry: Registry) -> None:
    check_grids([("", grid())], registry)
    assert World.inspected == [] and World.reads == []


def test_lines_of_a_grid_file_lead_its_faults(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GRID.replace("size: 8}", "size: 99}"))
    with pytest.raises(FaultsError) as raised:
        check_grids([("", load_grid(str(file)))], registry)
    lines = [fault.message.partition(": ")[0] for fault in raised.value.faults]
    assert lines == [f"{file}, line 7", f"{file}, line 8", f"{file}, line 9", "oracle"]


def test_a_dataset_must_tell_one_fact_an_image(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "inspect", lambda self, split, indices: [])
    assert "inspect() must return one ImageFacts for each" in str(faults(registry, grid())[0])


def test_the_search_for_a_mark_ends(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchkit.planning.preflight.facts.SEARCH", -1.0)
    World.marked = frozenset()
    images = ImageSet(registry.complete(Spec.of("dataset", "world")), "validation", tuple(range(10)))
    assert Facts(registry).has_positive(images) is None
    assert len(World.reads) == 1


def test_one_fault_is_a_line_and_several_are_a_list() -> None:
    one = Fault("test: too few", "ask for less", {"test.size": 2})
    assert str(FaultsError([one])) == "test: too few: ask for less; with this data: test.size=2"
    collector = Collector()
    with collector.collecting():
        raise FaultsError([one, Fault("b")])
    with collector.collecting("--vary x=1: "):
        raise BenchkitError("b")
    with collector.collecting("--vary x=1: "):
        raise BenchkitError("c")
    with pytest.raises(FaultsError) as raised:
        collector.check()
    assert str(raised.value).splitlines() == [
        "3 faults, found before any work:",
        "  1. test: too few: ask for less",
        "  2. b",
        "  3. --vary x=1: c",
        "  with this data: test.size=2",
    ]


def test_images_unlike_those_that_the_checkpoint_draws_are_remarked_on(registry: Registry, tmp_path: Path) -> None:
    (content,) = find_unlike_checkpoint(grid(), registry)
    assert content.startswith(
        "checkpoint 'portraits' was trained on painted people of 128x128 pixels, and the images of"
    )
    assert "'world' (32x32 pixels) are different" in content
    own = {"dataset": "portraits", "source": {"split": "clean", "size": 2}}
    assert find_unlike_checkpoint(grid(**own), registry) == ()
    assert find_unlike_checkpoint(grid(corruptors=[]), registry) == ()


@pytest.mark.parametrize(
    ("side", "remarked"), [(32, True), (64, True), (72, False), (128, False), (248, False), (256, True)]
)
def test_sizes_far_from_the_checkpoints_are_remarked_on(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, side: int, remarked: bool
) -> None:
    monkeypatch.setattr("benchkit.planning.preflight.remarks._card", lambda found: {})
    World.odd = {"clean": {0: {"size": (side, side)}}}
    found = find_unlike_checkpoint(grid(), registry)
    assert bool(found) is remarked
    if remarked:
        assert "was trained on images of 128x128 pixels" in found[0] and f"{side}x{side}" in found[0]


def test_remarks_stand_on_the_board_and_in_the_record(registry: Registry) -> None:
    config = add_remarks({"note": "A note."}, grid(), registry)
    assert len(config["remarks"]) == 1
    assert add_remarks({}, grid(corruptors=[]), registry) == {}


def test_rows_that_would_vanish_are_faults(registry: Registry) -> None:
    none = {"corruptors": [], "with_human": [], "baselines": [], "trivial": []}
    assert "the comparison has no rows: " in str(faults(registry, grid(**none))[0])
    one = none | {"corruptors": ["gaussian:steps=2"]}
    expected = [str(fault) for fault in faults(registry, grid(**one, selectors=[], detectors=[]))]
    rows = "is empty: name one for row gaussian:steps=2"
    assert expected[:2] == [f"selectors {rows}", f"detectors {rows}"]
    check_grids([("", grid(**none | {"trivial": ["all-negative"]}, selectors=[]))], registry)


def test_weights_that_do_not_exist_are_named_before_work(registry: Registry) -> None:
    (fault,) = faults(registry, grid(detectors=["frozen-convnext:pretrained=/nope.pth"]))
    assert fault.message.endswith("pretrained: no file '/nope.pth'") and "URL" in fault.remedy
