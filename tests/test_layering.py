"""Who may know whom: imports point downwards, core names no plugin, one file a heavy library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "benchkit").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))

#: Floor of each room; a module may import from its own floor and from those below.
FLOORS = {
    "errors": 0,
    "faults": 0,
    "fetching": 0,
    "outputs": 2,
    "paths": 0,
    "api": 1,
    "hookspecs": 1,
    "grammar": 1,
    "samples": 1,
    "parameters": 1,
    "specs": 1,
    "masks": 1,
    "weights": 1,
    "augmentation": 1,
    "distributed": 1,
    "metrics": 2,
    "confinement": 2,
    "statistics": 2,
    "training": 2,
    "fitting": 2,
    "losses": 2,
    "replicas": 2,
    "loading": 2,
    "registry": 2,
    "standins": 2,
    "diffusion": 2,
    "datasets": 2,
    "store": 2,
    "report": 3,
    "scaffold": 3,
    "stages": 3,
    "executors": 4,
    "origin": 3,
    "grid": 3,
    "gridparts": 3,
    "settings": 3,
    "imagesets": 4,
    "cells": 4,
    "adapt": 4,
    "protocol": 4,
    "plan": 4,
    "plan_file": 5,
    "variants": 4,
    "space": 4,
    "environment": 4,
    "functional": 4,
    "testing": 4,
    "preview": 5,
    "recording": 5,
    "preflight": 5,
    "dry_run": 5,
    "run": 5,
    "run_folder": 5,
    "ablate": 5,
    "finding": 5,
    "finished": 5,
    "depths": 5,
    "figures": 5,
    "exports": 5,
    "trained": 4,
    "tiles": 2,
    "tune": 5,
    "cli": 6,
    "assets": 0,
    "presets": 0,
    "__init__": 7,
}


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported module of a file, and whether the import is only for type checkers."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, False
            yield from ((f"{node.module}.{alias.name}", False) for alias in node.names)


def for_type_checkers(path: Path) -> set[str]:
    """What a file imports under `if TYPE_CHECKING`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom) and inner.module:
                    names.add(inner.module)
                    names |= {f"{inner.module}.{alias.name}" for alias in inner.names}
    return names


def room(path: Path) -> str:
    relative = path.relative_to(ROOT / "benchkit")
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    assert room(path) in FLOORS, f"{path.name} stands in no room: give it a floor here and in docs/architecture.md"
    floor, typed = FLOORS[room(path)], for_type_checkers(path)
    for name, _ in imported(path):
        if name.startswith("benchkit.") and name not in typed:
            target = name.split(".")[1]
            if target in FLOORS:
                assert FLOORS[target] <= floor, f"{path.relative_to(ROOT)} imports {name}, which is above it"


#: What a stranger's tests need, and no more: neither how the suite runs, nor what it keeps or prints.
KIT_MAY_KNOW = {
    "api",
    "grammar",
    "parameters",
    "errors",
    "samples",
    "fitting",
    "loading",
    "registry",
    "specs",
    "masks",
    "diffusion",
    "training",
    "testing",
}


@pytest.mark.parametrize("path", [p for p in CORE if room(p) == "testing"], ids=lambda p: p.name)
def test_the_conformance_kit_stands_on_its_own(path: Path) -> None:
    for name, _ in imported(path):
        if name.startswith("benchkit."):
            assert name.split(".")[1] in KIT_MAY_KNOW, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", PLUGINS, ids=lambda p: str(p.relative_to(ROOT)))
def test_plugins_know_only_the_api(path: Path) -> None:
    for name, _ in imported(path):
        if name.split(".")[0] == "benchkit":
            assert name.startswith("benchkit.api") or name == "benchkit", f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("diffusers", {"benchkit/diffusion/loading.py"}),
        (
            "mmseg",
            {f"plugins/detectors/{one}.py" for one in ("_mmseg", "_convnext", "_segmentor")},
        ),
        ("optuna", {"benchkit/tune.py"}),
        ("ray", {"benchkit/executors/ray.py"}),
        ("pluggy", {"benchkit/api.py", "benchkit/hookspecs.py", "benchkit/loading.py", "benchkit/registry.py"}),
        (
            "sqlalchemy",
            {
                "benchkit/store/results.py",
                "benchkit/store/schema.py",
                "benchkit/store/soundness.py",
                "benchkit/store/database.py",
            },
        ),
        ("pickle", set()),
    ],
)
def test_a_library_has_its_rooms(library: str, allowed: set[str]) -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in [*CORE, *PLUGINS]
        if any(name.split(".")[0] == library for name, _ in imported(path))
    }
    assert users <= allowed


def plugin_names() -> set[str]:
    """Names of shipped corruptors, selectors and detectors that are no ordinary words."""
    found = set()
    for path in PLUGINS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "name":
                value = getattr(node.value, "value", None)
                if isinstance(value, str) and ("-" in value or value in ("gaussian", "rotation", "downscale")):
                    found.add(value)
    return found


def test_core_names_no_plugin() -> None:
    names = plugin_names()
    assert len(names) >= 5
    for path in CORE:
        if "datasets" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
                # A grid's default is data that the user sees and can change.
                assert path.name == "grid.py", f"{path.relative_to(ROOT)} names the plugin {node.value}"


@pytest.mark.parametrize(
    "module", ["benchkit", "benchkit.cli.main", "benchkit.api", "benchkit.plan", "benchkit.run", "benchkit.testing"]
)
def test_start_up_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_planning_loads_no_torch() -> None:
    code = "import sys; from benchkit.registry import Registry; Registry.load(); sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_package_is_shipped() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {p.parent.relative_to(ROOT) for p in [*CORE, *PLUGINS] if p.name == "__init__.py"}
    found = {".".join(f.parts).replace("plugins", "benchkit_plugins", 1) for f in folders}
    assert found <= listed
