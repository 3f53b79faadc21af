"""A checkpoint that `load_model` returned goes wherever a name goes; its content identifies it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import benchkit
from benchkit.diffusion import checkpoint
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.options import ModelOptions, format_model, parse_model
from benchkit.errors import ArgumentTypeError, ArgumentValueError
from tests.helpers.small_comparison import PLUGINS, Finished

HELD = {"validation": {"split": "wild", "size": 4}}


@pytest.fixture
def own(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "own"))


@pytest.fixture
def where(finished: Finished, tmp_path: Path) -> dict[str, Any]:
    shutil.copytree(finished.cache, tmp_path / "cache")
    return {"cache": tmp_path / "cache", "plugins": [PLUGINS], "device": "cpu", "progress": False}


def load(folder: Path, steps: int = 10, **given: Any) -> DiffusionBackend:
    return benchkit.load_model(folder, device="cpu", num_inference_steps=steps, **given)


def test_a_loaded_checkpoint_finds_the_results_of_its_name(grid: Path, own: Path, where: dict[str, Any]) -> None:
    dry = benchkit.compare(grid, model=load(own), dry_run=True, **where)
    assert sum(dry.pending.values()) == 0, "the copy has the same content"
    assert repr(dry) == repr(benchkit.compare(grid, model=own, dry_run=True, **where))


def test_a_comparison_works_with_the_loaded_networks(
    grid: Path, own: Path, where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(own)
    monkeypatch.setattr(DiffusionBackend, "load", lambda *_, **__: pytest.fail("it was loaded once more"))
    ended = benchkit.compare(grid, model=model, corruptors=["gaussian:steps=3"], **where)
    assert ended.failures == () and ended.stages["run"] > 0
    assert model.network_evaluations > 0


def test_another_process_loads_it_from_its_files(grid: Path, own: Path, where: dict[str, Any]) -> None:
    arguments = {**where, "corruptors": ["gaussian:steps=2"], "executor": "processes:workers=1"}
    ended = benchkit.compare(grid, model=load(own), **arguments)
    assert ended.failures == () and ended.stages["run"] > 0


def test_another_schedule_is_refused(grid: Path, own: Path, where: dict[str, Any]) -> None:
    message = r"loaded with num_inference_steps=5, and this comparison has 10: load it with num_inference_steps=10"
    short = load(own, 5)
    with pytest.raises(ArgumentValueError, match=message):
        benchkit.compare(grid, model=short, dry_run=True, **where)
    with pytest.raises(ArgumentValueError, match=message):
        benchkit.ablate(grid, {"model": [short]}, dry_run=True, **where)
    assert benchkit.compare(grid, model=short, settings={"num_inference_steps": 5}, dry_run=True, **where).pending


def test_changed_files_are_noticed(grid: Path, own: Path, where: dict[str, Any]) -> None:
    model, config = load(own), own / "unet" / "config.json"
    before = config.stat()
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(ArgumentValueError, match=r"model: checkpoint .* has changed since it was loaded"):
        benchkit.compare(grid, model=model, dry_run=True, **where)


def test_ablate_takes_loaded_checkpoints(grid: Path, own: Path, where: dict[str, Any]) -> None:
    half = load(own, dtype=torch.bfloat16)
    dry = benchkit.ablate(grid, {"model": [half]}, model=load(own), dry_run=True, **where)
    assert sum(dry.pending.values()) > 0
    assert half.location.endswith("own:dtype=bfloat16")


def test_tune_searches_with_a_loaded_checkpoint(grid: Path, own: Path, where: dict[str, Any], tmp_path: Path) -> None:
    """A real search, of two trials, which is resumed."""
    model = load(own)
    arguments: dict[str, Any] = {**where, "grid": grid, "settings": HELD, "out": tmp_path / "trials", "model": model}
    first = benchkit.tune("gaussian", {"steps": (2, 4)}, trials=2, **arguments)
    assert model.network_evaluations > 0
    assert list(first.trials["state"]) == ["done", "done"], first.trials
    assert first.best is not None and 2 <= int(str(first.best.values["steps"])) <= 4
    assert "2 trials" in repr(first) and str(first.best) in first._repr_html_()
    assert first.trials["artifact_iou"].between(0, 1).all()
    again = benchkit.tune("gaussian", {"steps": (2, 4)}, trials=3, **arguments)
    assert again.searches[0].resumed == 2 and len(again.trials) == 3


def test_the_class_is_no_checkpoint(grid: Path, where: dict[str, Any]) -> None:
    with pytest.raises(ArgumentTypeError, match="model: the class DiffusionBackend is no checkpoint"):
        benchkit.compare(grid, model=DiffusionBackend, dry_run=True, **where)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "options", [ModelOptions(), ModelOptions("float16", "tiled", True), ModelOptions(config="a b")]
)
def test_a_text_of_options_is_read_back(options: ModelOptions) -> None:
    assert parse_model(format_model("models/one", options)) == ("models/one", options)


def test_a_location_is_found_in_every_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.parent)
    model = benchkit.load_model("own:vae=sliced", device="cpu")
    monkeypatch.chdir("/")
    assert model.location == f"{own}:vae=sliced"
    assert checkpoint.find(model.location).identity == model.identity
    assert benchkit.load_model("portraits", device="cpu").location == "portraits"
    assert repr(model) == "<DiffusionBackend: own, 50 inference steps, float32 on cpu>"
