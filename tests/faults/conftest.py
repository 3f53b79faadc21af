"""The small comparison of the command line's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

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
