"""Bad inputs at scale: one clear line, exit code 2, no traceback, and not a byte changed on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from benchkit.cli.main import main
from tests.faults import bad_flags, bad_grids, bad_images, bad_models, bad_plugins, bad_shards, bad_stores
from tests.faults.bad_world import Bad, World, listing
from tests.helpers.small_comparison import Finished, keep_last_options

TABLES = {
    "flag": bad_flags.CASES,
    "grid": bad_grids.CASES,
    "image": bad_images.CASES,
    "model": bad_models.CASES,
    "shard": bad_shards.CASES,
    "store": bad_stores.CASES,
    "plugin": bad_plugins.CASES,
}
CASES = {f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()}


@pytest.fixture
def world(
    tmp_path: Path, grid: Path, tiny_checkpoint: Path, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCHKIT_DEBUG", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "out").mkdir()
    yield World(tmp_path, grid, tiny_checkpoint, finished.cache)


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_clear_line(name: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    case: Bad = CASES[name]
    arguments = keep_last_options(case.arguments(world))
    before = listing(world.folder)
    capsys.readouterr()
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert "Traceback" not in err
    before_it = list(takewhile(lambda one: not one.startswith("benchkit: error: "), err.splitlines()))
    # What comes before it is progress, or a warning of something else; several faults are a list below one line.
    assert all(re.match(r"\d+:\d\d |benchkit: warning: ", one) for one in before_it), err
    first, *others = err.splitlines()[len(before_it) :]
    assert all(re.match(r"  (\d+\. |and \d+ more|with this data: )", one) for one in others), err
    line = " ".join((first, *others))
    assert line.startswith("benchkit: error: ") and len(line) < 6000
    for words in case.says:
        assert words in line, line
    assert out == ""
    assert listing(world.folder) == before
