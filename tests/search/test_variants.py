"""Axes expand to exactly the grids they say; each variant differs from the base by its settings and nothing else."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.config.grid import Grid, parse_grid
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from benchkit.search.ablation import make_ablation, points
from benchkit.search.variants import Axis, expand
from benchkit.stages.invert import Invert
from benchkit.stages.train import Train

GRID = """
title: test
source: {split: clean, size: 20}
test: {split: clean, size: 4}
baselines: [human, pseudo]
trivial: [all-negative]
selectors: [learned]
detectors: ["upernet-convnext:pretrained=none"]
corruptors: ["gaussian:steps=2"]
selector_training: {iterations: 1, crop: 32, batch: 3}
training: {iterations: 1, crop: 32, batch: 3}
"""
BASE = parse_grid(GRID, "test")
REGISTRY = Registry.load()


def grids(*axes: str, crossed: bool = False, base: Grid = BASE) -> list[Grid]:
    return [v.grid for v in expand(base, [Axis.parse(text) for text in axes], REGISTRY, crossed)]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(1, 500), min_size=1, max_size=4, unique=True),
    st.booleans(),
)
def test_variants_are_exactly_the_grids_that_the_axes_say(steps: list[int], sizes: list[int], crossed: bool) -> None:
    texts = (f"corruptor.steps={','.join(map(str, steps))}", f"source.size={','.join(map(str, sizes))}")
    base, *made = grids(*texts, crossed=crossed)

    def variant(step: int = 2, size: int = 20) -> Grid:
        source = {"split": "clean", "size": size}
        return BASE.replaced(corruptors=[f"gaussian:steps={step}"], source=source, trivial=[])

    if crossed:
        wanted = [variant(step, size) for step in steps for size in sizes]
    else:
        wanted = [*(variant(step=s) for s in steps), *(variant(size=s) for s in sizes)]
    assert base == BASE
    assert made == wanted


def test_each_kind_of_axis_sets_its_own_field() -> None:
    only = {"trivial": []}
    for text, changes in {
        "inverter=ddim": {"inverter": "ddim"},
        "inverter=(renoise:iterations=2,regularise=true)": {"inverter": "renoise:iterations=2,regularise=true"},
        "inverter.iterations=3": {"inverter": "renoise:iterations=3"},
        "corruptor=blur": {"corruptors": ["blur"]},
        "selector.tau=0.3": {"selectors": ["learned:tau=0.3"]},
        "selector=random-boxes": {"selectors": ["random-boxes"]},
        "labelled=50": {"labelled": 50},
        "paste_background=true": {"paste_background": True},
        "training.lr=1e-3": {"training": {**asdict(BASE.training), "lr": 1e-3}},
    }.items():
        assert grids(text)[1] == BASE.replaced(**changes, **only), text


def test_a_parameter_is_set_only_where_a_plugin_has_it_and_human_rows_follow() -> None:
    base = BASE.replaced(corruptors=["gaussian:steps=2", "blur:steps=2"], with_human=["blur:steps=2"])
    made = grids("corruptor.sigma=0.1", base=base)[1]
    assert tuple(map(str, made.corruptors)) == ("gaussian:steps=2", "blur:sigma=0.1,steps=2")
    assert tuple(map(str, made.with_human)) == ("blur:sigma=0.1,steps=2",)


def test_a_value_that_is_given_twice_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert Axis.parse("source.size=2,4,4").values == ("2", "4")
    assert [one.getMessage() for one in caplog.records] == ["`vary` source.size: '4' is given twice: it is run once"]


def test_crossed_sets_a_parameter_on_the_plugin_that_replaced_the_base() -> None:
    made = grids("corruptor.steps=5", "corruptor=blur,rotation", crossed=True)[1:]
    assert [str(*grid.corruptors) for grid in made] == ["blur:steps=5", "rotation:steps=5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corruptor.step=1", "`vary` corruptor.step=1: unknown axis 'corruptor.step': did you mean 'corruptor.steps'"),
        ("corruptor.sigma=1", "applies to no row: of gaussian:steps=2 none has the parameter 'sigma'"),
        ("corruptor.steps=many", "`vary` corruptor.steps=many: corruptor 'gaussian': parameter steps=many"),
        ("corruptor.steps=-1", "greater than or equal"),
        ("selector.tau=1.5", "`vary` selector.tau=1.5: "),
        ("source.sise=3", "did you mean 'source.size'"),
        ("inverter=renoize", "did you mean 'renoise'"),
        ("test.size=3", "defines what is measured"),
        ("dataset=other", "defines what is measured"),
        ("corruptor.steps", "write AXIS=VALUE,VALUE"),
        ("corruptor.steps=1,,2", "write AXIS=VALUE,VALUE"),
        ("=1", "write AXIS=VALUE,VALUE"),
        ("training.lr=0", "`vary` training.lr=0: training.lr: Input should be greater than 0"),
    ],
)
def test_a_wrong_axis_is_one_line_that_names_it(text: str, message: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        grids(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_that_would_become_one_are_refused() -> None:
    base = BASE.replaced(corruptors=["gaussian:steps=2", "gaussian:steps=5"])
    with pytest.raises(BenchkitError, match="'gaussian:steps=2' and 'gaussian:steps=5' equal"):
        grids("corruptor.steps=7", base=base)
    with pytest.raises(BenchkitError, match="name one with `corruptors`"):
        grids("corruptor=blur", base=base)
    with pytest.raises(BenchkitError, match="given twice"):
        grids("corruptor.steps=1", "corruptor.steps=2")


@pytest.fixture
def planned(tiny_checkpoint):
    base = BASE.replaced(model=str(tiny_checkpoint))

    def make(*axes: str, **more: object):
        return make_ablation(base, [Axis.parse(text) for text in axes], REGISTRY, **more)

    return make


def test_all_depths_share_one_trajectory_and_the_selector_is_trained_once(planned) -> None:
    made = planned("corruptor.steps=1,5,3")
    inversions = [s for s in made.plan.stages if isinstance(s, Invert)]
    # 20 images are two chunks; the base's own depth, 2, lies on the way.
    assert sorted(s.steps for s in inversions) == [1, 1, 2, 2, 3, 3, 5, 5]
    assert sorted({s.steps - (s.before.steps if s.before else 0) for s in inversions}) == [1, 2]
    # human (the learned selector's own training), pseudo, gaussian at four depths.
    assert len([s for s in made.plan.stages if isinstance(s, Train)]) == 6
    assert len({s.key for s in made.plan.stages}) == len(made.plan.stages)


def test_the_base_leads_every_axis_and_unchanged_rows_are_left_out(planned) -> None:
    found = points(planned("corruptor.steps=1,2,3", "selector.tau=0.3", "training.batch=2"))
    reported = [(p.axis, p.training_set, p.value, p.is_base) for p in found]
    assert reported == [
        ("corruptor.steps", "gaussian:steps=2", "2", True),
        ("corruptor.steps", "gaussian:steps=2", "1", False),
        ("corruptor.steps", "gaussian:steps=2", "3", False),
        ("selector.tau", "pseudo", "0.0", True),
        ("selector.tau", "pseudo", "0.3", False),
        ("selector.tau", "gaussian:steps=2", "0.0", True),
        ("selector.tau", "gaussian:steps=2", "0.3", False),
        ("training.batch", "pseudo", "3", True),
        ("training.batch", "pseudo", "2", False),
        ("training.batch", "gaussian:steps=2", "3", True),
        ("training.batch", "gaussian:steps=2", "2", False),
    ]
    crossed = points(planned("corruptor.steps=1,2", "selector.tau=0.3", crossed=True))
    assert [p.value for p in crossed if p.training_set == "gaussian:steps=2"] == [
        "base",
        "corruptor.steps=1, selector.tau=0.3",
        "corruptor.steps=2, selector.tau=0.3",
    ]


def test_an_axis_that_changes_no_row_is_refused(planned) -> None:
    with pytest.raises(BenchkitError, match=r"`vary` corruptor\.steps=2: applies to no row"):
        planned("corruptor.steps=2")
    with pytest.raises(BenchkitError, match="give `vary`"):
        planned()


def test_settings_that_exclude_each_other_are_refused_and_those_allowed_together_are_not() -> None:
    with pytest.raises(
        BenchkitError, match=r"^`vary` label=latent, paste_background=true: 'paste_background: true' pastes"
    ):
        grids("label=image,latent", "paste_background=false,true", crossed=True)
    latent = BASE.replaced(label="latent")
    made = grids("paste_background=true", "label=image", crossed=True, base=latent)[1]
    assert (made.paste_background, made.label) == (True, "image")
    with pytest.raises(BenchkitError, match=r"^`vary` paste_background=true: 'paste_background: true' pastes"):
        grids("paste_background=true", base=latent)
    two = grids("training.lr=1e-3", "training.batch=2", crossed=True)[1]
    assert (two.training.lr, two.training.batch, two.training.crop) == (1e-3, 2, BASE.training.crop)
