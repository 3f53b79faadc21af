"""`benchkit tune`: what it prints and keeps, how it resumes, and how failures and mistakes end."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchkit.errors import BenchkitError
from benchkit.executors.inline import Inline
from tests.helpers.small_comparison import PLUGINS, Run

WITH_PLUGINS = ("--plugin", PLUGINS, "--device", "cpu")
BRITTLE = """
from dataclasses import dataclass
from benchkit.api import LatentCorruptor, hookimpl, param


@dataclass(frozen=True)
class Brittle(LatentCorruptor):
    name = "brittle"
    steps: int = 1
    way: str = param("well", choices=("well", "badly"))

    def corrupt(self, at):
        if self.way == "badly":
            raise ValueError("gone badly")
        return at.z_t


@hookimpl
def benchkit_corruptors():
    return [Brittle]
"""


@pytest.fixture
def held(grid: Path, tmp_path: Path) -> Path:
    """The small comparison with validation data."""
    file = tmp_path / "held.yaml"
    file.write_text(grid.read_text() + "validation: {split: wild, size: 3}\n")
    return file


def test_it_prints_a_spec_that_compare_takes_and_resumes(run: Run, held: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("tune", "gaussian", held, "--corruptor", "blur:steps=2", "--space", "steps=1..3", *WITH_PLUGINS)
    refused = run(*command, "--trials", 2, "--out", out)
    assert refused.code == 2
    assert "sets it already" in refused.err
    command = ("tune", "gaussian", held, "--corruptor", "none", "--space", "steps=1..3", *WITH_PLUGINS, "--out", out)
    first = run(*command, "--trials", 2)
    assert first.code == 0, first.err
    assert "budget of each corruptor: 2 trials x 1 trainings x 2 iterations, 4 sources" in first.out
    assert "the test split is not read" in first.out
    frame = pd.read_csv(out / "trials.csv")
    assert list(frame["corruptor"]) == ["gaussian"] * 2 + ["none"] * 2
    best = next(line for line in first.out.splitlines() if line.startswith("--corruptor gaussian"))
    dry = run("compare", held, *WITH_PLUGINS, *best.split(" ", 1), "--dry-run")
    assert dry.code == 0, dry.err
    again = json.loads(run(*command, "--trials", 3, "--json").out)
    assert [search["resumed"] for search in again["searches"]] == [2, 2]
    assert again["budget"]["trials"] == 3
    assert json.loads((out / "trials.json").read_text()) == again


def test_a_trial_that_fails_is_told_and_the_others_count(run: Run, held: Path, tmp_path: Path) -> None:
    (tmp_path / "brittle.py").write_text(BRITTLE)
    options = ("--plugin", tmp_path / "brittle.py", "--space", "way=well|badly", "--trials", 5, "--json")
    result = run("tune", "brittle", held, *WITH_PLUGINS, *options)
    assert result.code == 3, result.err
    assert "gone badly" in result.err
    (search,) = json.loads(result.out)["searches"]
    assert {(t["way"], t["state"]) for t in search["trials"]} == {("well", "done"), ("badly", "failed")}
    assert search["best"] == "brittle:way=well"


@pytest.mark.slow
def test_several_processes_find_the_same_trials(
    run: Run, held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    command = ("tune", "gaussian", held, "--space", "steps=1..3", "--trials", 2, *WITH_PLUGINS, "--json")
    found = [
        json.loads(run(*command, "--executor", executor, "--cache", tmp_path / executor[:3]).out)
        for executor in ("inline", "processes:workers=2")
    ]
    for plain in found:
        for trial in plain["searches"][0]["trials"]:
            assert trial.pop("seconds") > 0 and trial["artifact_iou"] is not None
    assert found[0] == found[1]


def test_what_failed_is_tried_again_on_request_in_its_place(run: Run, held: Path, tmp_path: Path) -> None:
    mark, out = tmp_path / "mark", tmp_path / "out"
    fails = BRITTLE.replace('self.way == "badly"', f"__import__('os').path.exists({str(mark)!r})")
    (tmp_path / "brittle.py").write_text(fails)
    command = ("tune", "brittle", held, *WITH_PLUGINS, "--plugin", tmp_path / "brittle.py", "--out", out, "--json")
    command = (*command, "--space", "steps=1..3")
    mark.touch()
    failing = run(*command, "--trials", 2)
    assert failing.code == 3 and "--retry-failed" not in failing.err
    mark.unlink()
    grown = run(*command, "--trials", 3)
    assert grown.code == 3 and "not retried; add --retry-failed" in grown.err
    before = json.loads(grown.out)["searches"][0]["trials"]
    assert [trial["state"] for trial in before] == ["failed", "failed", "done"]
    again = run(*command, "--trials", 3, "--retry-failed")
    assert again.code == 0, again.err
    after = json.loads(again.out)["searches"][0]["trials"]
    assert [trial["spec"] for trial in after] == [trial["spec"] for trial in before]
    assert [trial["state"] for trial in after] == ["done"] * 3
    assert after[2] == before[2], "what is done is left alone"


def test_settings_and_scale_are_the_grids(run: Run, held: Path) -> None:
    command = ("tune", "gaussian", held, *WITH_PLUGINS, "--trials", 3, "--dry-run")
    assert (
        "3 trials x 2 trainings x 7 iterations, 3 sources"
        in run(*command, "--set", "training.iterations=7", "--set", "seeds=[0,1]", "--set", "source.size=3").out
    )
    smaller = run("tune", "gaussian", "portraits", "--scale", 0.05, "--trials", 3, "--dry-run")
    assert smaller.code == 0, smaller.err
    assert "3 trials x 10 trainings x 100 iterations, 12 sources" in smaller.out
    assert "split 'validation', 5 images" in smaller.out


def test_a_dry_run_says_the_budget_and_writes_nothing(run: Run, held: Path, cache: Path, tmp_path: Path) -> None:
    result = run("tune", "blur", held, *WITH_PLUGINS, "--trials", 7, "--out", tmp_path / "out", "--dry-run")
    assert result.code == 0, result.err
    assert "7 trials" in result.out
    assert "search space of blur: steps=1..10, sigma=" in result.out
    assert not (tmp_path / "out").exists()
    assert not cache.exists()


def test_an_executor_that_cannot_run_leaves_nothing(
    run: Run, held: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_: Inline) -> None:
        raise BenchkitError("no cluster answers")

    monkeypatch.setattr(Inline, "check", check)
    result = run("tune", "gaussian", held, *WITH_PLUGINS, "--out", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    assert "no cluster answers" in result.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
    assert not cache.exists()


def test_to_retry_without_a_folder_of_trials_is_refused(run: Run, held: Path) -> None:
    result = run("tune", "gaussian", held, *WITH_PLUGINS, "--retry-failed")
    assert (result.code, result.out) == (2, "")
    assert "--retry-failed: also give --out, the folder" in result.err


def test_a_grid_without_validation_data_is_refused(run: Run, grid: Path) -> None:
    result = run("tune", "gaussian", grid, *WITH_PLUGINS)
    assert result.code == 2
    assert "add 'validation: {split: …, size: …}' to the grid" in result.err
