"""Discovery: built-ins through entry points, folders, files; what is broken is reported and left out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchkit.api import Corruptor, LatentCorruptor
from benchkit.errors import BenchkitError
from benchkit.plugin.loading import imported_beside
from benchkit.plugin.registry import Registry
from benchkit.specs.keys import digest
from benchkit.specs.spec import Spec

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
    fraction: float = param(0.5, ge=0, le=1)

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
    assert complete.values == {"mode": "a", "fraction": 0.5, "steps": 3}
    assert registry.complete(Spec.parse("corruptor", "mine:steps=3")) == complete
    assert registry.complete(Spec.parse("corruptor", "mine:fraction=1")).values["fraction"] == 1
    for text, message in [
        ("mine:stepps=1", "did you mean 'steps'"),
        ("mine:steps=-1", "greater than or equal to 0"),
        ("mine:steps=1.5", "it must be a whole number, greater than or equal to 0"),
        ("mine:steps=many", "it must be a whole number, greater than or equal to 0"),
        ("mine:steps=true", "it must be a whole number, greater than or equal to 0"),
        ("mine:mode=c", "choose from a, b"),
        ("mine:fraction=2", "less than or equal to 1"),
        ("min", "did you mean 'mine'"),
    ]:
        with pytest.raises(BenchkitError, match=message):
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
        (PLUGIN.replace("@dataclass(frozen=True)\n", ""), "Mine must be decorated with @dataclass(frozen=True)"),
        (PLUGIN.replace("return [Mine]", "return [int]"), "not a subclass"),
        (PLUGIN.replace("return [Mine]", "return 3"), "benchkit_corruptors() returned 3: return a list of"),
        (PLUGIN.replace("return [Mine]", "return None"), "benchkit_corruptors() returned None: return a list of"),
        (PLUGIN.replace('"mine"', '"gaussian"'), "exists already"),
        (
            PLUGIN.replace("param(0.5, ge=0", "param(1.5, ge=0"),
            "fraction=1.5: it must be a number, greater than or equal to 0, less than or equal to 1",
        ),
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


def test_a_latent_corruptor_inherits_its_steps(tmp_path: Path) -> None:
    path = write(tmp_path, PLUGIN.replace("    steps: int = param(3, ge=0)\n", ""))
    registry = Registry.load(files=[path], strict=True)
    assert registry.complete(Spec.parse("corruptor", "mine")).values["steps"] == 10
    with pytest.raises(BenchkitError, match="steps=-1: it must be a whole number, greater than or equal to 0"):
        registry.make(Spec.parse("corruptor", "mine:steps=-1"), Corruptor)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match="does not exist"):
        Registry.load(files=[tmp_path / "none.py"])
    with pytest.raises(BenchkitError, match="does not exist"):
        Registry.load(folders=[tmp_path / "none"])


def test_identity_follows_the_source(tmp_path: Path) -> None:
    path = write(tmp_path, PLUGIN)
    spec = Spec.parse("corruptor", "mine")
    first = Registry.load(files=[path]).identity(spec)
    assert first == hashlib.sha256(path.read_bytes()).hexdigest()  # as sha256sum prints it
    write(tmp_path, PLUGIN + "\n# changed\n")
    assert Registry.load(files=[path]).identity(spec) != first


def test_a_spec_is_shown_without_its_defaults(tmp_path: Path) -> None:
    registry = Registry.load(files=[write(tmp_path, PLUGIN)])
    spec = Spec.parse("corruptor", "mine:steps=5,fraction=0.5")
    complete = registry.complete(spec)
    assert str(complete) == "mine:fraction=0.5,mode=a,steps=5"
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


def install(site: Path, package: str, text: str, points: str = "", name: str | None = None) -> Path:
    """An installed distribution of one module; points: its entry points, one of the module's name by default."""
    module = package.replace("-", "_")
    facts = site / f"{module}-1.2.dist-info"
    facts.mkdir(parents=True)
    if name != "":
        write(facts, f"Metadata-Version: 2.1\nName: {name or package}\nVersion: 1.2\n", "METADATA")
    write(facts, f"[benchkit]\n{points or f'{module} = {module}'}\n", "entry_points.txt")
    return write(site, text, f"{module}.py")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages; modules imported from it are forgotten."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["aaa", "zzz", "plugins"])
def test_no_package_takes_a_built_in_name(site: Path, name: str) -> None:
    built_in = Registry.load().entry("corruptor", "gaussian")
    install(site, f"{name}-package", PLUGIN.replace('"mine"', '"gaussian"'), f"{name} = {name}_package")
    registry = Registry.load()
    assert registry.entry("corruptor", "gaussian").source_hash == built_in.source_hash
    assert registry.entry("corruptor", "gaussian").is_built_in
    (broken,) = registry.broken
    assert (broken.name, broken.kind, broken.origin) == ("gaussian", "corruptor", f"package {name}-package")
    assert f"exists already (package artifact-benchkit); this one is package {name}-package's" in broken.reason
    with pytest.raises(BenchkitError, match=f"package {name}-package"):
        Registry.load(strict=True)


def test_of_two_packages_the_first_by_name_has_the_plugin(site: Path) -> None:
    install(site, "second-package", PLUGIN, "a = second_package")
    install(site, "First_Package", PLUGIN + "\n", "z = First_Package")
    registry = Registry.load()
    assert registry.entry("corruptor", "mine").origin == "package First_Package"
    (broken,) = registry.broken
    assert "(package First_Package)" in broken.reason and "package second-package's" in broken.reason
    assert registry.find_skipped("mine", "selector") is None and registry.find_skipped("mine", "corruptor") == broken


@pytest.mark.parametrize("points", ["mine = not a module!", "mine = gone_package:what.else", "mine ="])
def test_a_damaged_entry_point_breaks_nothing_else(site: Path, points: str) -> None:
    install(site, "damaged-package", PLUGIN, points, name="")
    registry = Registry.load()
    assert registry.entry("corruptor", "gaussian").is_built_in
    assert len(registry.broken) <= 1


def test_one_file_is_loaded_once_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Path
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    path = write(folder, PLUGIN)
    link, linked = tmp_path / "link.py", tmp_path / "linked"
    link.symlink_to(path)
    linked.symlink_to(folder)
    copy = write(tmp_path, PLUGIN, "copy.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHKIT_PLUGINS", "plugins")
    named = [path, Path("plugins/mine.py"), Path("plugins/../plugins/mine.py"), link, copy]
    registry = Registry.load([folder, linked, Path("linked")], named, strict=True)
    assert registry.broken == []
    assert registry.entry("corruptor", "mine").origin == "plugins/mine.py"
    for one in (path, link, Path("plugins/mine.py")):
        assert [entry.name for entry in registry.from_file(one)] == ["mine"]
    monkeypatch.delenv("BENCHKIT_PLUGINS")
    module = install(site, "somebodys-package", PLUGIN)
    registry = Registry.load(files=[module, path], strict=True)
    assert registry.entry("corruptor", "mine").origin == "package somebodys-package"


def test_another_plugin_of_the_same_name_is_left_out(tmp_path: Path) -> None:
    first, second = write(tmp_path, PLUGIN, "a.py"), write(tmp_path, PLUGIN + "\n# another\n", "b.py")
    registry = Registry.load(files=[first, second])
    (broken,) = registry.broken
    assert str(first) in broken.reason and str(second) in broken.reason
    twice = write(
        tmp_path,
        PLUGIN.replace("return [Mine]", "return [Mine, dataclass(frozen=True)(type('Other', (Mine,), {}))]"),
        "c.py",
    )
    assert "exists already" in Registry.load(files=[twice]).broken[0].reason


@pytest.mark.parametrize(
    "line",
    [
        "import _helper",
        "from _helper import A",
        "from package import _helper",
        "from package._helper import A",
        "from . import _helper",
        "from ._helper import A",
        "import package._helper as other",
        "import between",
        "import importlib\n    importlib.import_module('_hel' + 'per')",
        "__import__('_hel' + 'per')",
    ],
)
def test_a_helper_is_part_of_the_plugins_that_import_it(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"{PLUGIN}\n\ndef later():\n    {line}\n")
    write(tmp_path, "import _helper", "between.py")
    hashes = [Registry.load(files=[path]).entry("corruptor", "mine").source_hash]
    for text in ("A = 1", "A = 2"):
        write(tmp_path, text, "_helper.py")
        hashes.append(Registry.load(files=[path]).entry("corruptor", "mine").source_hash)
    assert len(set(hashes)) == 3


def test_a_helper_of_others_is_no_part_of_a_plugin(tmp_path: Path) -> None:
    path = write(tmp_path, PLUGIN)
    alone = Registry.load(files=[path]).entry("corruptor", "mine").source_hash
    write(tmp_path, "A = 1", "_helper.py")
    assert Registry.load(files=[path]).entry("corruptor", "mine").source_hash == alone


def test_helpers_that_import_each_other_are_both_part(tmp_path: Path) -> None:
    path = write(tmp_path, f"{PLUGIN}\n\ndef later():\n    import _one\n")
    one, two = (
        write(tmp_path, f"import {other}", f"{name}.py") for name, other in (("_one", "_two"), ("_two", "_one"))
    )
    assert imported_beside(path) == [one, two]


def test_a_built_in_detector_does_not_depend_on_helpers_of_others() -> None:
    file = Registry.load().entry("detector", "upernet-convnext").file
    assert file is not None
    names = {found.name for found in imported_beside(file)}
    assert "_convnext.py" in names and "_frozen.py" not in names and "_convex.py" not in names


def test_a_copy_may_come_without_the_helpers_but_not_with_others(tmp_path: Path) -> None:
    built_in = Registry.load().entry("corruptor", "blur")
    assert built_in.file is not None and (built_in.file.parent / "_gaussian.py").is_file()
    copy = write(tmp_path, built_in.file.read_text(), "copy.py")
    registry = Registry.load(files=[copy], strict=True)
    assert registry.entry("corruptor", "blur").source_hash == built_in.source_hash
    write(tmp_path, "A = 1", "_gaussian.py")
    assert "'blur' exists already" in Registry.load(files=[copy]).broken[0].reason


def test_what_is_no_plugin_file_in_a_folder(tmp_path: Path) -> None:
    for name in ("_private.py", "._mine.py", ".hidden.py"):
        write(tmp_path, "raise RuntimeError", name)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "gone.py").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle.py").symlink_to(tmp_path / "circle.py")
    registry = Registry.load(folders=[tmp_path])
    assert sorted(broken.name for broken in registry.broken) == ["circle", "gone"]


def test_what_raises_at_import_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "def deep():\n    raise RuntimeError('why')\n\ndeep()\n")
    (broken,) = Registry.load(files=[path]).broken
    assert broken.reason == "RuntimeError: why (mine.py:2: raise RuntimeError('why'))"


@pytest.mark.parametrize(
    "text, reason",
    [
        ("helper = 3\n", "it defines no plugin: write a class of one of benchkit.api's kinds, with a name"),
        (
            PLUGIN.replace("benchkit_corruptors", "benchkit_selectors"),
            "Mine is not a subclass of benchkit.api.RegionSelector: put it into benchkit_corruptors",
        ),
    ],
)
def test_a_file_that_gives_no_plugin_says_what_it_lacks(tmp_path: Path, text: str, reason: str) -> None:
    (broken,) = Registry.load(files=[write(tmp_path, text)]).broken
    assert broken.reason.startswith(reason)


def test_a_plugin_without_a_name_is_named_by_its_class(tmp_path: Path) -> None:
    (broken,) = Registry.load(files=[write(tmp_path, PLUGIN.replace('    name = "mine"\n', ""))]).broken
    assert (broken.name, broken.reason) == ("Mine", "Mine.name must be lower-case words joined by '-', not None")


def test_an_unknown_plugin_may_be_one_that_was_not_loaded() -> None:
    with pytest.raises(BenchkitError, match=r"a plugin of your own: load the \.py file that it is in"):
        Registry.load().entry("corruptor", "mine")


def test_a_dataset_is_opened_once() -> None:
    registry = Registry.load()
    spec = registry.complete(Spec("dataset", "portraits"))
    assert registry.dataset(spec) is registry.dataset(registry.complete(Spec("dataset", "portraits")))
