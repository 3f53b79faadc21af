"""Plugin classes that no file has: their text, their identity, and the file that `save_plugin` writes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchkit
from benchkit.errors import ArgumentTypeError, ArgumentValueError, BenchkitError
from benchkit.plugin.class_source import plugin_source
from benchkit.plugin.registry import Registry
from tests.helpers.cells import Notebook, notebook

IMPORTS = """\
import math
from dataclasses import dataclass
from typing import Literal
from benchkit.api import LatentCorruptor as Base
from benchkit.api import corruptor, param
Mode = Literal["weak", "strong"]
GAIN = 0.5
unused = object()
"""
HELPER = """\
def scaled(noise, by):
    return noise * by * GAIN / math.sqrt(4)
"""
CLASS = '''\
@dataclass(frozen=True)
class MyNoise(Base):
    """Noise that a helper scales."""
    steps: int = 1
    strength: float = param(0.5, ge=0)
    mode: Mode = "weak"

    def corrupt(self, at: "Unknown"):
        return scaled(at.noise(), self.strength)
'''


@pytest.fixture
def cells() -> Iterator[Notebook]:
    with notebook() as made:
        made.run(IMPORTS)
        made.run(HELPER)
        made.run(CLASS)
        yield made


def digest(cls: type) -> str:
    return Registry.load().add_class(cls).source_hash


def test_the_text_has_all_that_the_class_uses_and_nothing_else(cells: Notebook) -> None:
    text = plugin_source(cells.module.MyNoise, "my-noise")
    for wanted in (HELPER.strip(), CLASS.strip(), "import math", "GAIN = 0.5", "Literal['weak', 'strong']"):
        assert wanted in text
    assert "from benchkit.api import LatentCorruptor as Base" in text and 'MyNoise.name = "my-noise"' in text
    assert "unused" not in text and "corruptor\n" not in text.replace("my-noise", "")


@pytest.mark.parametrize(
    ("edit", "changes"),
    [
        (CLASS, False),
        (HELPER, False),
        ("other = 1\n", False),
        (CLASS.replace("0.5", "0.6"), True),
        (CLASS.replace("at.noise()", "-at.noise()"), True),
    ],
)
def test_an_edited_class_is_another_and_the_same_text_is_the_same(cells: Notebook, edit: str, changes: bool) -> None:
    before = digest(cells.module.MyNoise)
    cells.run(edit)
    cells.run(CLASS) if edit == HELPER else None
    assert (digest(cells.module.MyNoise) != before) is changes


@pytest.mark.parametrize("edit", [HELPER.replace("4", "9"), "GAIN = 0.25\n", 'Mode = Literal["weak"]\n'])
def test_an_edited_helper_or_constant_changes_the_class(cells: Notebook, edit: str) -> None:
    before = digest(cells.module.MyNoise)
    cells.run(edit)
    assert digest(cells.module.MyNoise) != before


def test_a_function_under_the_decorator_is_found(cells: Notebook) -> None:
    cells.run(
        "@corruptor(steps=1)\ndef faint(at, by: float = 0.5):\n    'Faint noise.'\n    return scaled(at.noise(), by)\n"
    )
    text = plugin_source(cells.module.faint, "faint")
    assert "@corruptor(steps=1)\ndef faint(" in text and HELPER.strip() in text and ".name =" not in text


def test_a_class_without_methods_is_found_by_its_name(cells: Notebook) -> None:
    cells.run("@dataclass(frozen=True)\nclass Stronger(MyNoise):\n    '''More of it.'''\n    strength: float = 2.0\n")
    text = plugin_source(cells.module.Stronger, "stronger")
    assert text.index("class MyNoise") < text.index("class Stronger")


@pytest.mark.parametrize(
    ("cell", "body", "message"),
    [
        ("net = object()\n", "net", "uses the variable 'net' (of type object), whose value cannot be written down"),
        ("", "elsewhere", "uses 'elsewhere', which is no variable at the top level"),
    ],
)
def test_what_has_no_text_is_refused_with_the_remedy(cells: Notebook, cell: str, body: str, message: str) -> None:
    cells.run(cell + CLASS.replace("at.noise()", body))
    with pytest.raises(BenchkitError) as caught:
        digest(cells.module.MyNoise)
    assert message in str(caught.value)


def test_a_class_without_source_is_refused_with_the_remedy(cells: Notebook) -> None:
    exec(CLASS, cells.module.__dict__)
    cells.run(CLASS.replace("0.5", "0.8"))  # so that two cells of this name are known, and neither is the one
    exec(CLASS, cells.module.__dict__)
    with pytest.raises(BenchkitError, match=r"source of MyNoise cannot be read.*to a \.py file.*`plugins`"):
        digest(cells.module.MyNoise)


def test_names_are_taken_from_the_class_and_taken_once(cells: Notebook) -> None:
    registry = Registry.load()
    first = cells.module.MyNoise
    entry = registry.add_class(first)
    assert (entry.name, entry.in_session, entry.file) == ("my-noise", True, None)
    cells.run(CLASS)
    assert registry.add_class(cells.module.MyNoise) is entry, "the same cell once more"
    cells.run(CLASS.replace("0.5", "0.6"))
    with pytest.raises(BenchkitError, match=r"a corruptor named 'my-noise' exists already.*is another"):
        registry.add_class(cells.module.MyNoise)
    cells.run(CLASS.replace("steps: int", "name = 'gaussian'\n    steps: int"))
    with pytest.raises(BenchkitError, match="a corruptor named 'gaussian' exists already"):
        registry.add_class(cells.module.MyNoise)


def test_a_saved_plugin_works_and_has_the_identity_of_its_class(cells: Notebook, tmp_path: Path) -> None:
    entry = Registry.load().add_class(cells.module.MyNoise)
    file = benchkit.save_plugin(cells.module.MyNoise, tmp_path / "mine.py")
    (loaded,) = Registry.load(files=[file]).from_file(file)
    assert loaded.source_hash == entry.source_hash == hashlib.sha256(file.read_bytes()).hexdigest()
    assert loaded.cls(strength=0.25).strength == 0.25
    with pytest.raises(BenchkitError, match="exists already"):
        benchkit.save_plugin(cells.module.MyNoise, file)
    benchkit.save_plugin(cells.module.MyNoise, file, force=True)


def test_save_plugin_refuses_what_is_no_class(cells: Notebook, tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="give its class, MyNoise"):
        benchkit.save_plugin(cells.module.MyNoise(), tmp_path / "mine.py")  # type: ignore[arg-type]
    with pytest.raises(ArgumentValueError, match=r"name a \.py file"):
        benchkit.save_plugin(cells.module.MyNoise, tmp_path / "mine.txt")
    assert not list(tmp_path.iterdir())
