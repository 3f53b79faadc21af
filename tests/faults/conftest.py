"""The small comparison of the command line's tests."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from benchkit.cli.main import main

CLI = Path(__file__).parents[1] / "cli"
sys.path.insert(0, str(CLI))


@pytest.fixture(scope="session")
def plugins() -> Path:
    """The dataset and the detector of the small comparison."""
    return CLI / "tiny_plugins.py"


@pytest.fixture(scope="session")
def small_grid(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small comparison as a YAML file."""
    from small_world import GRID

    file = tmp_path_factory.mktemp("grid") / "small.yaml"
    file.write_text(GRID.format(model=tiny_checkpoint))
    return file


@pytest.fixture(scope="session")
def finished_cache(small_grid: Path, plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the small comparison, finished; tests copy it."""
    cache = tmp_path_factory.mktemp("finished") / "cache"
    options = ["--plugin", str(plugins), "--device", "cpu", "--cache", str(cache)]
    assert main(["compare", str(small_grid), *options]) == 0
    # The connection is closed when its owner is collected: until then the write-ahead log would undo what tests damage.
    with closing(sqlite3.connect(cache / "results.sqlite")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return cache
