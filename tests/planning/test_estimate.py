"""What a run needs, known beforehand: seconds by hand-computed rates, bytes, memory, and a disk that is too small."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import benchkit
from benchkit.config.grid import load_grid
from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult
from benchkit.functions.progress import Lines
from benchkit.functions.time_left import TimeLeft
from benchkit.planning import estimate as estimates
from benchkit.planning.estimate import Estimate, check_room, estimate
from benchkit.planning.plan import Plan
from benchkit.planning.rates import KEPT, RATES, WHOLE_RUN, Measurement, Rates, select_machine
from benchkit.planning.workloads import Workload, Workloads
from benchkit.plugin.registry import Registry
from benchkit.runs.run import make_plan
from benchkit.stages.base import Env
from benchkit.stages.corrupt import Corrupt
from benchkit.stages.evaluate import Evaluate
from benchkit.stages.images import Images, Latents
from benchkit.stages.invert import Invert
from benchkit.stages.train import Train
from benchkit.store.artifacts import ArtifactStore
from benchkit.system.quantities import format_range
from tests.helpers.small_comparison import PLUGINS, Finished

HERE = {"processor": "P", "cores": 2, "device": "cpu", "accelerator": None}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(files=[PLUGINS])


@pytest.fixture(scope="module")
def plan(grid: Path, registry: Registry) -> Plan:
    return make_plan(load_grid(str(grid)), registry)


def test_a_rate_is_seconds_for_a_unit_of_work() -> None:
    rates = Rates()
    for seconds in (2.0, 4.0, 6.0):
        rates.add(Workload("train", "dot", 20, 100), Measurement(20, seconds, memory=7, size=11))
    rate = rates.find(Workload("train", "dot", 5, 100))
    assert rate is not None and rate.is_own
    # 0.1, 0.2 and 0.3 seconds: the mean, and the tenth and ninetieth percentile.
    assert (rate.low, rate.mean, rate.high) == pytest.approx((0.12, 0.2, 0.28))
    assert rates.find_memory([Workload("train", "dot", 5, 100)]) == 7
    assert rates.find_size(Workload("train", "dot", 5, 100)) == 11
    assert rates.find_size(Workload("train", "dot", 5, 100, size=3)) == 3


def test_other_sizes_and_networks_widen_the_range() -> None:
    rates = Rates()
    rates.add(Workload("train", "dot", 10, 100), Measurement(10, 1.0))
    alone = rates.find(Workload("train", "dot", 1, 100))
    assert alone is not None and (alone.low, alone.high) == pytest.approx((0.1 / 1.5, 0.15))  # one measurement
    larger = rates.find(Workload("train", "dot", 1, 400))  # four times the pixels, and twice the range
    assert larger is not None and not larger.is_own
    assert (larger.low, larger.mean, larger.high) == pytest.approx((0.4 / 3, 0.4, 1.2))
    other = rates.find(Workload("train", "swin", 1, 100))
    assert other is not None and (other.low, other.high) == pytest.approx((0.1 / 3, 0.3))
    assert rates.find(Workload("evaluate", "dot", 1, 100)) is None


def test_only_the_last_measurements_count() -> None:
    rates, work = Rates(), Workload("evaluate", "dot", 1)
    for seconds in [1.0] * KEPT + [3.0] * KEPT:
        rates.add(work, Measurement(1, seconds))
    rate = rates.find(work)
    assert rate is not None and (rate.low, rate.high) == (3, 3)


def test_rates_are_kept_by_machine(tmp_path: Path) -> None:
    work = Workload("evaluate", "dot", 2)
    for device, seconds in (("cpu", 4.0), ("cuda", 1.0)):
        rates = Rates()
        rates.add(work, Measurement(2, seconds))
        rates.save(tmp_path, {**HERE, "device": device, "git": None})
    assert Rates.load(tmp_path, {**HERE, "device": "cpu"}).measured[("evaluate", "dot", 0)] == [Measurement(2, 4.0)]
    # `auto` is the device used last.
    assert Rates.load(tmp_path, {"processor": "P"}).measured[("evaluate", "dot", 0)] == [Measurement(2, 1.0)]
    assert not Rates.load(tmp_path, {"processor": "other"}).measured
    assert "device" not in select_machine("P", "auto")
    (tmp_path / RATES).write_text("{damaged")
    assert not Rates.load(tmp_path, HERE).measured
    rates.save(tmp_path / "none", HERE)  # a folder that is gone
    assert not (tmp_path / "none").exists()


def test_the_work_of_stages_is_counted(plan: Plan, registry: Registry) -> None:
    works = Workloads(registry)
    found = {kind: works.of(next(s for s in plan.stages if isinstance(s, kind))) for kind in (Invert, Train, Latents)}
    assert (found[Invert].amount, found[Invert].pixels) == (4, 32 * 32)  # 4 images, 1 step
    assert found[Train].amount == 2 * 2  # iterations, images each
    assert found[Latents].amount == 4
    corrupt = next(s for s in plan.stages if isinstance(s, Corrupt))
    assert works.of(corrupt).amount == 4 * (1 + 3)  # an evaluation and a decoding that costs three
    images = next(s for s in plan.stages if isinstance(s, Images))
    assert works.of(images).size == 4 * 32 * 32 * 4


def test_known_bytes_are_those_that_were_written(plan: Plan, registry: Registry, finished: Finished) -> None:
    works, store = Workloads(registry), ArtifactStore(finished.cache)
    for stage in plan.stages:
        if (size := works.of(stage).size) is not None:
            assert size == pytest.approx(store.open(stage.key).size, abs=2000), stage.describe()  # and headers


def test_seconds_are_rates_times_work(plan: Plan, registry: Registry, tmp_path: Path) -> None:
    works, rates = Workloads(registry), Rates()
    stages = [stage for stage in plan.stages if isinstance(stage, Train | Evaluate)]
    trained = next(works.of(stage) for stage in stages if isinstance(stage, Train))
    for _ in range(3):
        rates.add(trained, Measurement(4, 2.0, memory=5))
        rates.add(Workload(WHOLE_RUN, "processes", 1), Measurement(10, 5))
    trainings = sum(isinstance(stage, Train) for stage in stages)
    own = sum(works.of(stage).what == trained.what for stage in stages if isinstance(stage, Train))
    assert own == trainings  # one detector, so that each takes two seconds, and half of it in two processes
    found = estimate(stages, works, rates, tmp_path, "processes")
    assert found.seconds == pytest.approx((trainings, trainings))
    assert found.unmeasured == {"evaluate": len(stages) - trainings}
    assert found.memory == 5
    assert f"without {len(stages) - trainings} evaluate stages" in found.lines()[0]


def test_without_rates_the_time_is_not_guessed(plan: Plan, registry: Registry, tmp_path: Path) -> None:
    found = estimate(plan.stages, Workloads(registry), Rates(), tmp_path)
    assert found.seconds is None
    assert found.as_json()["seconds"] is None
    assert "not known" in found.lines()[0] and "`scale`" in found.lines()[0]
    assert found.lines()[-1].startswith("disk: ")
    assert Estimate().lines() == []


class SmallDisk:
    free = 20_000


def test_a_run_larger_than_the_disk_is_refused(
    plan: Plan, registry: Registry, grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates.shutil, "disk_usage", lambda folder: SmallDisk())
    with pytest.raises(BenchkitError, match=r"at least .* KB .*19\.5 KB left: .*`benchkit cache prune`.*`cache`"):
        check_room(plan.stages, registry, tmp_path / "none")
    for dry_run in (True, False):
        with pytest.raises(BenchkitError, match="the run writes at least"):
            benchkit.compare(grid, cache=tmp_path / "none", plugins=[PLUGINS], device="cpu", dry_run=dry_run)
    assert not (tmp_path / "none").exists()


def test_a_run_records_rates_and_a_dry_run_uses_them(grid: Path, tmp_path: Path) -> None:
    fixed: dict[str, Any] = {"cache": tmp_path, "plugins": [PLUGINS], "device": "cpu", "progress": False}
    before = benchkit.compare(grid, dry_run=True, **fixed)
    assert before.preview.estimate.seconds is None
    benchkit.compare(grid, **fixed)
    recorded = json.loads((tmp_path / RATES).read_bytes())["machines"]
    assert {key[0] for key, _ in recorded[0]["rates"]} >= {"train", "evaluate", "corrupt", "invert"}
    after = benchkit.compare(grid, seeds=[1], dry_run=True, **fixed)
    low, high = after.preview.estimate.seconds or (0, 0)
    assert 0 < low <= high
    assert not after.preview.estimate.unmeasured
    assert (after.preview.estimate.memory or 0) > 1 << 20
    assert any(line.startswith("time: ") for line in after.lines())


def test_time_left_counts_pending_work(
    plan: Plan, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    trainings = [stage for stage in plan.stages if isinstance(stage, Train)]
    left = TimeLeft(trainings, Env(registry, ArtifactStore(tmp_path)), "inline")
    assert left.finish(StageResult(trainings[0], "cached")) is None
    now[0] = 60.0
    # The others take as long as the second did.
    assert left.finish(StageResult(trainings[1], "run", seconds=60.0)) == (
        f"about {len(trainings) - 2}:00 left" if len(trainings) > 2 else None
    )
    assert len(trainings) > 2


def test_lines_of_progress_end_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.start(2)
    lines.note("train a")
    lines.advance()
    lines.show_left("about 3:20 left")
    lines.note("evaluate a")
    assert capsys.readouterr().err.splitlines() == ["[0/2] 0:00 train a", "[1/2] 0:00 evaluate a; about 3:20 left"]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (3, 5.4, "3 to 5.4 seconds"),
        (30, 119, "30 to 119 seconds"),
        (60, 300, "1 to 5 minutes"),
        (3600, 72000, "1 to 20 hours"),
        (5, 5, "about 5 seconds"),
    ],
)
def test_ranges_are_readable(low: float, high: float, text: str) -> None:
    assert format_range(low, high) == text
