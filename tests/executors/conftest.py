"""The small comparison with a corruptor that takes its time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.small_comparison import GRID


@pytest.fixture(scope="session")
def dawdling_grid(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of two chunks and four depths of `dawdle`."""
    dawdles = ", ".join(f'"dawdle:steps={steps}"' for steps in (1, 2, 3, 4))
    text = GRID.replace("source: {{split: clean, size: 4}}", "source: {{split: clean, size: 20}}")
    file = tmp_path_factory.mktemp("grid") / "dawdling.yaml"
    file.write_text(text.replace('"gaussian:steps=1"', dawdles).format(model=tiny_checkpoint))
    return file
