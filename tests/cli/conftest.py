"""What the command line tests share: commands run in this process, in a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchkit.cli.main import main
from benchkit.outputs.finished_run import FinishedRun
from tests.helpers.small_comparison import PLUGINS, Finished, Result, Run, keep_last_options


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
        code = main(keep_last_options(arguments))
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return command


@pytest.fixture(scope="session")
def opened(shown: Finished) -> FinishedRun:
    """The same, opened again."""
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import RunLocations

    return FinishedRun.open(str(shown.out), RunLocations(cache=shown.cache), Registry.load(files=[PLUGINS]))
