"""A comparison with frozen detectors: each image's features once, for every row, head and seed that wants them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchkit.config.grid import Grid, parse_grid
from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.processes import Processes
from benchkit.inference.detector import read_detector
from benchkit.outputs.exports.detector import write_detector
from benchkit.outputs.finished_run import FinishedRun
from benchkit.planning import estimate, frozen_detectors
from benchkit.planning.plan import Plan
from benchkit.planning.workloads import Workloads
from benchkit.plugin.networks import build_network, find_trunk
from benchkit.plugin.registry import Registry
from benchkit.runs.run import RunLocations, RunOptions, compare, make_plan
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.stages.base import Env
from benchkit.stages.features import Features
from benchkit.stages.select import Select
from benchkit.stages.train import Train
from benchkit.store.artifacts import ArtifactStore
from benchkit.training.loop import predict
from tests.helpers.small_comparison import GRID, PLUGINS

FROZEN_PLUGINS = PLUGINS.parent / "frozen_plugins.py"
#: Labelled, source, test and validation images of one chunk each; two corrupted sets.
SETS = 4 + 2


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(files=[PLUGINS, FROZEN_PLUGINS], strict=True)


def small(model: Path, **changes: Any) -> Grid:
    grid = parse_grid(GRID.format(model=model), "test")
    settings = {
        "detectors": ["pyramid", "line"],
        "selectors": ["learned"],
        "validation": {"split": "wild", "size": 4},
        "training": {"iterations": 12, "batch": 2, "lr": 0.01, "schedule": "one-cycle", "checkpoint_every": 5},
        "selector_training": {"iterations": 12, "batch": 2, "lr": 0.01, "schedule": "one-cycle"},
    }
    return grid.replaced(**{**settings, **changes})


class Counted:
    """Counts the stages that are run, by class; raises KeyboardInterrupt at the start of stage number `stop`."""

    def __init__(self, stop: str = "", count: int = 0) -> None:
        self.run: Counter[str] = Counter()
        self.stop, self.count = stop, count

    def __call__(self, done: StageResult) -> None:
        if done.state == "run":
            self.run[type(done.stage).__name__] += 1
        if self.stop and self.run[self.stop] == self.count:
            raise KeyboardInterrupt


def run(grid: Grid, registry: Registry, cache: Path, executor: Any = None, counted: Counted | None = None) -> Any:
    locations = RunLocations(cache=cache)
    outcome = compare(grid, registry, locations, RunOptions(executor=executor or Inline(), report=counted or Counted()))
    assert not outcome.failures
    return locations.result_store().rows(outcome.run)


@pytest.fixture(scope="module")
def whole(tiny_checkpoint: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """The cache, rows and counted stages of the comparison, run in one go."""
    cache, counted = tmp_path_factory.mktemp("whole"), Counted()
    rows = run(small(tiny_checkpoint), registry, cache, counted=counted)
    return cache, rows, counted


def test_heads_on_one_trunk_share_the_features_of_images_before_corruption(
    tiny_checkpoint: Path, registry: Registry, whole: tuple[Path, Any, Any]
) -> None:
    cache, rows, counted = whole
    # Each detector selects its own regions, so that each has its own two corrupted sets; all else is shared.
    assert counted.run["Features"] == SETS + 2
    assert counted.run["Train"] == 2 * 4
    assert (rows.state == "done").all() and len(rows) == 2 * 4 + 1
    again = Counted()
    second = run(small(tiny_checkpoint), registry, cache, counted=again)
    assert not again.run
    assert_equal_rows(second, rows)


def test_a_second_seed_and_a_wider_head_compute_no_features_of_images_that_they_share(
    tiny_checkpoint: Path, registry: Registry, whole: tuple[Path, Any, Any]
) -> None:
    cache, _, _ = whole
    counted = Counted()
    grid = small(tiny_checkpoint, detectors=["pyramid:width=5"], corruptors=[], baselines=["human", "pseudo"])
    run(grid, registry, cache, counted=counted)
    assert counted.run["Train"] == 2 and not counted.run["Features"]
    run(grid.replaced(seeds=[0, 1]), registry, cache, counted=counted)
    assert counted.run["Train"] == 4
    assert counted.run["Features"] == 1, "of the labelled images that the second seed draws"


def test_a_trunk_with_another_parameter_has_its_own_features(tiny_checkpoint: Path, registry: Registry) -> None:
    def trunks(*detectors: str) -> set[Spec]:
        plan = make_plan(small(tiny_checkpoint, detectors=detectors), registry)
        return {stage.trunk for stage in plan.stages if isinstance(stage, Features)}

    assert len(trunks("pyramid:width=2", "pyramid:width=9", "line")) == 1
    assert len(trunks("pyramid", "pyramid:gain=2")) == 2


def test_a_comparison_that_is_interrupted_between_features_goes_on_to_the_same_rows(
    tiny_checkpoint: Path, registry: Registry, whole: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    _, rows, counted = whole
    first, second = Counted("Features", 2), Counted()
    with pytest.raises(KeyboardInterrupt):
        run(small(tiny_checkpoint), registry, tmp_path, counted=first)
    resumed = run(small(tiny_checkpoint), registry, tmp_path, counted=second)
    assert first.run["Features"] + second.run["Features"] == counted.run["Features"]
    assert_equal_rows(resumed, rows)


def test_several_processes_give_the_same_rows(
    tiny_checkpoint: Path, registry: Registry, whole: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    assert_equal_rows(run(small(tiny_checkpoint), registry, tmp_path, Processes(2)), whole[1])


def assert_equal_rows(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    drop = ["run", "seconds"]
    pd.testing.assert_frame_equal(found.drop(columns=drop), expected.drop(columns=drop), check_exact=True)


def test_a_row_keeps_its_learning_curve(whole: tuple[Path, Any, Any]) -> None:
    _, rows, _ = whole
    trained = rows[rows.role != "trivial"]
    for text in trained.curve:
        curve = json.loads(text)
        assert curve["iterations"] == [2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
        assert len(curve["average_precision"]) == len(curve["artifact_iou"]) == 10
        assert all(0 <= value <= 1 for value in (*curve["average_precision"], *curve["artifact_iou"]))
    assert set(trained.still_climbing) <= {True, False}
    assert rows[rows.role == "trivial"].curve.isna().all()


def test_a_head_that_fits_itself_has_neither_draws_of_its_own_nor_settings(
    tiny_checkpoint: Path, registry: Registry, whole: tuple[Path, Any, Any]
) -> None:
    cache, counted = whole[0], Counted()
    grid = small(tiny_checkpoint, detectors=["guess"], corruptors=[], baselines=["oracle"], seeds=[0, 1])
    rows = run(grid, registry, cache, counted=counted)
    assert counted.run["Train"] == 2
    oracle, other = rows[rows.role == "oracle"].to_dict("records")
    assert oracle["average_precision"] == other["average_precision"], "the oracle's images are those of every seed"
    prevalence = oracle["train_prevalence"]
    assert rows[rows.role == "oracle"].training.isna().all()
    curve = json.loads(oracle["curve"])
    assert curve["iterations"] == [1] and pd.isna(oracle["still_climbing"])
    plan, env = planned(tiny_checkpoint, registry, cache, detectors=["guess"], corruptors=[], baselines=["oracle"])
    cell = next(one for one in plan.cells if one.cell.role == "oracle")
    assert cell.train is not None and cell.evaluate is not None
    scores = cell.train.scorer(env, cell.evaluate.features)(cell.evaluate.test[0])
    assert scores == pytest.approx(prevalence, rel=1e-3)


def planned(model: Path, registry: Registry, cache: Path, **changes: Any) -> tuple[Plan, Env]:
    return make_plan(small(model, **changes), registry), Env(registry, ArtifactStore(cache))


def test_the_network_of_a_row_says_of_images_what_it_says_of_their_features(
    tiny_checkpoint: Path, registry: Registry, whole: tuple[Path, Any, Any]
) -> None:
    plan, env = planned(tiny_checkpoint, registry, whole[0])
    cell = next(one for one in plan.cells if one.cell.role == "corrupted")
    assert cell.train is not None and cell.evaluate is not None
    test = cell.evaluate.test[0]
    from_features = cell.train.scorer(env, cell.evaluate.features)(test)
    assert (predict(cell.train.network(env), env.arrays(test)["images"]) == from_features).all()


def test_an_exported_detector_answers_as_the_row_was_scored(
    tiny_checkpoint: Path, registry: Registry, whole: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    locations = RunLocations(cache=whole[0])
    opened = FinishedRun.open(whole[1].run.iloc[0], locations, registry)
    cell = next(one for one in opened.plan.cells if one.cell.role == "human" and one.cell.detector.name == "line")  # type: ignore[union-attr]
    write_detector(opened, cell, tmp_path)
    detector = read_detector(tmp_path, "cpu", registry)
    assert cell.train is not None and cell.evaluate is not None
    test = cell.evaluate.test[0]
    heats = detector(list(opened.env.arrays(test)["images"]))
    scores = cell.train.scorer(opened.env, cell.evaluate.features)(test)
    assert np.allclose(heats, scores, atol=1e-4)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    detector.probabilities(images).sum().backward()
    assert images.grad is not None and bool(images.grad.any())


def test_a_selection_scores_images_by_their_features(tiny_checkpoint: Path, registry: Registry) -> None:
    plan = make_plan(small(tiny_checkpoint), registry)
    for select in (one for one in plan.stages if isinstance(one, Select)):
        assert [one.images for one in select.features] == list(select.images)


def test_a_trunk_that_is_not_deterministic_is_refused(
    tiny_checkpoint: Path, registry: Registry, tmp_path: Path
) -> None:
    grid = small(tiny_checkpoint, detectors=["restless"], corruptors=[])
    states = run_features(grid, registry, tmp_path)
    assert set(states) == {"failed"} and states["failed"] > 2, "no chunk is stored"
    outcome = compare(grid, registry, RunLocations(cache=tmp_path), RunOptions(executor=Inline(), retry_failed=True))
    assert any("the trunk of detector 'restless' is not deterministic" in reason for reason in outcome.failures)
    assert (
        outcome.board is not None and not outcome.board.frame["seeds"][outcome.board.frame["group"] == "trained"].any()
    )


@pytest.mark.parametrize(("always", "stored"), [(True, 0), (False, 1)])
def test_maps_of_another_size_than_declared_are_refused_in_every_chunk(
    tiny_checkpoint: Path, registry: Registry, tmp_path: Path, always: bool, stored: int
) -> None:
    grid = small(tiny_checkpoint, detectors=[f"misfit:always={str(always).lower()}"], corruptors=[])
    reasons: list[str] = []
    states = run_features(grid, registry, tmp_path, reasons)
    assert states["run"] == stored and states["failed"] > 1
    assert any("returns a map of 4 x 4 for images of 32 x 32, its maps() declares stride 4" in one for one in reasons)


def run_features(grid: Grid, registry: Registry, cache: Path, reasons: list[str] | None = None) -> Counter[str]:
    """Return how many chunks of features ended in each state; put the reasons of failures into `reasons`."""
    states: Counter[str] = Counter()

    def report(done: StageResult) -> None:
        if isinstance(done.stage, Features):
            states[done.state] += 1

    outcome = compare(grid, registry, RunLocations(cache=cache), RunOptions(executor=Inline(), report=report))
    if reasons is not None:
        reasons += outcome.failures
    return states


def test_a_head_is_trained_on_whole_images(tiny_checkpoint: Path, registry: Registry) -> None:
    training = {"iterations": 2, "batch": 2, "crop": 32, "positive_crop": 0.5, "photometric": True}
    grid = small(tiny_checkpoint, training=training)
    configs = {one.config for one in make_plan(grid, registry).stages if isinstance(one, Train)}
    assert all(c.crop is None and not c.flip and not c.photometric and c.prior_bias for c in configs)
    message = list(frozen_detectors.list_unused_settings(grid, registry))
    assert len(message) == 2
    assert message[0].startswith("training: crop, positive_crop, photometric have no effect on detector 'pyramid'")


def test_the_size_of_features_is_known_before_they_are_computed(
    tiny_checkpoint: Path, registry: Registry, whole: tuple[Path, Any, Any]
) -> None:
    plan, env = planned(tiny_checkpoint, registry, whole[0])
    stages = [one for one in plan.stages if isinstance(one, Features)]
    stored = sum(map_one.nbytes for stage in stages for map_one in stage.maps(env))
    works = Workloads(registry)
    assert sum(works.of(stage).size or 0 for stage in stages) == stored
    # 32 x 32 pixels: three channels at stride 2, kept at stride 4, and three at stride 8, two bytes a value.
    images = sum(len(stage.source.indices) for stage in stages)
    assert stored == images * 2 * 3 * (8 * 8 + 4 * 4)


def test_features_larger_than_the_disk_are_refused(
    tiny_checkpoint: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda folder: FullDisk())
    with pytest.raises(BenchkitError, match=r"at least .* KB \(.*features .* KB.*\), and the disk of the cache"):
        compare(small(tiny_checkpoint), registry, RunLocations(cache=tmp_path / "none"), RunOptions())


class FullDisk:
    free = 100


def test_a_trunk_is_lent_by_a_detector_that_has_one(registry: Registry, tmp_path: Path) -> None:
    line = registry.complete(Spec.of("detector", "line"))
    assert find_trunk(registry, line) == registry.complete(Spec.of("detector", "pyramid"))
    assert find_trunk(registry, registry.complete(Spec.of("detector", "dot"))) is None
    source = FROZEN_PLUGINS.read_text()
    file = tmp_path / "borrowed.py"
    file.write_text(source[source.index('"""Frozen') : source.index("@dataclass")] + BORROWED)
    with_borrowed = Registry.load(files=[FROZEN_PLUGINS, file], strict=True)
    with pytest.raises(BenchkitError, match="uses the trunk of 'line', which has no trunk of its own"):
        find_trunk(with_borrowed, with_borrowed.complete(Spec.of("detector", "borrowed")))


BORROWED = '''
@dataclass(frozen=True)
class Borrowed(FrozenDetector):
    """Asks one that has none."""

    name = "borrowed"

    def trunk(self):
        return "line"

    def build_head(self, channels):
        from torch import nn

        return nn.Conv2d(channels, 2, 1)
'''


def test_a_head_starts_from_the_seed_and_its_trunk_does_not(registry: Registry) -> None:
    from benchkit.api import Detector

    plugin = registry.make(registry.complete(Spec.of("detector", "pyramid")), Detector)  # type: ignore[type-abstract]
    networks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        networks.append(build_network(registry, plugin))
    first, same, other = (one.state_dict() for one in networks)
    assert set(first) == {"mean", "std", "head.0.weight", "head.0.bias", "head.3.weight", "head.3.bias"}
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


def test_the_key_of_a_head_does_not_depend_on_settings_of_images(tiny_checkpoint: Path, registry: Registry) -> None:
    def keys(**training: Any) -> set[str]:
        grid = small(tiny_checkpoint, training={"iterations": 2, "batch": 2, **training})
        return {one.key for one in make_plan(grid, registry).stages if isinstance(one, Train)}

    assert keys() == keys(crop=32, photometric=True)
    assert keys() != keys(lr=0.5)


def test_settings_at_their_defaults_leave_a_training_as_it_was() -> None:
    from benchkit.specs.keys import keyed_fields

    names = [one.name for one in keyed_fields(TrainingConfig(iterations=1))]
    assert "ema_decay" not in names and "prior_bias" not in names
