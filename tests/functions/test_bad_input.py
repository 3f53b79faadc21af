"""Bad input from Python: every public function answers with one clear line that names argument and remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import benchkit
from benchkit.api import Dataset, PixelContext, PixelCorruptor
from benchkit.errors import BenchkitError
from benchkit.inference.image_batch import ImageBatch
from tests.helpers.small_comparison import PLUGINS, Finished


@dataclass(frozen=True)
class Dark(PixelCorruptor):
    """Less light."""

    factor: float = 0.5

    def corrupt(self, at: PixelContext) -> Any:
        return at.images * self.factor


@dataclass(frozen=True)
class World:
    """What the calls work on, and the functions with arguments that are right."""

    grid: Path
    run: Any
    model: Any
    detector: Any
    folder: Path

    pictures = [Image.new("RGB", (40, 32), (90, 60, 30))] * 2
    masks = torch.ones(2, 32, 40, dtype=torch.bool)

    @property
    def split(self) -> Any:
        return benchkit.load_dataset("shapes", plugins=[PLUGINS])["test"]

    def _call(self, function: Callable[..., Any], fixed: dict[str, Any], given: dict[str, Any]) -> Any:
        return function(**{**fixed, **given})

    def corrupt(self, **given: Any) -> Any:
        fixed = {"corruptor": "none:steps=0", "images": self.pictures, "masks": self.masks, "model": self.model}
        return self._call(benchkit.corrupt, fixed, given)

    def invert(self, **given: Any) -> Any:
        return self._call(benchkit.invert, {"images": self.pictures, "steps": 0, "model": self.model}, given)

    def select(self, **given: Any) -> Any:
        return self._call(benchkit.select, {"selector": "random-boxes", "images": self.pictures}, given)

    def train(self, **given: Any) -> Any:
        own = {"detector": "dot", "images": self.pictures, "masks": self.masks, "iterations": 1, "device": "cpu"}
        return self._call(benchkit.train, {**own, "progress": False, "plugins": [PLUGINS]}, given)

    def evaluate(self, **given: Any) -> Any:
        fixed = {"detector": self.detector, "dataset": self.split, "progress": False, "model": self.model}
        return self._call(benchkit.evaluate, fixed, given)

    def plan(self, function: Callable[..., Any], **given: Any) -> Any:
        fixed = {"grid": self.grid, "plugins": [PLUGINS], "device": "cpu", "progress": False, "dry_run": True}
        return self._call(function, fixed, given)

    def compare(self, **given: Any) -> Any:
        return self.plan(benchkit.compare, **given)

    def ablate(self, **given: Any) -> Any:
        return self.plan(benchkit.ablate, **{"vary": {"corruptor.steps": [1, 2]}, **given})

    def tune(self, **given: Any) -> Any:
        space = {"corruptor": "gaussian", "space": {"steps": (1, 3)}}
        held = {"settings": {"validation": {"split": "wild", "size": 4}}}
        return self.plan(benchkit.tune, **{**space, **held, **given})

    def preview(self, **given: Any) -> Any:
        fixed = {"plugin": "none:steps=0", "images": 1, "dataset": "shapes", "model": self.model, "progress": False}
        return self._call(benchkit.preview, {**fixed, "device": "cpu", "plugins": [PLUGINS]}, given)

    def export(self, **given: Any) -> Any:
        fixed = {"run": self.run, "out": self.folder / "set", "row": "human", "format": "folder"}
        return self._call(benchkit.export, fixed, given)

    def figure(self, **given: Any) -> Any:
        return self._call(benchkit.figure, {"number": 4, "run": self.run, "device": "cpu"}, given)


@pytest.fixture(scope="module")
def world(
    grid: Path, finished: Finished, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BENCHKIT_CACHE", str(finished.cache))
        model = benchkit.load_model(tiny_checkpoint, device="cpu", num_inference_steps=10)
        run = benchkit.load_comparison(finished.out, plugins=[PLUGINS])
        pool = benchkit.load_dataset("shapes", plugins=[PLUGINS])["test"][:2]
        own: dict[str, Any] = {"iterations": 1, "device": "cpu", "progress": False, "plugins": [PLUGINS]}
        detector = benchkit.train("dot", pool, **own)
        yield World(grid, run, model, detector, tmp_path_factory.mktemp("bad"))


def once(*values: Any) -> Iterator[Any]:
    yield from values


Call = Callable[[World], Any]
#: Message, kind of error, call.
WRONG: list[tuple[str, type[Exception], Call]] = [
    # Images, masks, texts.
    ("'meta', which holds no values", ValueError, lambda w: w.corrupt(masks=w.masks.to("meta"))),
    (r"masks are a sparse tensor: give masks.to_dense\(\)", ValueError, lambda w: w.corrupt(masks=w.masks.to_sparse())),
    ("images are a sparse tensor", ValueError, lambda w: w.invert(images=torch.rand(2, 3, 8, 8).to_sparse())),
    ("not this generator", TypeError, lambda w: w.train(masks=once(w.masks))),
    (r"not this SplitView: give images\[:16\]", TypeError, lambda w: w.invert(images=w.split)),
    (r"not this dict: give list\(images\)", TypeError, lambda w: w.invert(images={"a": w.pictures[0]})),
    (r"not this Corrupted: give images.images", TypeError, lambda w: w.invert(images=w.corrupt())),
    (r"not this Sample: make a benchkit.ImageBatch", TypeError, lambda w: w.invert(images=list(w.split[:2]))),
    ("not this Tensor: join tensors with torch.stack", TypeError, lambda w: w.invert(images=[torch.rand(3, 8, 8)])),
    (r"of shape \(8, 8\): an image is \(H, W, 3\); of a grey", ValueError, lambda w: w.invert(images=[np.eye(8)])),
    (r"images\[0\]: 32-bit values", ValueError, lambda w: w.invert(images=[Image.new("F", (8, 8))])),
    (r"paste_background: 'no' is no bool", TypeError, lambda w: w.corrupt(paste_background="no")),
    ("steps: this ndarray is no whole number", TypeError, lambda w: w.invert(steps=np.array([1, 2]))),
    ("steps: this Tensor is no whole number", TypeError, lambda w: w.invert(steps=torch.tensor(0.5))),
    ("samples: this Image is no benchkit.api.Sample", TypeError, lambda w: ImageBatch(tuple(w.pictures))),
    ("samples: this Sample is no list of samples", TypeError, lambda w: ImageBatch(w.split[0])),
    ("3 entries, bools among them: give 6 bools", ValueError, lambda w: w.split[[True, False, True]]),
    ("there is no image 900 of 6", ValueError, lambda w: w.split[[900]]),
    ("'a' chooses no images: give a slice", TypeError, lambda w: w.split["a"]),
    ("this slice chooses no images", TypeError, lambda w: w.split[:"a"]),
    ("split: this slice is no name: give one of", TypeError, lambda w: benchkit.load_dataset("portraits")[:3]),
    ("model: this object is no checkpoint", TypeError, lambda w: w.split[:2].autoencoded(object())),
    # Plugins.
    ("inverter: None is no inverter: give text such as", TypeError, lambda w: w.corrupt(inverter=None)),
    ("corruptor: the class World is no corruptor", TypeError, lambda w: w.corrupt(corruptor=World)),
    ("inverter: Dark is a corruptor, not an inverter", TypeError, lambda w: w.corrupt(inverter=Dark())),
    ("unknown parameter 'step': did you mean 'steps'", ValueError, lambda w: w.corrupt(corruptor="gaussian:step=1")),
    ("plugins: plugin file|plugin file 'no.py' does not exist", ValueError, lambda w: w.corrupt(plugins=["no.py"])),
    ("plugins: this Dark is neither a file", TypeError, lambda w: w.corrupt(plugins=[Dark()])),
    ("detectors: this TrainedDetector is no detector", TypeError, lambda w: w.compare(detectors=[w.detector])),
    ("selectors: this Tensor is no list", TypeError, lambda w: w.compare(selectors=w.masks)),
    ("name an inverter, or omit", ValueError, lambda w: w.compare(inverters=[])),
    ("'folder:root=shots' for a folder of images", TypeError, lambda w: w.compare(dataset=Path("shots"))),
    (r"benchkit.save_plugin\(Dark", ValueError, lambda w: w.compare(corruptors=[Dark], executor="processes:workers=2")),
    # A comparison.
    ("model: this list is no checkpoint", TypeError, lambda w: w.compare(model=["portraits"])),
    ("seeds: None is no whole number", TypeError, lambda w: w.compare(seeds=[None])),
    ("seeds=2147483648: give a whole number, from 0", ValueError, lambda w: w.compare(seeds=[2**31])),
    ("settings: 3 is no text: write it as", TypeError, lambda w: w.compare(settings=[3])),
    ("settings: source.size is this object", TypeError, lambda w: w.compare(settings={"source.size": object()})),
    ("scale: 'x' is no number", TypeError, lambda w: w.compare(scale="x")),
    ("`scale` 2: give a factor", ValueError, lambda w: w.compare(scale=2)),
    ("out: 3 is no path", TypeError, lambda w: w.compare(out=3)),
    ("cache: 3 is no path", TypeError, lambda w: w.compare(cache=3)),
    ("store: 3 is no text", TypeError, lambda w: w.compare(store=3)),
    ("time_limit: '3' is no number: give seconds", TypeError, lambda w: w.compare(time_limit="3")),
    ("executor: None is no executor", TypeError, lambda w: w.compare(executor=None)),
    ("dry_run: 'no' is no bool", TypeError, lambda w: w.compare(dry_run="no")),
    ("strict: 'x' is no bool", TypeError, lambda w: w.compare(strict="x")),
    ("vary: 3 is no text", TypeError, lambda w: w.ablate(vary=[3])),
    (
        "vary: corruptor.steps is this generator, no list",
        TypeError,
        lambda w: w.ablate(vary={"corruptor.steps": once(1)}),
    ),
    ("model: 3 is no checkpoint", TypeError, lambda w: w.ablate(vary={"model": [3]})),
    ("vary: this TrainedDetector is no corruptor", TypeError, lambda w: w.ablate(vary={"corruptor": [w.detector]})),
    ("`trials`: 2.5 is no whole number", TypeError, lambda w: w.tune(trials=2.5)),
    ("`sampler_seed` -1: give a whole number", ValueError, lambda w: w.tune(sampler_seed=-1)),
    ("space: 3 is no text", TypeError, lambda w: w.tune(space=[3])),
    ("space: steps is this list: give a range", TypeError, lambda w: w.tune(space={"steps": []})),
    ("corruptor: None is no corruptor", TypeError, lambda w: w.tune(corruptor=None)),
    ("corruptor: the list is empty", ValueError, lambda w: w.tune(corruptor=[])),
    # One plugin.
    ("`images`: '2' is no whole number", TypeError, lambda w: w.preview(images="2")),
    ("values: steps is 1: give a list", TypeError, lambda w: w.preview(values={"steps": 1})),
    ("values: 3 is no text", TypeError, lambda w: w.preview(values=[3])),
    ("kind='x': choose corruptor or selector", ValueError, lambda w: w.preview(kind="x")),
    ("progress=5: give True", TypeError, lambda w: w.preview(progress=5)),
    ("plugin: this TrainedDetector is no plugin", TypeError, lambda w: benchkit.check(w.detector)),
    ("pictures: 3 is no path", TypeError, lambda w: benchkit.check("none", pictures=3)),  # type: ignore[arg-type]
    ("path: 3 is no path", TypeError, lambda w: benchkit.save_plugin(Dark, 3)),  # type: ignore[arg-type]
    ("board: 3 is no path", TypeError, lambda w: benchkit.predict("none", board=3)),  # type: ignore[arg-type]
    # Training and scoring.
    (r"training: this list is no dict", TypeError, lambda w: w.train(training=[1])),
    ("none of the 2 training images shows", ValueError, lambda w: w.train(masks=w.masks & False)),
    ("unknown split 'nope'", ValueError, lambda w: w.evaluate(dataset="portraits", validation="nope")),
    ("split: this SplitView is no name", TypeError, lambda w: w.evaluate(dataset="portraits", validation=w.split)),
    ("detector: give what .* not the class World", TypeError, lambda w: w.evaluate(detector=World)),
    ("folder: None is no path", TypeError, lambda w: benchkit.load_detector(None)),  # type: ignore[arg-type]
    ("folder: 3 is no path", TypeError, lambda w: w.detector.save(3)),
    ("the map of one image", ValueError, lambda w: w.detector.scores(np.zeros((2, 4, 4)))),
    ("unknown parameter 'sed'", ValueError, lambda w: benchkit.load_dataset(type(w.split.dataset), sed=3)),
    ("class Dataset lacks", TypeError, lambda w: benchkit.load_dataset(Dataset)),
    # A finished run.
    ("run: 3 is no run", TypeError, lambda w: benchkit.load_comparison(3)),  # type: ignore[arg-type]
    ("cache: 3 is no path", TypeError, lambda w: benchkit.load_comparison("x", cache=3)),  # type: ignore[arg-type]
    ("run: None is no run", TypeError, lambda w: w.export(run=None)),
    ("row: None is no row", TypeError, lambda w: w.export(row=None)),
    ("out: 3 is no path", TypeError, lambda w: w.export(out=3)),
    ("format: 3 is no text", TypeError, lambda w: w.export(format=3)),
    ("row: the class PixelCorruptor is no row", TypeError, lambda w: w.run.compare(PixelCorruptor, "human")),
    (r"metric=\['ap'\]: choose 'ap' or 'iou'", ValueError, lambda w: w.run.compare("human", "pseudo", metric=["ap"])),
    (
        "detector: this TrainedDetector is no detector",
        TypeError,
        lambda w: w.run.per_image("human", detector=w.detector),
    ),
    ("count: '3' is no whole number", TypeError, lambda w: w.run.images("none:steps=1", count="3")),
    ("`count` 0: give a whole number, from 1 to 50", ValueError, lambda w: w.figure(count=0)),
    ("`steps`: the list is empty", ValueError, lambda w: w.figure(number=6, steps=[])),
    ("`formats`: also give `out`", ValueError, lambda w: w.figure(formats=["png"])),
    ("formats: 3 is no text", TypeError, lambda w: w.figure(formats=[3], out="x")),
    ("row: the class World is no row", TypeError, lambda w: w.figure(row=World)),
    ("comparison: give what benchkit.compare", TypeError, lambda w: benchkit.gallery("x")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("message", "kind", "call"), WRONG, ids=[message for message, *_ in WRONG])
def test_bad_input_is_named_in_one_line(world: World, message: str, kind: type[Exception], call: Call) -> None:
    with pytest.raises(BenchkitError, match=message) as raised:
        call(world)
    assert isinstance(raised.value, kind), type(raised.value)
    assert "\n" not in str(raised.value)
    assert "--" not in str(raised.value), "core speaks of settings, not of flags"


def test_every_function_has_a_case() -> None:
    """A public function without a case here has its cases in test_steps or takes nothing that can be wrong."""
    elsewhere = {"load_model", "plot_ablation", "plot_board", "plot_depth"}
    classes = {name for name in benchkit.__all__ if isinstance(getattr(benchkit, name), type)}
    source = Path(__file__).read_text("utf-8")
    missing = [name for name in benchkit.__all__ if f".{name}(" not in source and f"benchkit.{name}," not in source]
    assert set(missing) - classes - elsewhere == set()


def test_numbers_of_numpy_and_torch_are_numbers(world: World) -> None:
    given = world.compare(settings={"source.size": np.int64(4), "labelled": torch.tensor(4)}, seeds=np.arange(1))
    assert repr(given) == repr(world.compare())
    assert world.ablate(vary={"corruptor.steps": [np.int64(1), 2]}).pending == world.ablate().pending


def test_bools_choose_images(world: World) -> None:
    split = world.split[:4]
    chosen = split[[True, False, False, True]]
    assert chosen.ids == split[[0, 3]].ids
    assert chosen[chosen.annotated].ids == chosen.ids == split[np.array([1, 0, 0, 1], bool)].ids
    assert split[torch.ones(4, dtype=torch.bool)].ids == split[:].ids


def test_a_dataset_that_was_loaded_is_compared(world: World) -> None:
    view = benchkit.load_dataset("shapes", plugins=[PLUGINS])
    assert repr(world.compare(dataset=view)) == repr(world.compare(dataset="shapes"))


@pytest.mark.parametrize("name", ["compare", "ablate"])
def test_type_checkers_and_editors_see_the_same_arguments(name: str) -> None:
    """Editors read the signature; type checkers read the overloads, whose arguments are a TypedDict."""
    import inspect

    from benchkit.functions.compare import CompareArguments, RunArguments

    typed = set((CompareArguments if name == "compare" else RunArguments).__annotations__)
    typed |= set(RunArguments.__annotations__)
    positional = {"grid", "vary", "dry_run", "crossed"}
    assert set(inspect.signature(getattr(benchkit, name)).parameters) - positional == typed
