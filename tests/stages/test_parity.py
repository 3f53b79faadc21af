"""Half precision is compared with float32 before it is used, and chunks give the images of other chunks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchkit
from benchkit.config.grid import Grid, load_grid
from benchkit.errors import BenchkitError
from benchkit.executors.inline import Inline
from benchkit.plugin.registry import Registry
from benchkit.runs.run import make_plan
from benchkit.stages import parity
from benchkit.stages.base import Env
from benchkit.stages.corrupt import Corrupt
from benchkit.stages.parity import describe_parity, find_disparity
from benchkit.store.artifacts import ArtifactStore
from tests.helpers.small_comparison import PLUGINS

Figures = dict[str, np.ndarray]
GOOD = {"round_trip": [40.0], "round_trip_float32": [40.05], "images": [60.0, 46.0], "decoded": [70.0, 50.0]}


def figures(**changes: list[float]) -> Figures:
    return {name: np.array(values) for name, values in {**GOOD, **changes}.items()}


def test_half_precision_may_lose_a_tenth_of_a_decibel_and_45_dB() -> None:
    assert find_disparity(figures()) is None
    assert find_disparity(figures(round_trip=[41.0])) is None  # a better one is no loss
    assert "loses 0.15 dB" in str(find_disparity(figures(round_trip=[39.9])))
    assert "an image of the round trip is 44.0 dB" in str(find_disparity(figures(images=[60.0, 44.0])))
    assert "a decoded image is 30.0 dB" in str(find_disparity(figures(decoded=[30.0, 50.0])))
    for name in GOOD:
        assert find_disparity(figures(**{name: [60.0, float("nan")]})) == "images are not finite"
    text = (
        "round trip 40.00 dB, in float32 40.05 dB; images at least 46.0 dB from those of float32, decoded ones 50.0 dB"
    )
    assert describe_parity(figures()) == text


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests take this processor for one that computes in bfloat16."""
    monkeypatch.setattr("benchkit.planning.preflight.precision.has_bfloat16", lambda _: True)
    monkeypatch.setattr("benchkit.planning.auto_sampling.has_bfloat16", lambda _: True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("half") / "cache"


def compare(grid: Path, cache: Path, precision: str, **more: Any) -> Any:
    more |= {"settings": {"sampling.precision": precision, "sampling.chunk": 3}, "plugins": [PLUGINS]}
    return benchkit.compare(grid, cache=cache, progress=False, device="cpu", **more)


def test_images_too_far_from_float32_are_refused(
    native: None, grid: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The random weights of the tests' checkpoint do not bear half precision.
    wanted = r"sampling\.precision is bfloat16, and on device 'cpu' .* float32.*: set it to float32, or to auto"
    with pytest.raises(BenchkitError, match=wanted):
        compare(grid, cache, "bfloat16")
    with caplog.at_level(logging.WARNING, "benchkit"):
        dry = compare(grid, cache, "auto", dry_run=True)
    assert any("sampling.precision: auto is float32, because in bfloat16 " in text for text in caplog.messages)
    assert sum(dry.pending.values())


def test_a_comparison_in_half_precision_says_so_in_its_rows(
    native: None, grid: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parity, "CLOSENESS", 0.0)
    monkeypatch.setattr(parity, "LOSS", 100.0)
    made = compare(grid, cache, "bfloat16")
    trained = made.metrics().query("role == 'corrupted'")
    assert set(trained["dtype"]) == {"float32, sampling bfloat16"} and set(trained["chunk"]) == {3}
    with caplog.at_level(logging.WARNING, "benchkit"):
        dry = compare(grid, cache, "auto", dry_run=True)
    assert any("sampling.precision: auto is bfloat16 (round trip" in text for text in caplog.messages)
    assert not sum(dry.pending.values()), "the finished comparison is found again"


def test_before_the_check_auto_says_what_it_depends_on(
    native: None, grid: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "benchkit"):
        compare(grid, tmp_path / "none", "auto", dry_run=True)
    assert any("auto is bfloat16, if the check at the start of the run is passed" in text for text in caplog.messages)
    assert not (tmp_path / "none").exists()


def images(grid: Grid, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the corrupted images of a grid's only row, in the order of the source, and their labels."""
    registry = Registry.load(files=[PLUGINS])
    plan = make_plan(grid, registry)
    env = Env(registry, ArtifactStore(folder))
    chunks = {stage.region.chunk: stage for stage in plan.stages if isinstance(stage, Corrupt)}
    wanted = [chunks[place] for place in sorted(chunks)]
    needed = {stage.key: stage for one in wanted for stage in _with_inputs(one)}
    failed: list[str] = []
    Inline().execute(tuple(needed.values()), env, lambda one: failed.append(one.reason) if one.reason else None)
    assert not failed
    arrays = [env.arrays(stage) for stage in wanted]
    return np.concatenate([one["images"] for one in arrays]), np.concatenate([one["labels"] for one in arrays])


def _with_inputs(stage: Any) -> list[Any]:
    return [*(inner for needed in stage.inputs for inner in _with_inputs(needed)), stage]


def test_a_chunk_changes_no_image_by_more_than_its_last_digits(grid: Path, tmp_path: Path) -> None:
    base = load_grid(str(grid)).replaced(
        source={"split": "clean", "size": 8}, corruptors=["mode-interpolation:steps=1"], baselines=[], trivial=[]
    )
    whole = images(base, tmp_path / "whole")
    for chunk in (3, 1):
        found = images(base.replaced(sampling={"chunk": chunk}), tmp_path / str(chunk))
        assert np.array_equal(found[1], whole[1])
        assert np.abs(found[0].astype(int) - whole[0]).max() <= 1
    assert len(np.unique(whole[0], axis=0)) == 8
