"""`on_detector`: trainings and seeds that the rows of one detector have in place of the grid's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchkit.config.grid import Grid, load_grid, parse_grid
from benchkit.config.grid_parts import change_training
from benchkit.config.overrides import apply_settings, scale_grid
from benchkit.errors import BenchkitError
from benchkit.functions.grid_arguments import GridArguments
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.paper_protocol import list_protocol_differences
from benchkit.planning.plan import Plan
from benchkit.planning.planner import Planner
from benchkit.planning.preflight.check_grids import check_grids, check_images
from benchkit.plugin.registry import Registry
from benchkit.search.ablation import make_ablation
from benchkit.search.tuning import budget
from benchkit.search.variants import Axis
from benchkit.specs.faults import FaultsError
from benchkit.specs.spec import Spec
from benchkit.stages.base import Model
from benchkit.stages.select import Select
from tests.helpers.small_comparison import PLUGINS

SWIN = "upernet-swin:pretrained=none"
GRID = f"""
title: t
source: {{split: clean, size: 4}}
test: {{split: test, size: 4}}
baselines: [human, pseudo, oracle]
selectors: [learned]
detectors: [dot, "{SWIN}"]
corruptors: ["gaussian:steps=1"]
seeds: [7]
selector_training: {{iterations: 40, warmup: 4, batch: 8, schedule: linear-warmup-poly}}
training: {{iterations: 20, lr: 0.5, crop: 32}}
on_detector:
  dot:
    training: {{lr: 1e-3, crop: null}}
    selector_training: {{iterations: 10, warmup: 2}}
    seeds: [0, 7]
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(files=[PLUGINS])


def grid(text: str = GRID, **changes: Any) -> Grid:
    return parse_grid(text, "a.yaml").replaced(**changes)


def plan(grid: Grid, registry: Registry) -> Plan:
    return Planner(grid, registry, Model("here", "identity", 50)).plan()


def detector(registry: Registry, text: str) -> Spec:
    return registry.complete(Spec.parse("detector", text))


def test_every_row_of_the_detector_has_its_own_training_and_seeds(registry: Registry) -> None:
    cells = [one for one in plan(grid(), registry).cells if one.train]
    found = {(one.cell.detector.name, one.cell.role, one.train.config) for one in cells}
    settings = grid()
    own = change_training(settings.training, {"lr": 1e-3, "crop": None})
    own_selection = change_training(settings.selector_training, {"iterations": 10, "warmup": 2})
    trained = ("pseudo", "oracle", "corrupted")
    assert found == {
        ("dot", "human", own_selection),
        ("upernet-swin", "human", settings.selector_training),
        *(("dot", role, own) for role in trained),
        *(("upernet-swin", role, settings.training) for role in trained),
    }
    assert Counter((one.cell.detector.name, one.cell.seed) for one in cells) == {
        ("dot", 0): 4,
        ("dot", 7): 4,
        ("upernet-swin", 7): 4,
    }


def test_the_oracle_can_have_its_own_iterations(registry: Registry) -> None:
    """More images take longer to learn; no other row follows, and no other setting of the oracle's training changes."""
    oracle = {"split": "wild", "size": 4, "iterations": 70}
    before, after = (plan(grid(oracle=given), registry).cells for given in ({**oracle, "iterations": None}, oracle))
    for old, new in zip(before, after, strict=True):
        longer = new.train and new.cell.role == "oracle"
        assert new.train == (
            replace(old.train, config=replace(old.train.config, iterations=70)) if longer else old.train
        )
    assert sum(one.cell.role == "oracle" for one in after) == 3


def test_trivial_rows_have_the_seeds_of_the_grid(registry: Registry) -> None:
    cells = plan(grid(), registry).cells
    assert {one.cell.seed for one in cells if one.cell.role == "trivial"} == {7}


def test_a_selector_is_trained_with_the_settings_of_its_own_network(registry: Registry) -> None:
    made = plan(grid(selectors=["learned:detector=dot"], detectors=[SWIN]), registry)
    assert {stage.train.config.iterations for stage in made.stages if isinstance(stage, Select)} == {10}


def test_the_entry_with_more_parameters_wins(registry: Registry) -> None:
    changed = grid(
        on_detector={SWIN: {"training": {"batch": 3}}, "upernet-swin": {"training": {"batch": 2, "iterations": 6}}},
    )
    settings = DetectorSettings(changed, registry)
    own = settings.training(detector(registry, SWIN))
    assert (own.batch, own.iterations) == (3, 6)
    assert settings.training(detector(registry, "upernet-swin")).batch == 2
    assert settings.key(detector(registry, SWIN), "training", "batch") == f"on_detector.{SWIN}.training.batch"
    assert settings.key(detector(registry, SWIN), "training", "lr") == "training.lr"


def test_a_key_may_write_a_default(registry: Registry) -> None:
    """The detector of the grid does not write its parameter, the key of `on_detector` does."""
    size = detector(registry, "upernet-swin").values["size"]
    changed = grid(detectors=["upernet-swin"], on_detector={f"upernet-swin:size={size}": {"seeds": [3]}})
    assert DetectorSettings(changed, registry).seeds(detector(registry, "upernet-swin")) == (3,)


def test_an_unknown_detector_is_refused_with_its_line_and_the_nearest_name(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GRID.replace("  dot:", "  upernet-swim:"))
    wrong = load_grid(str(tmp_path / "a.yaml"))
    with pytest.raises(
        BenchkitError, match=r"a.yaml, line 13: on_detector: .*'upernet-swim': did you mean 'upernet-swin'"
    ):
        check_grids([("", wrong)], registry)
    with pytest.raises(BenchkitError, match="did you mean 'upernet-swin'"):
        plan(wrong, registry)


def test_an_entry_without_its_detector_is_known_as_unused(registry: Registry) -> None:
    assert DetectorSettings(grid(), registry).unused() == []
    assert DetectorSettings(grid(detectors=[SWIN]), registry).unused() == ["dot"]
    assert DetectorSettings(grid(detectors=[SWIN], selectors=["learned:detector=dot"]), registry).unused() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 1e-3", "lrr: 1", "line 14: unknown key 'lrr': did you mean 'lr'? (at 'on_detector.dot.training.lrr')"),
        ("lr: 1e-3", "lr: -1", "line 14: on_detector.dot.training.lr: Input should be greater than 0"),
        ("seeds: [0, 7]", "seeds: []", "line 16: on_detector.dot.seeds: "),
        ("seeds: [0, 7]", "batch: 2", "line 16: unknown key 'batch'"),
        ("  dot:", "  dot:x:", "on_detector.dot:x: detector 'dot:x': 'x' is not key=value"),
        ("crop: null", "crop: null, positive_crop: 0.5", "on_detector.dot.training: positive_crop needs a crop"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_key_and_line(old: str, new: str, message: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        grid(GRID.replace(old, new))
    assert message in str(caught.value)


def test_a_crop_and_a_batch_are_checked_for_each_detector(registry: Registry) -> None:
    wrong = grid(GRID.replace("crop: null", "crop: 999, batch: 1"), detectors=["dot"], selectors=["random-boxes"])
    with pytest.raises(FaultsError) as caught:
        check_images([("", wrong)], registry)
    assert caught.value.settings["on_detector.dot.training.crop"] == 128
    assert "training.crop" not in caught.value.settings


def test_it_is_recorded_as_it_was_written_and_read_again() -> None:
    written = grid().as_data()
    assert written["on_detector"]["dot"]["training"] == {"lr": 0.001, "crop": None}
    assert Grid.model_validate(written).as_data() == written
    assert "on_detector" not in grid(on_detector={}).as_data()


def test_set_replaces_one_setting_of_one_detector(registry: Registry) -> None:
    settings = ["on_detector.dot.training.iterations=5", "training.lr=0.25", f"on_detector.{SWIN}.seeds=[1, 2]"]
    changed = apply_settings(grid(), settings)
    found = DetectorSettings(changed, registry)
    own = found.training(detector(registry, "dot"))
    assert (own.iterations, own.lr) == (5, 1e-3)
    assert found.training(detector(registry, SWIN)).lr == 0.25
    assert found.seeds(detector(registry, SWIN)) == (1, 2)
    two = grid(on_detector={"upernet-swin:pretrained=none,size=tiny": {"seeds": [5]}})
    (own,) = apply_settings(
        two, ["on_detector.upernet-swin:size=tiny,pretrained=none.training.lr=1"]
    ).on_detector.values()
    assert own.seeds == (5,) and own.training.lr == 1
    with pytest.raises(BenchkitError, match="unknown key 'lrr': did you mean 'lr'"):
        apply_settings(grid(), ["on_detector.dot.training.lrr=1"])


def test_scale_makes_every_training_shorter() -> None:
    smaller = scale_grid(grid(), 0.5)
    own = smaller.as_data()["on_detector"]["dot"]
    assert own["selector_training"] == {"iterations": 5, "warmup": 1}
    assert own["training"] == {"lr": 0.001, "crop": None}
    assert own["seeds"] == [0, 7]


def test_seeds_of_the_command_line_hold_for_every_row(registry: Registry) -> None:
    changed = GridArguments(seeds=[3, 4]).choose(grid())
    assert {one.cell.seed for one in plan(changed, registry).cells} == {3, 4}
    assert changed.on_detector[Spec("detector", "dot")].training.lr == 1e-3


def test_an_axis_leaves_the_settings_that_a_detector_has_of_its_own(registry: Registry) -> None:
    base = grid(detectors=["dot"], selectors=["random-boxes"], model="portraits")
    changed = make_ablation(base, [Axis.parse("training.batch=2")], registry)
    assert {cell.train.config.batch for own in changed.pairs for _, cell in own if cell.cell.role != "human"} == {2}
    with pytest.raises(BenchkitError, match=r"`vary` training.lr=0.1: applies to no row"):
        make_ablation(base, [Axis.parse("training.lr=0.1")], registry)
    with pytest.raises(BenchkitError, match="changes the seeds of rows"):
        make_ablation(base, [Axis.parse(f"detector=({SWIN})")], registry)


def test_a_search_counts_what_each_detector_is_trained(registry: Registry) -> None:
    base = grid(GRID.replace("lr: 1e-3", "iterations: 5"))
    spent = budget(base, 3, registry)
    assert (spent["trainings_per_trial"], spent["training_iterations"]) == (3, None)
    assert spent["total_training_iterations"] == 3 * (2 * 5 + 20)


def test_it_is_a_difference_to_the_papers_protocol() -> None:
    table = load_grid("table2")
    changed = table.replaced(on_detector={"upernet-swin": {"training": {"lr": 1e-3}}})
    assert set(list_protocol_differences(changed)) - set(list_protocol_differences(table)) == {
        "on_detector: upernet-swin with settings of their own"
    }
