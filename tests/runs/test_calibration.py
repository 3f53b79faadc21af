"""A calibration measures the kinds of stages that no run on this machine has measured, and nothing else."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import benchkit
from benchkit.api import Detector
from benchkit.config.grid import load_grid
from benchkit.errors import BenchkitError
from benchkit.planning.rates import RATES
from benchkit.planning.workloads import Workloads
from benchkit.plugin.registry import Registry
from benchkit.runs.calibration import REPEATS, _measure
from benchkit.runs.rate_recorder import load_rates
from benchkit.runs.run import make_plan
from benchkit.stages.confine import Confine
from tests.helpers.small_comparison import PLUGINS, Finished

FROZEN_PLUGINS = PLUGINS.parent / "frozen_plugins.py"
#: A detector that is trained whole, two frozen ones of which one fits itself, and a corruptor of pixels.
SETTINGS = {
    "detectors": ["dot", "pyramid", "line"],
    "selectors": ["learned"],
    "corruptors": ["none:steps=1", "gaussian:steps=1", "pixel-blur"],
}


@dataclass(frozen=True)
class Broken(Detector):
    """A detector that cannot be built."""

    name = "broken"

    def build(self) -> nn.Module:
        raise RuntimeError("no network today")


def calibrate(grid: Path, cache: Path, **more: Any) -> Any:
    asked: dict[str, Any] = {"cache": cache, "device": "cpu", "plugins": [PLUGINS], "progress": False, **more}
    return benchkit.compare(grid, dry_run=True, calibrate=True, **asked)


def test_the_dry_run_knows_the_time_after_it(grid: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache, registry = tmp_path / "cache", Registry.load(files=[PLUGINS, FROZEN_PLUGINS])
    with caplog.at_level(logging.WARNING, "benchkit"):
        dry = calibrate(grid, cache, settings=SETTINGS, plugins=[PLUGINS, FROZEN_PLUGINS])
    assert "kinds of stages were measured in" in caplog.text
    low, high = dry.preview.estimate.seconds
    assert 0 < low < high
    assert dry.preview.estimate.memory > 2**20
    assert not dry.preview.estimate.similar
    assert set(dry.preview.estimate.unmeasured) == {"confine"}
    assert not sum(dry.cached.values()), "nothing of the comparison was computed"

    rates, works = load_rates(cache, "cpu"), Workloads(registry)
    for stage in make_plan(load_grid(str(grid)).replaced(**SETTINGS), registry).stages:
        rate = rates.find(works.of(stage))
        assert isinstance(stage, Confine) or (rate is not None and rate.is_own and rate.mean > 0), stage.describe()


def test_known_rates_are_not_measured_again(finished: Finished, grid: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (finished.cache / RATES).read_bytes()
    with caplog.at_level(logging.WARNING, "benchkit"):
        dry = calibrate(grid, finished.cache, seeds=[7])
    assert sum(dry.pending.values())
    assert "calibration: nothing was measured: the rates of all" in caplog.text
    assert (finished.cache / RATES).read_bytes() == before


def test_what_cannot_be_measured_is_named_and_the_rest_is(
    grid: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "benchkit"):
        dry = calibrate(grid, tmp_path / "cache", detectors=["dot", Broken])
    assert "'train broken on " in caplog.text and "was not measured: no network today" in caplog.text
    assert dry.preview.estimate.seconds is not None


def test_it_belongs_to_a_dry_run(grid: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match="calibrate: a run measures its own stages"):
        benchkit.compare(grid, calibrate=True, cache=tmp_path / "cache", plugins=[PLUGINS])
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("alone", "fits"), [(0.001, 16), (0.1, 10), (5.0, 1)])
def test_as_many_images_as_the_time_allows(monkeypatch: pytest.MonkeyPatch, alone: float, fits: int) -> None:
    now = [0.0]
    monkeypatch.setattr("benchkit.runs.calibration.time.monotonic", lambda: now[0])
    asked: list[int] = []

    def probe(count: int) -> tuple[float, float]:
        asked.append(count)
        now[0] += alone * count
        return 3 * count, alone * count

    found = list(_measure(probe, 16, 3.05))
    assert asked == [1, 1, *REPEATS * [fits]]
    assert [one.seconds / one.amount for one in found] == pytest.approx(REPEATS * [alone / 3])
