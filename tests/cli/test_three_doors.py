"""A corruptor written outside the repository gets onto the board by a file, by a folder and by an installed package."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.small_comparison import PLUGINS, Finished, Result, Run

#: What somebody writes who has read docs/how-to/write-a-corruptor.md and nothing else.
TEXT = '''\
"""The selected latent upside down, with a little noise on it."""

from dataclasses import dataclass

from benchkit.api import LatentCorruptor, hookimpl, param


@dataclass(frozen=True)
class UpsideDown(LatentCorruptor):
    """f = flip(z_t) + strength * n."""

    name = "upside-down"
    steps: int = param(1, ge=0, doc="inversion steps from the clean end")
    strength: float = param(0.1, ge=0, le=1, doc="how much noise is added")

    def corrupt(self, at):
        return at.z_t.flip(2) + self.strength * at.noise()


@hookimpl
def benchkit_corruptors():
    return [UpsideDown]
'''
ROW = "upside-down:steps=1,strength=0.25"


@pytest.fixture
def warm(finished: Finished, cache: Path) -> None:
    """The finished comparison's cache, so that only the new row is computed."""
    shutil.copytree(finished.cache, cache)


def check_row(out: Path, origin: str, file: Path) -> None:
    """The new row stands among the others, measured, and says where it is from."""
    rows = json.loads((out / "board.json").read_text())["rows"]
    states = {row["training_set"]: row["state"] for row in rows}
    assert states == dict.fromkeys(("human", "pseudo", "all-negative", ROW), "done")
    (row,) = (row for row in rows if row["training_set"] == ROW)
    assert 0 <= row["artifact_iou"] <= 1
    source = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"corruptor upside-down: {origin}, sha256 {source}" in row["plugins"].split("; ")
    assert f"upside-down: {origin}, sha256 {source[:12]}" in (out / "board.md").read_text()


def compared(run: Run, grid: Path, out: Path, *options: object) -> None:
    result = run("compare", grid, "--plugin", PLUGINS, *options, "--corruptor", ROW, "--device", "cpu", "--out", out)
    assert result.code == 0, result.err


def test_a_file(run: Run, warm: None, grid: Path, tmp_path: Path) -> None:
    assert len(TEXT.splitlines()) < 40
    file = tmp_path / "mine.py"
    file.write_text(TEXT)
    checked = run("plugins", "check", file)
    assert checked.code == 0, checked.out
    compared(run, grid, tmp_path / "out", "--plugin", file)
    check_row(tmp_path / "out", "mine.py", file)


@pytest.mark.slow
def test_an_installed_package(run: Run, warm: None, grid: Path, tmp_path: Path) -> None:
    """By its entry point, in processes that know of it by sys.path alone; pip is kept from any network."""
    made = run("plugins", "new", "corruptor", "upside-down", "--package", "--out", tmp_path)
    assert made.code == 0, made.err
    package, site = tmp_path / "benchkit-upside-down", tmp_path / "site"
    module = package / "benchkit_upside_down.py"
    written = module.read_text()
    marked = "return at.z_t + strength * at.noise()"
    assert written.count(marked) == 1
    module.write_text(written.replace(marked, marked.replace("at.z_t", "at.z_t.flip(2)")))
    unreachable = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    installing = ("install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site, package)
    installed = called(tmp_path, unreachable, "pip", *installing)
    assert installed.code == 0, installed.err
    (site / "_somebody_elses.py").write_text("# lies beside it, and is no part of it")
    found = {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    checked = called(tmp_path, found, "benchkit", "plugins", "check", "upside-down")
    assert checked.code == 0, checked.out + checked.err
    out = tmp_path / "out"
    options = ("--plugin", PLUGINS, "--corruptor", ROW, "--device", "cpu", "--out", out)
    result = called(tmp_path, found, "benchkit", "compare", grid, *options)
    assert result.code == 0, result.err
    check_row(out, "package benchkit-upside-down 0.1.0", site / module.name)


def called(folder: Path, environment: dict[str, str], module: str, *arguments: object) -> Result:
    code = "import sys; from benchkit.cli.main import main; sys.exit(main())"
    command = [sys.executable, *(("-c", code) if module == "benchkit" else ("-m", module)), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)
