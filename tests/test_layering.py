"""Who may know whom, beyond the contracts in pyproject.toml: names of plugins, heavy libraries, start-up."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchkit.plugin.registry import Registry

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "benchkit").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
#: Names of plugins that are also words of core: formats of exports, checks of the kit, sets that core prepares.
WORDS = {"none", "grid", "parts", "mmseg", "folder", "portraits", "richhf-18k", "dalle3-hq"}


#: Files whose functions have the usual inverter as a default: data that the caller sees and can change.
DEFAULTS = {"corrupt.py", "plugins_preview.py", "steps.py", "plugin_preview.py", "preview.py"}


def imported(path: Path) -> Iterator[str]:
    """Yield every module that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("diffusers", {"benchkit/diffusion/loading.py"}),
        ("mmseg", {f"plugins/detectors/{one}.py" for one in ("_mmseg", "_convnext", "_segmentor")}),
        ("optuna", {"benchkit/search/tuning.py"}),
        ("ray", {"benchkit/executors/ray.py"}),
        (
            "pluggy",
            {"benchkit/api/plugin.py", *(f"benchkit/plugin/{one}.py" for one in ("hookspecs", "loading", "registry"))},
        ),
        ("sqlalchemy", {f"benchkit/store/{one}.py" for one in ("results", "schema", "soundness", "database")}),
        ("pickle", set()),
    ],
)
def test_a_library_has_its_files(library: str, allowed: set[str]) -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in [*CORE, *PLUGINS]
        if any(name.split(".")[0] == library for name in imported(path))
    }
    assert users <= allowed


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_benchmarks_take_nothing_from_tests(path: Path) -> None:
    tests = {"tests", "conftest", *(file.stem for file in (ROOT / "tests").glob("*.py"))}
    assert not tests & {name.split(".")[0] for name in imported(path)}
    texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    # `make shape` counts the lines of tests, and imports none.
    assert path.name == "shape.py" or "tests" not in texts, "a path of imports that leads to tests/"


def test_core_names_no_plugin() -> None:
    names = {entry.name for entry in Registry.load().entries()} - WORDS
    assert {"gaussian", "blur", "learned", "ddim", "upernet-swin"} <= names
    for path in CORE:
        if "scaffold" in path.parts or path.parent.name == "config" or path.name in DEFAULTS:
            continue  # a grid's default and a template's example are data that the user sees and can change
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = node.value.partition(":")[0]
                assert named not in names, f"{path.relative_to(ROOT)} names the plugin {named}"


#: Options of other programs, which core calls or names.
FOREIGN_FLAGS = {"--porcelain", "--untracked-files", "--head"}


def test_only_the_command_line_speaks_of_flags() -> None:
    """Core names settings, such as `time_limit`; benchkit.cli prints them as flags."""
    for path in CORE:
        if path.is_relative_to(ROOT / "benchkit" / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*|(?<=\s)--$", node.value)) - FOREIGN_FLAGS
                assert not flags, f"{path.relative_to(ROOT)}:{node.lineno} speaks of {', '.join(flags)}"


@pytest.mark.parametrize(
    "module",
    [
        "benchkit",
        "benchkit.cli.main",
        "benchkit.api",
        "benchkit.planning.planner",
        "benchkit.runs.run",
        "benchkit.testing",
        "benchkit.report.write",
    ],
)
def test_start_up_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_planning_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from benchkit.config.grid import load_grid\n"
        "from benchkit.plugin.registry import Registry\n"
        "from benchkit.runs.run import make_plan\n"
        "plan = make_plan(load_grid('quick'), Registry.load())\n"
        "assert len(plan.cells) > 10 and plan.stages\n"
        "sys.exit(int('torch' in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_package_is_shipped() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {p.parent.relative_to(ROOT) for p in [*CORE, *PLUGINS] if p.name == "__init__.py"}
    found = {".".join(f.parts).replace("plugins", "benchkit_plugins", 1) for f in folders}
    assert found <= listed
