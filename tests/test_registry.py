"""Discovery: built-ins through entry points, folders, files; what is broken is reported and left out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchkit.api import Corruptor, LatentCorruptor
from benchkit.errors import BenchkitError
from benchkit.registry import Registry
from benchkit.specs import Spec, digest

PLUGIN = '''
"""A test plugin."""
from dataclasses import dataclass
from benchkit.api import LatentCorruptor, hookimpl, param

@dataclass(frozen=True)
class Mine(LatentCorruptor):
    """Does something."""
    name = "mine"
    steps: int = param(3, ge=0)
    mode: str = param("a", choices=("a", "b"))
    share: float = param(0.5, ge=0, le=1)

    def corrupt(self, at):
        return at.noise()

@hookimpl
def benchkit_corruptors():
    return [Mine]
'''


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_built_ins_come_through_entry_points() -> None:
    registry = Registry.load()
    assert registry.broken == []
    kinds = {entry.kind for entry in registry.entries()}
    assert kinds == {"corruptor", "selector", "detector", "inverter", "dataset"}
    assert all(entry.origin.startswith("package ") and entry.version for entry in registry.entries())


def test_a_file_a_folder_and_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, PLUGIN)
    for registry in (Registry.load(files=[path]), Registry.load(folders=[tmp_path])):
        assert registry.entry("corruptor", "mine").origin == str(path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for named in (tmp_path, path):
        monkeypatch.setenv("BENCHKIT_PLUGINS", str(named))
        assert Registry.load().entry("corruptor", "mine")
    monkeypatch.setenv("BENCHKIT_PLUGINS", str(tmp_path / "gone"))
    with pytest.raises(BenchkitError, match=r"\$BENCHKIT_PLUGINS: .*gone' does not exist"):
        Registry.load()
    assert list(tmp_path.iterdir()) == [path], "bytecode beside a user's file"


def test_parameters_are_checked(tmp_path: Path) -> None:
    registry = Registry.load(files=[write(tmp_path, PLUGIN)])
    made = registry.make(Spec.parse("corruptor", "mine:steps=7"), Corruptor)
    assert isinstance(made, LatentCorruptor)
    assert made.steps == 7
    complete = registry.complete(Spec.parse("corruptor", "mine"))
    assert complete.values == {"mode": "a", "share": 0.5, "steps": 3}
    assert registry.complete(Spec.parse("corruptor", "mine:steps=3")) == complete
    assert registry.complete(Spec.parse("corruptor", "mine:share=1")).values["share"] == 1
    for text, said in [
        ("mine:stepps=1", "did you mean 'steps'"),
        ("mine:steps=-1", "greater than or equal to 0"),
        ("mine:steps=1.5", "valid integer"),
        ("mine:steps=many", "valid integer"),
        ("mine:steps=true", "valid integer"),
        ("mine:mode=c", "choose from a, b"),
        ("mine:share=2", "less than or equal to 1"),
        ("min", "did you mean 'mine'"),
    ]:
        with pytest.raises(BenchkitError, match=said):
            registry.make(Spec.parse("corruptor", text), Corruptor)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise RuntimeError('no such thing')", "RuntimeError: no such thing"),
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
        (PLUGIN.replace("benchkit_corruptors", "benchkit_corrupters"), "unknown hook 'benchkit_corrupters'"),
        (PLUGIN.replace("frozen=True", "frozen=False"), "frozen"),
        (PLUGIN.replace('name = "mine"', 'name = "My Plugin"'), "lower-case"),
        (PLUGIN.replace("def corrupt(", "def corupt("), "lacks corrupt"),
        (PLUGIN.replace("    steps: int = param(3, ge=0)\n", ""), "steps"),
        (PLUGIN.replace("return [Mine]", "return [int]"), "not a subclass"),
        (PLUGIN.replace("return [Mine]", "return 3"), "TypeError"),
        (PLUGIN.replace('"mine"', '"gaussian"'), "exists already"),
        (PLUGIN.replace("param(0.5, ge=0", "param(1.5, ge=0"), "share=1.5: Input should be less than or equal to 1"),
        (PLUGIN.replace("steps: int", "steps: Int"), "NameError"),
        (PLUGIN.replace("steps: int", "steps: 'Int'"), "name 'Int' is not defined"),
    ],
)
def test_a_broken_plugin_is_reported_and_left_out(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path, text)
    registry = Registry.load(files=[path])
    assert len(registry.broken) == 1
    assert reason in registry.broken[0].reason
    assert "\n" not in registry.broken[0].reason
    assert registry.entry("corruptor", "gaussian").origin.startswith("package ")
    with pytest.raises(BenchkitError):
        registry.entry("corruptor", "mine")
    with pytest.raises(BenchkitError, match="cannot be used"):
        Registry.load(files=[path], strict=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
        (PLUGIN.replace("benchkit_corruptors", "benchkit_corrupters"), "unknown hook 'benchkit_corrupters'"),
        (None, "ModuleNotFoundError"),
    ],
)
def test_an_installed_package_that_is_broken_is_reported_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, reason: str
) -> None:
    facts = tmp_path / "somebodys-1.2.dist-info"
    facts.mkdir()
    write(facts, "Metadata-Version: 2.1\nName: somebodys\nVersion: 1.2\n", "METADATA")
    write(facts, "[benchkit]\nmine = somebodys_module\n", "entry_points.txt")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "somebodys_module", raising=False)
    if text is not None:
        write(tmp_path, text, "somebodys_module.py")
    registry = Registry.load()
    (broken,) = registry.broken
    assert "somebodys" in broken.origin and reason in broken.reason and "\n" not in broken.reason
    assert registry.entry("corruptor", "gaussian").origin.startswith("package ")
    with pytest.raises(BenchkitError, match="cannot be used"):
        Registry.load(strict=True)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match="does not exist"):
        Registry.load(files=[tmp_path / "none.py"])
    with pytest.raises(BenchkitError, match="does not exist"):
        Registry.load(folders=[tmp_path / "none"])


def test_identity_follows_the_source(tmp_path: Path) -> None:
    path = write(tmp_path, PLUGIN)
    spec = Spec.parse("corruptor", "mine")
    first = Registry.load(files=[path]).identity(spec)
    write(tmp_path, PLUGIN + "\n# changed\n")
    assert Registry.load(files=[path]).identity(spec) != first


def test_a_spec_is_shown_without_its_defaults(tmp_path: Path) -> None:
    registry = Registry.load(files=[write(tmp_path, PLUGIN)])
    spec = Spec.parse("corruptor", "mine:steps=5,share=0.5")
    complete = registry.complete(spec)
    assert str(complete) == "mine:mode=a,share=0.5,steps=5"
    assert complete.short == registry.short(spec) == registry.short(complete) == "mine:steps=5"
    assert registry.short(Spec.parse("corruptor", "mine")) == "mine"
    # What is shown is no part of what a Spec is: neither of equality nor of any key.
    plain = Spec.parse("corruptor", str(complete))
    assert plain == complete
    assert hash(plain) == hash(complete)
    assert digest(plain) == digest(complete)
    assert plain.short == str(complete)


def test_a_spec_of_no_plugin_is_shown_whole() -> None:
    assert Registry.load().short(Spec.parse("corruptor", "gone:steps=5")) == "gone:steps=5"
