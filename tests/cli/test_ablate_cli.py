"""`benchkit ablate`: its files, what a second run computes, a dry run, and how failures and mistakes end."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from benchkit.outputs.finished_run import FinishedRun, RowQuery
from benchkit.outputs.paper_figures import FigureRequest, draw_figure
from benchkit.plugin.registry import Registry
from benchkit.runs.run import RunLocations
from tests.helpers.small_comparison import PLUGINS, Run

WITH_PLUGINS = ("--plugin", PLUGINS, "--device", "cpu")
VARY = ("--vary", "corruptor.steps=1,2", "--vary", "training.lr=1e-2")


def test_an_ablation_is_run_once_and_writes_its_differences(run: Run, grid: Path, tmp_path: Path) -> None:
    command = ("ablate", grid, *WITH_PLUGINS, *VARY, "--out", tmp_path / "out")
    first = run(*command)
    assert first.code == 0, first.err
    assert "Δ to base" in first.out
    frame = pd.read_csv(tmp_path / "out" / "ablation.csv")
    assert set(frame["axis"]) == {"corruptor.steps", "training.lr"}
    bases = frame[frame["is_base"]]
    assert (bases["delta_base"] == 0).all()
    for (_, _), lines in frame.groupby(["axis", "training_set"]):
        expected = lines["artifact_iou"] - lines["artifact_iou"].iloc[0]
        assert (lines["delta_base"] - expected).abs().max() < 1e-12
    page = (tmp_path / "out" / "index.html").read_text()
    assert "corruptor.steps=2" in page and '<h2 id="ablation">' in page and 'id="gallery"' in page
    again = json.loads(run(*command, "--json").out)
    assert again["stages"]["run"] == 0
    assert len(again["ablation"]["rows"]) == len(frame)
    # The base is what `compare` would run: nothing of it is computed again.
    compared = json.loads(run("compare", grid, *WITH_PLUGINS, "--json").out)
    assert compared["stages"]["run"] == 0


def test_a_dry_run_writes_nothing(run: Run, grid: Path, cache: Path, tmp_path: Path) -> None:
    result = run("ablate", grid, *WITH_PLUGINS, *VARY, "--out", tmp_path / "out", "--dry-run", "--json")
    assert result.code == 0, result.err
    plan = json.loads(result.out)
    assert "gaussian:steps=1 [corruptor.steps=2]" in {cell["training_set"] for cell in plan["cells"]}
    assert plan["stages"]["pending"]["invert"] == 2
    assert not (tmp_path / "out").exists()
    assert not cache.exists()


def test_settings_and_scale_make_the_base(run: Run, grid: Path) -> None:
    options = ("--set", "training.iterations=40", "--set", "source.size=8", "--scale", 0.5, "--dry-run", "--json")
    result = run("ablate", grid, *WITH_PLUGINS, "--vary", "training.iterations=10", *options)
    assert result.code == 0, result.err
    plan = json.loads(result.out)
    assert "scaled by 0.5" in plan["title"]
    # pseudo and two methods, each with the base's 20 iterations and with 10; human has the selector's one.
    assert plan["train_iterations"] == 3 * (20 + 10) + 1


def test_a_value_that_fails_takes_its_own_line_alone(run: Run, grid: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from benchkit.api import LatentCorruptor, hookimpl\n"
        "@dataclass(frozen=True)\n"
        "class Deep(LatentCorruptor):\n    name = 'deep'\n    steps: int = 1\n"
        "    def corrupt(self, at):\n"
        "        if self.steps > 2:\n            raise ValueError('too deep for me')\n"
        "        return at.z_t\n"
        "@hookimpl\ndef benchkit_corruptors():\n    return [Deep]\n"
    )
    options = ("--plugin", file, "--corruptor", "deep", "--vary", "corruptor.steps=2,3", "--json")
    result = run("ablate", grid, *WITH_PLUGINS, *options)
    assert result.code == 3, result.err
    assert "too deep for me" in result.err
    states = {row["value"]: row["state"] for row in json.loads(result.out)["ablation"]["rows"]}
    assert states == {"1": "done", "2": "done", "3": "failed"}


def test_rows_of_an_ablation_are_drawn_exported_and_used_by_name(
    run: Run, grid: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    vary = (*VARY, "--vary", "num_inference_steps=5")
    assert run("ablate", grid, *WITH_PLUGINS, *vary, "--out", out).code == 0
    plugins = WITH_PLUGINS[:2]
    for number, sheet in (("4", "f4.png"), ("5", "f5.svg"), ("8", "f8.png")):
        result = run("figure", number, out, *plugins, "--out", tmp_path / sheet, "--row", "gaussian:steps=1")
        assert result.code == 0, result.err
    opened = FinishedRun.open(str(out), RunLocations(cache=cache), Registry.load(files=[PLUGINS]))
    sheet = draw_figure(5, opened, FigureRequest(RowQuery("gaussian:steps=1"), count=1))
    gaussian = [column for column in sheet.columns if column.startswith("gaussian")]
    # What was varied in the training has the base's images, which are shown once.
    assert gaussian[:2] == ["gaussian:steps=1", "gaussian:steps=1 [corruptor.steps=2]"]
    assert not any("training.lr" in column for column in sheet.columns)
    for row, steps in (("gaussian:steps=1", 10), ("gaussian:steps=1 [num_inference_steps=5]", 5)):
        folder = tmp_path / f"set-{steps}"
        result = run("export", out, *plugins, "--row", row, "--format", "folder", "--out", folder)
        assert result.code == 0, result.err
        assert json.loads((folder / "provenance.json").read_text())["num_inference_steps"] == steps
    images = sorted(tmp_path.glob("set-5/train/*.png"))[:1]
    named = ("--row", "gaussian:steps=1 [corruptor.steps=2]")
    result = run("detect", out, *images, *plugins, *named, "--device", "cpu", "--out", tmp_path / "marked")
    assert result.code == 0, result.err
    result = run("figure", "4", out, *plugins, "--row", "gaussian", "--out", tmp_path / "x.png")
    assert result.code == 2 and "gaussian:steps=1 [training.lr=1e-2]" in result.err
