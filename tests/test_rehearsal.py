"""The paper's tables end to end on the embedded data."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehearsed import TABLES, beside_the_paper

from benchkit.cli.main import main


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tables, which share their work."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_a_table_runs_on_the_embedded_data(
    table: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCHKIT_CACHE", str(cache))
    out = tmp_path / "out"
    assert main(["compare", table, "--dataset", "portraits", "--scale", "0.01", "--seeds", "0", "--out", str(out)]) == 0
    beside_the_paper(out, capsys)
    assert main(["figure", "4", str(out), "--out", str(tmp_path / "figure.png")]) == 0
