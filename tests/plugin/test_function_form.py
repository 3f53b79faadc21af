"""A corruptor written as a function, and plugin classes of a file that are found without a hook."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchkit.api import Corruptor, LatentCorruptor, PixelCorruptor, corruptor, param
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.testing import reports_on

FAINT = """
from benchkit.api import corruptor, param

@corruptor(steps=3)
def faint_noise(at, strength: float = 0.5, *, mode: str = param("a", choices=("a", "b"))):
    "Fresh noise, weaker than it should be."
    return strength * at.noise()
"""
CLASSES = '''
from dataclasses import dataclass
from benchkit.api import LatentCorruptor, RegionSelector
from plugins_of_another_file import Imported

class Base(LatentCorruptor):
    """No plugin: its subclasses are."""

@dataclass(frozen=True)
class First(Base):
    """Does something."""
    name = "first"
    def corrupt(self, at):
        return at.noise()

@dataclass(frozen=True)
class _Hidden(First):
    """Private."""
    name = "hidden"

again = First

@dataclass(frozen=True)
class Where(RegionSelector):
    """Selects."""
    name = "where"
    def select(self, at):
        return at.images[:, 0] > 0
'''


def load(folder: Path, text: str, name: str = "mine.py") -> tuple[Registry, list[tuple[str, str]]]:
    path = folder / name
    path.write_text(text)
    registry = Registry.load(files=[path])
    return registry, [(entry.kind, entry.name) for entry in registry.from_file(path)]


def make(function: Any, **options: Any) -> Any:
    return corruptor(**options)(function)


def test_a_function_is_a_latent_corruptor(tmp_path: Path) -> None:
    registry, names = load(tmp_path, FAINT)
    assert (names, registry.broken) == ([("corruptor", "faint-noise")], [])
    spec = Spec.parse("corruptor", "faint-noise:strength=0.25")
    assert registry.complete(spec).values == {"steps": 3, "strength": 0.25, "mode": "a"}
    made = registry.make(spec, Corruptor)
    assert isinstance(made, LatentCorruptor)
    assert made.corrupt(SimpleNamespace(noise=lambda: 8.0)) == 2.0  # type: ignore[arg-type,comparison-overlap]
    for text, message in [
        ("faint-noise:mode=c", "choose from a, b"),
        ("faint-noise:strength=much", "it must be a number"),
        ("faint-noise:steps=-1", "greater than or equal to 0"),
        ("faint-noise:strenght=1", "did you mean 'strength'"),
    ]:
        with pytest.raises(BenchkitError, match=message):
            registry.make(Spec.parse("corruptor", text), Corruptor)


def test_a_function_passes_the_checks_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FAINT)
    (report,) = reports_on(str(path))
    assert report.ok, report.text()
    path.write_text(FAINT.replace('    "Fresh noise, weaker than it should be."\n', ""))
    (report,) = reports_on(str(path))
    assert [one.check.name for one in report.findings if one.state == "failed"] == ["docstring"]


def test_options_of_the_function_form() -> None:
    def blurred(at, steps: int = param(4, ge=2), sigma=1.5, caption: str | None = None):  # type: ignore[no-untyped-def]
        """Has steps of its own."""

    cls = make(blurred, name="my-blur")
    assert (cls.name, cls().steps, cls().sigma, cls().caption) == ("my-blur", 4, 1.5, None)
    with pytest.raises(BenchkitError, match="steps=1: it must be a whole number, greater than or equal to 2"):
        cls(steps=1)
    with pytest.raises(BenchkitError, match="sigma=wide: it must be a number"):
        cls(sigma="wide")
    pixels = make(lambda at: at.images, name="same", space="pixel")
    assert issubclass(pixels, PixelCorruptor) and not hasattr(pixels(), "steps")
    assert corruptor(lambda at: at.z_t)().steps == 10, "without parentheses"


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lambda at, strength: at, {}, "argument 'strength' needs a name and a default value"),
        (lambda at, *more: at, {}, "argument 'more' needs a name and a default value"),
        (lambda: None, {}, "its first argument must be `at`"),
        (lambda *at: None, {}, "its first argument must be `at`"),
        (lambda at, kind="a": at, {}, "every corruptor has its own 'kind': rename this argument"),
        (lambda at, steps=3: at, {"steps": 4}, "remove steps=4: the function declares them"),
        (lambda at: at, {"steps": 4, "space": "pixel"}, "remove steps=4: a pixel corruptor has none"),
        (3, {}, "@corruptor decorates a function, not 3"),
    ],
)
def test_a_function_of_another_form_is_refused(function: Any, options: Any, message: str) -> None:
    with pytest.raises(BenchkitError, match=message):
        make(function, **options)


def test_a_failure_is_the_function_s_of_several_in_one_file(tmp_path: Path) -> None:
    second = '@corruptor()\ndef another(at):\n    "Fails."\n    raise ValueError("no luck")\n'
    registry, names = load(tmp_path, FAINT + second)
    assert names == [("corruptor", "another"), ("corruptor", "faint-noise")]
    made = registry.make(Spec.parse("corruptor", "another"), LatentCorruptor)  # type: ignore[type-abstract]
    with pytest.raises(ValueError, match="no luck") as caught:
        made.corrupt(None)  # type: ignore[arg-type]
    author = registry.author_of(caught.value)
    assert author is not None and author.name == "another"


def test_classes_of_a_file_are_found_without_a_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "from dataclasses import dataclass\nfrom benchkit.api import LatentCorruptor\n@dataclass(frozen=True)\n"
    other += (
        'class Imported(LatentCorruptor):\n    "Elsewhere."\n    name = "imported"\n    def corrupt(self, at): ...\n'
    )
    (tmp_path / "plugins_of_another_file.py").write_text(other)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "plugins_of_another_file", raising=False)
    registry, names = load(tmp_path, CLASSES)
    assert (names, registry.broken) == ([("corruptor", "first"), ("selector", "where")], [])
    assert [report.name for report in reports_on(str(tmp_path / "mine.py"))] == ["first", "where"]
    del sys.modules["plugins_of_another_file"]


def test_hooks_decide_where_a_file_has_any(tmp_path: Path) -> None:
    hook = "\nfrom benchkit.api import hookimpl\n@hookimpl\ndef benchkit_corruptors():\n    return [faint_noise]\n"
    second = FAINT.replace("faint_noise", "unlisted")
    registry, names = load(tmp_path, FAINT + second + hook)
    assert (names, registry.broken) == ([("corruptor", "faint-noise")], [])


@pytest.mark.parametrize(
    ("old", "new", "name", "message"),
    [
        ("def corrupt(self, at)", "def corupt(self, at)", "first", "First lacks corrupt"),
        ('name = "first"', 'name = "My First"', "My First", "lower-case words"),
        ('    name = "where"\n', "", "Where", "Where.name must be lower-case words joined by '-', not None"),
        ("@dataclass(frozen=True)\nclass First", "class First", "first", "must be decorated"),
    ],
)
def test_a_class_of_a_wrong_form_is_reported(tmp_path: Path, old: str, new: str, name: str, message: str) -> None:
    registry, names = load(
        tmp_path, CLASSES.replace("from plugins_of_another_file import Imported", "").replace(old, new)
    )
    (broken,) = registry.broken
    assert name in broken.name and message in broken.reason and broken.origin == str(tmp_path / "mine.py")
    assert len(names) == 1


def test_a_file_without_any_plugin_fails_its_check(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("number = 3\n")
    (report,) = reports_on(str(path))
    assert not report.ok and "a plugin class, or a hook that returns its plugins" in report.text()
