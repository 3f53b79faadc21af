"""What the command line tests share: commands run in this process, in a cache of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchkit.cli.main import main
from benchkit.outputs.finished_run import FinishedRun
from tests.helpers.small_comparison import PLUGINS, SHOWN, Finished, Result, Run, compare_once, keep_last_options


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
def shown(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A comparison with something for every figure and export, run once; tests only read it."""
    from benchkit.store.run_id_file import RunMark, write_mark

    folder = tmp_path_factory.mktemp("shown")
    (folder / "shown.yaml").write_text(SHOWN.format(model=tiny_checkpoint))
    # No report is drawn, which would take most of the time; the folder names the run as a report's does.
    shown = compare_once(folder, folder / "shown.yaml", "--json")
    shown.out.mkdir()
    write_mark(shown.out, RunMark(json.loads(shown.result.out)["run"]))
    return shown


@pytest.fixture(scope="session")
def opened(shown: Finished) -> FinishedRun:
    """The same, opened again."""
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places

    return FinishedRun.open(str(shown.out), Places(cache=shown.cache), Registry.load(files=[PLUGINS]))
