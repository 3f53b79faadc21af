"""What is installed: everything that runs, nothing else, on Python 3.11 to 3.13, beside other packages' versions."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Folder of the checkout -> package of the wheel.
PACKAGES = {"benchkit": "benchkit", "plugins": "benchkit_plugins", "leaderboard": "benchkit_leaderboard"}
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a copy of the checkout: building leaves files behind."""
    root = tmp_path_factory.mktemp("wheel")
    junk = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in PACKAGES:
        shutil.copytree(ROOT / folder, root / "source" / folder, ignore=junk)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, root / "source" / file)
    command = [sys.executable, "-c", BUILD, str(root)]
    subprocess.run(command, cwd=root / "source", check=True, capture_output=True)
    (built,) = root.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    expected = set()
    left_behind = {"__pycache__", "submissions", "seasons"}  # these grow without end, and are read from a checkout
    for folder, package in PACKAGES.items():
        for path in (ROOT / folder).rglob("*"):
            parts = path.relative_to(ROOT).parts
            if path.is_file() and left_behind.isdisjoint(parts) and path.name != ".DS_Store":
                expected.add(f"{package}/{path.relative_to(ROOT / folder).as_posix()}")
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert "benchkit/py.typed" in found


def test_requirements_leave_room_and_pins_are_in_the_constraints_alone(wheel: zipfile.ZipFile) -> None:
    (name,) = (one for one in wheel.namelist() if one.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.14"}
    required = metadata.get_all("Requires-Dist") or []
    assert len(required) > 20
    assert not [one for one in required if "==" in one.partition(";")[0] or "://" in one]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {one.split("[")[0].split(">")[0].strip().lower().replace("_", "-") for one in project["dependencies"]}
    assert names <= pinned, "make and CI install tested versions"


def test_the_command_and_the_plugins_are_entry_points(wheel: zipfile.ZipFile) -> None:
    (name,) = (one for one in wheel.namelist() if one.endswith(".dist-info/entry_points.txt"))
    text = wheel.read(name).decode()
    assert "benchkit = benchkit.cli.main:program" in text and "corruptors = benchkit_plugins.corruptors" in text
