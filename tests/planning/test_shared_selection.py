"""One selection for all detectors and seeds: which stages are shared, which are not, what is refused and recorded."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from benchkit.config.grid import load_grid
from benchkit.errors import BenchkitError
from benchkit.planning.cells import make_cells
from benchkit.planning.paper_protocol import list_protocol_differences
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.planning.preflight.check_grids import check_grids
from benchkit.plugin.registry import Registry
from benchkit.runs.cell_recorder import make_cell_info
from benchkit.search.variants import Axis, expand, list_axes
from benchkit.specs.cell import Cell
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.base import Costs
from benchkit.stages.confine import Confine
from benchkit.stages.corrupt import Corrupt, RoundTrip
from benchkit.stages.invert import Invert
from benchkit.stages.select import Select
from benchkit.stages.train import Train
from tests.planning.test_plan import COSTS, grid, of, plan

ONE, TWO = "upernet-convnext:pretrained=none", "upernet-swin:pretrained=none"
LEARNED = f"learned:detector='{TWO}'"
SHARED = {
    "detectors": [ONE, TWO],
    "seeds": [0, 1, 2],
    "selectors": [LEARNED],
    "baselines": ["human", "pseudo"],
    "corruptors": ["gaussian:steps=2"],
    "with_human": ["gaussian:steps=2"],
    "source": {"split": "pool", "rest": True, "size": 20},
    "trivial": ["mean-mask"],
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture(scope="module")
def shared(registry: Registry) -> Plan:
    return plan(registry, **SHARED, selection_seed=1)


def cell(made: Plan, role: str, seed: int, detector: str = "upernet-convnext") -> PlannedCell:
    (found,) = (
        one
        for one in made.cells
        if (one.cell.role, one.cell.seed) == (role, seed) and one.cell.detector and one.cell.detector.name == detector
    )
    return found


def test_all_seeds_and_detectors_share_the_stages_of_one_seed(registry: Registry, shared: Plan) -> None:
    alone = plan(registry, **{**SHARED, "detectors": [ONE], "seeds": [1]})
    for kind in (Select, Invert, Corrupt, RoundTrip, Confine):
        assert {one.key for one in of(shared, kind)} == {one.key for one in of(alone, kind)}, kind
        assert of(shared, kind)
    (select,) = of(shared, Select)
    assert select.seed == 1 and select.train is not None and select.train.seed == 1
    assert {one.seed for one in of(shared, Corrupt)} == {1}


def test_each_row_of_the_named_seed_is_that_of_its_own_selection(registry: Registry, shared: Plan) -> None:
    own = plan(registry, **{**SHARED, "seeds": [1]})
    assert {one.key for one in own.cells} == {one.key for one in shared.cells if one.cell.seed == 1}


def train(made: Plan, role: str, seed: int) -> Train:
    found = cell(made, role, seed).train
    assert found is not None
    return found


def sources(cells: Iterable[Cell]) -> set[ImageSet]:
    return {images for one in cells if one.role == "pseudo" for images in one.training.image_sets()}


def test_trainings_and_labelled_images_differ_by_seed(shared: Plan) -> None:
    different = {"human": 3, "mixed": 3, "pseudo": 1, "corrupted": 1}
    for role, number in different.items():
        trains = [train(shared, role, seed) for seed in (0, 1, 2)]
        assert [one.seed for one in trains] == [0, 1, 2], role
        assert len({one.pairs for one in trains}) == number, role
    # The selector's training is the row `human` of its detector and seed.
    assert of(shared, Select)[0].train == cell(shared, "human", 1, "upernet-swin").train


def test_a_source_leaves_out_the_images_that_the_named_seed_labels(registry: Registry, shared: Plan) -> None:
    of_one = sources(make_cells(grid(**{**SHARED, "seeds": [1]}), registry))
    assert sources(one.cell for one in shared.cells) == of_one
    assert len(of_one) == 1
    assert len(sources(make_cells(grid(**SHARED), registry))) == 3


@pytest.mark.parametrize("selector", ["random-boxes", LEARNED])
def test_it_saves_what_seeds_would_repeat(registry: Registry, selector: str) -> None:
    costs = Costs(registry, COSTS)
    changes = {**SHARED, "selectors": [selector], "source": {"split": "clean", "size": 20}, "with_human": []}
    own, shared = (plan(registry, **changes, selection_seed=seed) for seed in (None, 0))
    # 20 images, inverted by 2 steps of 2 evaluations, a round trip of 2, and 2 for the method, once or for 3 seeds.
    assert own.network_evaluations(costs) == 20 * (4 + 2 + 3 * 2)
    assert shared.network_evaluations(costs) == 20 * (4 + 2 + 2)
    assert len(of(own, Train)) == len(of(shared, Train)), "human rows train the selector's network anyway"


def test_a_stochastic_inverter_has_one_trajectory(registry: Registry) -> None:
    made = plan(registry, inverter="sdedit", seeds=[0, 1], corruptors=["gaussian:steps=2"], selection_seed=5)
    assert {one.seed for one in of(made, Invert)} == {5}
    assert len(of(made, Invert)) == 2


@pytest.mark.parametrize("selector", ["learned", "union:of=learned+grid"])
def test_a_selector_of_each_rows_detector_is_refused_with_the_remedy(registry: Registry, selector: str) -> None:
    changed = grid(**{**SHARED, "selectors": [selector]}, selection_seed=0)
    for check in (lambda: list(make_cells(changed, registry)), lambda: check_grids([("", changed)], registry)):
        with pytest.raises(BenchkitError) as caught:
            check()
        text = str(caught.value)
        assert f"selection_seed: selector '{selector}' trains each row's own detector" in text
        assert "name one detector for all, as in selectors: ['learned:detector=NAME']" in text


@pytest.mark.parametrize("value", [-1, 2**31, 0.5, "a"])
def test_no_other_seed_is_accepted(value: object) -> None:
    with pytest.raises(BenchkitError, match="selection_seed"):
        grid(selection_seed=value)


def test_grids_without_it_are_recorded_as_before() -> None:
    assert "selection_seed" not in grid().as_data()
    assert grid(selection_seed=0).as_data()["selection_seed"] == 0


def test_rows_with_regions_record_it_and_others_do_not(registry: Registry, shared: Plan) -> None:
    for planned in shared.cells:
        settings = make_cell_info(planned, registry).settings
        with_regions = planned.cell.role in ("pseudo", "corrupted", "mixed")
        assert settings.get("selection_seed") == (1 if with_regions else None)
    for planned in plan(registry, **SHARED).cells:
        assert "selection_seed" not in make_cell_info(planned, registry).settings


def test_it_is_a_difference_from_the_papers_protocol() -> None:
    table = load_grid("table2")
    assert list_protocol_differences(table) == ()
    (one,) = list_protocol_differences(table.replaced(selection_seed=0))
    assert one == "selection: that of seed 0 for all detectors and seeds, not one for each"


def test_an_ablation_does_not_vary_it(registry: Registry) -> None:
    shared = grid(**SHARED, selection_seed=0)
    assert "selection_seed" not in list_axes(shared, registry)
    with pytest.raises(BenchkitError, match="unknown axis 'selection_seed'"):
        expand(shared, [Axis.parse("selection_seed=0,1")], registry, crossed=False)
