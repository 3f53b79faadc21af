"""What the command line tests share: commands run in this process, in a cache of their own."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
from last_given import last_given
from small_world import GRID, PLUGINS, SHOWN, Finished, Result, Run

from benchkit.cli.main import main
from benchkit.outputs.finished_run import FinishedRun


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test, not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BENCHKIT_CACHE", str(folder))
    return folder


@pytest.fixture
def run(cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line as the console script does."""
    for name in ("BENCHKIT_DEBUG", "COLUMNS"):  # who starts the tests may have set them; pytest-xdist sets the second
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: object) -> Result:
        capsys.readouterr()
        code = main(last_given(arguments))
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return command


@pytest.fixture(scope="session")
def grid(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small comparison as a YAML file."""
    file = tmp_path_factory.mktemp("grid") / "small.yaml"
    file.write_text(GRID.format(model=tiny_checkpoint))
    return file


@pytest.fixture(scope="session")
def finished(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The small comparison, run once; tests that change anything work on a copy."""
    return _compared(grid, tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def shown(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A comparison with something for every figure and export, run once; tests only read it."""
    from benchkit.store.mark import RunMark, write_mark

    folder = tmp_path_factory.mktemp("shown")
    (folder / "shown.yaml").write_text(SHOWN.format(model=tiny_checkpoint))
    # No report is drawn, which would take most of the time; the folder names the run as a report's does.
    result = _called(folder / "cache", "compare", folder / "shown.yaml", "--plugin", PLUGINS, "--json")
    (folder / "out").mkdir()
    write_mark(folder / "out", RunMark(json.loads(result.out)["run"]))
    return Finished(folder / "cache", folder / "out", result)


@pytest.fixture(scope="session")
def opened(shown: Finished) -> FinishedRun:
    """The same, opened again."""
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places

    return FinishedRun.open(str(shown.out), Places(cache=shown.cache), Registry.load(files=[PLUGINS]))


def _compared(grid: Path, folder: Path) -> Finished:
    arguments = ["compare", grid, "--plugin", PLUGINS, "--out", folder / "out", "--device", "cpu"]
    return Finished(folder / "cache", folder / "out", _called(folder / "cache", *arguments))


def _called(cache: Path, *arguments: object) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, BENCHKIT_CACHE=str(cache)), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Result(code, out.getvalue(), err.getvalue())
