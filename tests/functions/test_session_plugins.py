"""Objects wherever a name goes: text, Specs, classes and instances of a notebook in `benchkit.compare`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import benchkit
from benchkit.api import Corruptor
from benchkit.errors import ArgumentTypeError, ArgumentValueError, BenchkitError
from benchkit.functions.grid_arguments import list_seeds, list_settings
from benchkit.functions.plugin_arguments import name_plugin, name_plugins
from benchkit.functions.tune import list_spaces
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from tests.helpers.cells import Notebook, notebook
from tests.helpers.small_comparison import PLUGINS, Finished

CELL = """\
from dataclasses import dataclass
from benchkit.api import PixelCorruptor, param

@dataclass(frozen=True)
class Darker(PixelCorruptor):
    '''Less light.'''
    factor: float = param(0.5, ge=0, le=1)

    def corrupt(self, at):
        return at.images * self.factor
"""
#: Columns that differ between runs of the same work: the run, its time, and where plugins come from.
OWN = ("run", "seconds", "plugins")
ROWS = ("human", "pseudo", "none:steps=1", "gaussian:steps=1", "all-negative")


@pytest.fixture
def cells() -> Iterator[Notebook]:
    with notebook() as made:
        made.run(CELL)
        yield made


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture
def small(grid: Path, finished: Finished, tmp_path: Path) -> Any:
    """Return `benchkit.compare` on the small comparison, with the finished one's cache."""
    shutil.copytree(finished.cache, tmp_path / "cache")
    fixed = {"cache": tmp_path / "cache", "plugins": [PLUGINS], "device": "cpu", "progress": False}
    return lambda **given: benchkit.compare(grid, **{**fixed, **given})


def measured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON has them, without those columns that another run may have otherwise."""
    return [{k: v for k, v in json.loads(json.dumps(row)).items() if k not in OWN} for row in rows]


def test_a_plugin_is_named_in_any_form(cells: Notebook, registry: Registry) -> None:
    gaussian = registry.entry("corruptor", "gaussian").cls
    forms = ("gaussian:steps=5", Spec.of("corruptor", "gaussian", steps=5), gaussian(steps=5))  # type: ignore[call-arg]
    assert [name_plugin(form, "corruptor", registry, "corruptors") for form in forms] == ["gaussian:steps=5"] * 3
    assert name_plugin(gaussian, "corruptor", registry, "corruptors") == "gaussian"
    own = Registry.load()
    darker = cells.module.Darker
    given = [darker, darker(factor=0.25)]
    assert name_plugins(given, "corruptor", own, "corruptors") == ["darker", "darker:factor=0.25"]
    assert name_plugins("none", "corruptor", own, "corruptors") == ["none"]
    assert not registry.has("corruptor", "darker"), "a class is known in its own call only"


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (3, ArgumentTypeError, "corruptors: 3 is no list"),
        ([3], ArgumentTypeError, "corruptors: 3 is no corruptor: give text such as 'NAME:key=value'"),
        ([int], ArgumentTypeError, "corruptors: the class int is no corruptor"),
        ([], ArgumentValueError, "corruptors: the list is empty"),
        ((name for name in ["none"]), ArgumentTypeError, r"this generator is no list: give list\(corruptors\)"),
        ([Spec.of("detector", "dot")], ArgumentTypeError, "corruptors: 'dot' is a detector, not a corruptor"),
        ([Corruptor], ArgumentValueError, "corruptors: "),
    ],
)
def test_what_is_no_plugin_is_refused(value: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        name_plugins(value, "corruptor", Registry.load(), "corruptors")


def test_a_plugin_of_another_kind_is_refused(registry: Registry) -> None:
    selector = registry.entry("selector", "random-boxes").cls
    with pytest.raises(ArgumentTypeError, match=r"detectors: .* is a selector, not a detector"):
        name_plugins([selector()], "detector", registry, "detectors")


def test_settings_are_those_of_the_command_line() -> None:
    given = {"source.size": 64, "title": "a: b", "training.crop": None, "baselines": ("human",)}
    assert list_settings(given) == ["source.size=64", "title=a: b", "training.crop=null", 'baselines=["human"]']
    assert list_settings(["source.size=64"]) == ["source.size=64"] and list_settings(None) == []
    for wrong, message in (
        ("a=1", "is no dict: give one"),
        ({1: 2}, "the key 1 is no text"),
        ({"a": object()}, "a is this object"),
    ):
        with pytest.raises(ArgumentTypeError, match=message):
            list_settings(wrong)


def test_seeds_are_whole_numbers() -> None:
    assert list_seeds(range(3)) == [0, 1, 2]
    for wrong, message in ((5, r"such as range\(5\)"), ("0,1", "give a list"), ([0.5], "0.5 is no whole number")):
        with pytest.raises(ArgumentTypeError, match=message):
            list_seeds(wrong)
    with pytest.raises(ArgumentValueError, match="the list is empty"):
        list_seeds([])


def test_python_and_the_command_line_give_the_same_rows(small: Any, finished: Finished) -> None:
    rows = json.loads((finished.out / "board.json").read_text())["rows"]
    ended = small()
    assert ended.stages["run"] == ended.stages["failed"] == 0
    pairs = zip(measured(ended.outcome.board.rows()), measured(rows), strict=True)
    assert {key for one, other in pairs for key in one | other if one.get(key) != other.get(key)} == set()
    assert {row["training_set"] for row in rows} == set(ROWS)


def test_a_class_of_a_notebook_is_compared_and_computed_once(small: Any, cells: Notebook, tmp_path: Path) -> None:
    darker = cells.module.Darker
    first = small(corruptors=[darker(factor=0.25), "none:steps=1"])
    names = [row["training_set"] for row in first.outcome.board.rows() if row["role"] == "corrupted"]
    assert sorted(names) == ["darker:factor=0.25", "none:steps=1"] and first.failures == ()
    cells.run(CELL)
    again = small(corruptors=[cells.module.Darker(factor=0.25), "none:steps=1"])
    assert again.stages["run"] == 0, "an equal cell finds its results"
    file = benchkit.save_plugin(cells.module.Darker, tmp_path / "darker.py")
    saved = small(corruptors=["darker:factor=0.25", "none:steps=1"], plugins=[PLUGINS, file])
    assert saved.stages["run"] == 0, "the file has the identity of the class"
    assert measured(saved.outcome.board.rows()) == measured(again.outcome.board.rows())
    cells.run(CELL.replace("at.images *", "at.images * 0.9 *"))
    edited = small(corruptors=[cells.module.Darker(factor=0.25)], dry_run=True)
    assert edited.pending["train"] == 1 and len(edited.pending) > 2, "an edited cell is computed again"


def test_another_process_cannot_have_the_class(small: Any, cells: Notebook) -> None:
    message = r"class Darker of this session.*benchkit\.save_plugin\(Darker, 'darker\.py'\).*`executor` inline"
    for dry_run in (True, False):
        with pytest.raises(ArgumentValueError, match=message):
            small(corruptors=[cells.module.Darker], executor="processes:workers=2", dry_run=dry_run)


def test_two_classes_of_one_name_are_refused(small: Any, cells: Notebook) -> None:
    first = cells.module.Darker
    cells.run(CELL.replace("0.5", "0.6"))
    with pytest.raises(ArgumentValueError, match="corruptors: a corruptor named 'darker' exists already"):
        small(corruptors=[first, cells.module.Darker], dry_run=True)


def test_a_dry_run_is_an_object(small: Any) -> None:
    dry = small(settings={"title": "<b>odd</b>"}, seeds=range(2), dry_run=True)
    assert repr(dry).startswith("<DryRun of '<b>odd</b>': ") and "\n" not in repr(dry)
    page = dry._repr_html_()
    assert "&lt;b&gt;odd" in page and "<b>odd" not in page and "rows, corrupted: none:steps=1" in page
    assert dry.table()[-1] == ("all", sum(dry.pending.values()), sum(dry.cached.values()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": {"sorce.size": 4}}, "`settings`: unknown key 'sorce': did you mean 'source'"),
        ({"settings": {"dataset": "portraits"}, "dataset": "shapes"}, "`dataset` sets the same"),
        ({"corruptors": ["gausian"]}, "unknown corruptor 'gausian': did you mean 'gaussian'"),
        ({"model": object()}, "model: this object is no checkpoint"),
        ({"seeds": [-1]}, "seeds=-1: give a whole number"),
        ({"device": 0}, "device: 0 is no text: give auto"),
        ({"progress": 3}, "progress=3: give True, False or a function"),
        ({"plugins": "tiny.py"}, "plugins: 'tiny.py' is no list: give a list of files"),
        ({"executor": "threads"}, "unknown executor 'threads'"),
    ],
)
def test_wrong_arguments_are_named_without_flags(small: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchkitError, match=message) as caught:
        small(**given, dry_run=True)
    assert "--" not in str(caught.value)


WORLD = """\
from dataclasses import dataclass
from benchkit.api import Detector, RegionSelector
from tests.helpers.tiny_plugins import Shapes

@dataclass(frozen=True)
class MyShapes(Shapes):
    '''The same squares.'''
    def fingerprint(self):
        return "2"

@dataclass(frozen=True)
class MyDot(Detector):
    '''One convolution.'''
    side: int = 1
    def build(self):
        from torch import nn
        return nn.Conv2d(3, 2, self.side)

@dataclass(frozen=True)
class Everywhere(RegionSelector):
    '''The whole image.'''
    def detector(self):
        return None
    def select(self, at):
        return at.images[:, 0] >= 0
"""


def test_plugins_of_every_kind_may_be_classes(small: Any, cells: Notebook) -> None:
    cells.run(WORLD)
    own = cells.module
    ended = small(dataset=own.MyShapes, detectors=own.MyDot, selectors=[own.Everywhere], corruptors=["pixel-blur"])
    assert ended.failures == () and ended.stages["failed"] == 0
    names = {(row["training_set"], row["detector"], row["selector"]) for row in ended.outcome.board.rows()}
    assert ("pixel-blur", "my-dot:side=1", "everywhere") in names


def test_a_comparison_with_a_class_is_exported_and_drawn(small: Any, cells: Notebook, tmp_path: Path) -> None:
    ended = small(corruptors=[cells.module.Darker(factor=0.25)])
    done = benchkit.export(ended, tmp_path / "set", row="darker:factor=0.25", format="folder")
    assert done.images and "darker" in repr(done) and "\n" not in repr(done)
    drawn = benchkit.figure(4, ended, device="cpu", out=tmp_path / "figure", formats=["png", "svg"])
    assert [path.name for path in drawn.files] == ["figure.png", "figure.svg"]
    assert "darker" in repr(drawn) and drawn._repr_png_() == drawn.files[0].read_bytes()
    with pytest.raises(ArgumentValueError, match="number=3"):
        benchkit.figure(3, ended)


def test_a_class_is_checked_and_previewed(cells: Notebook, tiny_checkpoint: Path) -> None:
    darker = cells.module.Darker
    reports = benchkit.check(darker)
    assert reports.ok and "a Python session" in str(reports) and repr(reports) == "<Reports: corruptor darker conforms>"
    assert not benchkit.check(type("Odd", (darker,), {"__doc__": "Odd."})).ok, "it is no dataclass"
    where: dict[str, Any] = {"dataset": "shapes", "model": tiny_checkpoint, "device": "cpu", "plugins": [PLUGINS]}
    sheet = benchkit.preview(darker, {"factor": [0.1, 0.9]}, images=1, progress=False, **where)
    assert sheet.width == 4 * 132 + 4, "the image, the mask, and a column for each value"


@pytest.mark.parametrize(
    ("space", "texts"),
    [
        ({"steps": (5, 20)}, ["steps=5..20"]),
        ({"mode": ["a", "b"], "steps": "1..3"}, ["mode=a|b", "steps=1..3"]),
        (["steps=5..20"], ["steps=5..20"]),
        (None, []),
    ],
)
def test_a_space_is_that_of_the_command_line(space: Any, texts: list[str]) -> None:
    assert list_spaces(space) == texts


def test_a_space_of_another_form_is_refused() -> None:
    for space, message in (("steps=5", "is no dict: give one"), ({"steps": 5}, r"give a range \(low, high\)")):
        with pytest.raises(ArgumentTypeError, match=message):
            list_spaces(space)
