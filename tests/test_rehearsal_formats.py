"""The paper's tables end to end on the published formats: full-size detectors, a checkpoint of SD 1.5's classes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rehearsed import TABLES, beside_the_paper

from benchkit.cli.main import main

SIDE = 128
BUDGET = ("--seeds", "0", "--scale", "0.0001", "--set", "selector_training.batch=2", "--set", "training.batch=2")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tables, which share their work."""
    return tmp_path_factory.mktemp("cache")


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
