"""What the command line tests share: commands run in this process, in a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_world import Result, Run

from benchkit.cli.main import main


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test, not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BENCHKIT_CACHE", str(folder))
    return folder


@pytest.fixture
def run(cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line as the console script does."""
    monkeypatch.delenv("BENCHKIT_DEBUG", raising=False)

    def command(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return command
