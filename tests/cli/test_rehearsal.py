"""The paper's tables end to end: on the embedded data, and on files of the published formats."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchkit.cli.main import main
from recipes.paper_data import write_dalle3, write_richhf
from tests.helpers.tiny_checkpoint import SD1, tiny_pipeline

SIDE = 128
TABLES = ("table1", "table2", "table2-equal-steps", "table3", "table4")
BUDGET = ("--seeds", "0", "--scale", "0.0001", "--set", "selector_training.batch=2", "--set", "training.batch=2")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tables, which share their work."""
    return tmp_path_factory.mktemp("cache")


def narrow_sd15() -> Any:
    """A random pipeline of SD 1.5's classes and topology: four levels, factor 8, 64 x 64 latents, PNDM; narrow."""
    import diffusers
    import torch

    torch.manual_seed(15)
    parts = tiny_pipeline()
    parts.unet = diffusers.UNet2DConditionModel(
        sample_size=64,
        layers_per_block=1,
        block_out_channels=(8, 16, 16, 16),
        down_block_types=(*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        cross_attention_dim=16,
        attention_head_dim=1,
        norm_num_groups=4,
    )
    return diffusers.StableDiffusionPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=parts.unet,
        scheduler=diffusers.PNDMScheduler(**{k: v for k, v in SD1.items() if k != "clip_sample"}, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def check_board(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that the board is complete and that its lines stand beside the paper's."""
    board = json.loads((out / "board.json").read_text())
    assert board["paper"]["differs"], "what differs from the paper's protocol is said"
    capsys.readouterr()
    assert main(["leaderboard", "show", str(out), "--paper", "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert "Beside the paper, Table" in shown and "order only" in shown and "not run" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_a_table_runs_on_the_embedded_data(
    table: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCHKIT_CACHE", str(cache))
    out = tmp_path / "out"
    assert main(["compare", table, "--dataset", "portraits", "--scale", "0.01", "--seeds", "0", "--out", str(out)]) == 0
    check_board(out, capsys)
    assert main(["figure", "4", str(out), "--out", str(tmp_path / "figure.png")]) == 0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sets prepared from files of their published formats, and a narrow pipeline of SD 1.5's classes."""
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
    check_board(out, capsys)
