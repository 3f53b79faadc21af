"""The paper's tables end to end: on the embedded data, and on the published formats with full-size detectors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchkit.cli.main import main

TABLES = ("table1", "table2", "table2-equal-depth", "table3", "table4")
SIDE = 128
BUDGET = ("--seeds", "0", "--scale", "0.0001", "--set", "selector_training.batch=2", "--set", "training.batch=2")


def beside_the_paper(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The board is whole, and its lines stand beside the paper's."""
    board = json.loads((out / "board.json").read_text())
    assert board["paper"]["differs"], "what is no protocol of the paper's says so"
    capsys.readouterr()
    assert main(["leaderboard", "show", str(out), "--paper", "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert "Beside the paper, Table" in shown and "order only" in shown and "not run" not in shown


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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sets prepared from files of their published formats, and a narrow pipeline of SD 1.5's classes."""
    from paper_sets import narrow_sd15, write_dalle3, write_richhf

    folder = tmp_path_factory.mktemp("paper")
    records, images = write_richhf(folder)
    sets = folder / "sets"
    where = ["--records", str(records), "--images", str(images), "--out", str(sets / "richhf-18k")]
    assert main(["data", "prepare", "richhf-18k", *where]) == 0
    drawn = ["--shards", str(write_dalle3(folder)), "--count", "16", "--out", str(sets / "dalle3-hq")]
    assert main(["data", "prepare", "dalle3-hq", *drawn]) == 0
    narrow_sd15().save_pretrained(folder / "sd15")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_a_table_runs_on_the_papers_formats_with_full_size_detectors(
    table: str,
    prepared: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(os.environ, "BENCHKIT_DATA", str(prepared / "sets"))
    monkeypatch.setitem(os.environ, "BENCHKIT_CACHE", str(cache))
    source = "sources.0.dataset" if table in ("table1", "table3") else "source.dataset"
    data = ("--dataset", f"richhf-18k:size={SIDE}", "--set", f"{source}=dalle3-hq:size={SIDE}")
    networks = ("--detector", "upernet-convnext:size=tiny", "--detector", "upernet-swin:size=tiny")
    model, out = ("--model", str(prepared / "sd15")), tmp_path / "out"
    assert main(["compare", table, *data, *model, *networks, *BUDGET, "--out", str(out)]) == 0
    beside_the_paper(out, capsys)
