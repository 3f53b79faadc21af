"""An empty store of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchkit.store.artifacts import ArtifactStore
from benchkit.store.results import ResultStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "cache")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


@pytest.fixture
def results(path: Path) -> Iterator[ResultStore]:
    results = ResultStore(path)
    yield results
    results.close()
