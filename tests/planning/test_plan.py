"""Plans: every stage once, the forwards it will spend, the mistakes it refuses; and that running spends just that."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchkit.config.grid import Grid, parse_grid
from benchkit.diffusion import checkpoint
from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult
from benchkit.executors.inline import Inline
from benchkit.planning.cells import list_repeated_rows
from benchkit.planning.plan import Plan
from benchkit.planning.planner import Planner
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.stages.base import Costs, Env, Model
from benchkit.stages.corrupt import Corrupt
from benchkit.stages.images import Latents
from benchkit.stages.invert import Invert
from benchkit.stages.select import Select
from benchkit.stages.train import Train
from benchkit.store.artifacts import ArtifactStore

IMAGES = 20
GRID = """
title: test
source: {split: clean, size: 20}
test: {split: validation, size: 4}
baselines: [pseudo]
trivial: [all-negative]
selectors: [random-boxes]
detectors: ["upernet-convnext:pretrained=none"]
corruptors: ["none:steps=2", "gaussian:steps=2", "gaussian:steps=0", "renoise-masked:steps=5"]
selector_training: {iterations: 1, crop: 32, batch: 1}
training: {iterations: 1, crop: 32, batch: 1}
"""


def grid(**changes: object) -> Grid:
    return parse_grid(GRID, "test").replaced(**changes)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def plan(registry: Registry, location: str = "here", **changes: object) -> Plan:
    identity = checkpoint.find(location).identity if Path(location).is_dir() else "identity"
    return Planner(grid(**changes), registry, Model(location, identity, 50)).plan()


def of(made: Plan, kind: type) -> list:
    return [stage for stage in made.stages if isinstance(stage, kind)]


#: Timesteps below 250: ReNoise with R = 1 spends two network evaluations a step.
COSTS = tuple(range(1, 1000, 20))


def test_each_stage_once_inputs_first(registry: Registry) -> None:
    made = plan(registry)
    seen: set[str] = set()
    for stage in made.stages:
        assert stage.key not in seen
        assert all(needed.key in seen for needed in stage.inputs)
        seen.add(stage.key)


def test_a_grid_inverts_each_image_once(registry: Registry) -> None:
    made = plan(registry)
    inversions = of(made, Invert)
    assert sorted((s.steps, len(s.latents.source.indices)) for s in inversions) == [(2, 4), (2, 16), (5, 4), (5, 16)]
    costs = Costs(registry, COSTS)
    assert sum(s.network_evaluations(costs) for s in inversions) == IMAGES * 5 * 2
    # Resampling: none and gaussian at 2, renoise-masked at 5, and a round trip at each of these depths.
    assert made.network_evaluations(costs) == IMAGES * (5 * 2 + 2 + 2 + 5 + 2 + 5)


def test_more_methods_and_seeds_invert_nothing_more(registry: Registry) -> None:
    small, large = plan(registry, corruptors=["gaussian:steps=5"]), plan(registry, seeds=[0, 1, 2])
    costs = Costs(registry, COSTS)
    for made in (small, large):
        assert sum(s.network_evaluations(costs) for s in of(made, Invert)) == IMAGES * 5 * 2
    assert {s.key for s in of(small, Invert)} <= {s.key for s in of(large, Invert)}


def test_a_stochastic_inverter_has_one_trajectory_a_seed(registry: Registry) -> None:
    made = plan(registry, inverter="sdedit", seeds=[0, 1], corruptors=["gaussian:steps=2"])
    assert len(of(made, Invert)) == 2 * 2


def test_renoise_spends_exactly_its_own_sum(registry: Registry) -> None:
    # R = 9: at most 6 forwards below t = 250, 10 from there on.
    made = plan(registry, inverter="renoise:iterations=9", corruptors=["gaussian:steps=20"])
    costs = Costs(registry, COSTS)
    below = sum(t < 250 for t in COSTS[:20])
    assert sum(s.network_evaluations(costs) for s in of(made, Invert)) == IMAGES * (6 * below + 10 * (20 - below))


def test_detectors_share_corrupted_images_and_the_selector_is_the_human_row(registry: Registry) -> None:
    one, two = "upernet-convnext:pretrained=none", "upernet-swin:pretrained=none"
    shared = plan(registry, detectors=[one, two])
    assert len(of(shared, Corrupt)) == len(of(plan(registry), Corrupt))
    made = plan(registry, baselines=["human", "pseudo"], selectors=["learned"], corruptors=["gaussian:steps=2"])
    human = next(p.evaluate.predictor for p in made.cells if p.cell.role == "human" and p.evaluate)
    assert all(select.train == human for select in of(made, Select))
    assert len(of(made, Train)) == 3


def test_an_own_detector_selects_for_each_row(registry: Registry) -> None:
    one, two = "upernet-convnext:pretrained=none", "upernet-swin:pretrained=none"
    made = plan(registry, detectors=[one, two], selectors=["learned"], corruptors=["gaussian:steps=2"])
    assert len(of(made, Select)) == 2
    assert len(of(made, Invert)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corruptors": ["gausian:steps=2"]}, "did you mean 'gaussian'"),
        ({"corruptors": ["gaussian:steps=51"]}, "0...50"),
        ({"corruptors": ["gaussian:steps=-1"]}, "greater than or equal"),
        ({"corruptors": ["gaussian:depth=1"]}, "unknown parameter"),
        ({"selectors": ["lerned"]}, "did you mean 'learned'"),
        ({"detectors": ["upernet-swim"]}, "did you mean 'upernet-swin'"),
        ({"dataset": "portrait"}, "did you mean 'portraits'"),
        ({"inverter": "renoize"}, "did you mean 'renoise'"),
        ({"source": {"split": "cleen", "size": 3}}, "no split 'cleen'"),
        ({"test": {"split": "clean", "size": 9999}}, "2000 images"),
        ({"labelled": 501}, "pool"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(registry: Registry, changes: dict, message: str) -> None:
    with pytest.raises(BenchkitError, match=message):
        plan(registry, **changes)


def test_running_spends_what_was_planned_and_then_nothing(
    registry: Registry, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    made = plan(registry, str(tiny_checkpoint))
    wanted = [s for s in made.stages if not isinstance(s, Train) and not any(isinstance(n, Train) for n in s.inputs)]
    env = Env(registry, ArtifactStore(tmp_path / "cache"))
    ended: list[StageResult] = []
    Inline().execute(wanted, env, ended.append)
    assert [d for d in ended if d.state != "run"] == []
    model = of(made, Latents)[0].model
    backend = env.backend(model)
    costs = Costs(registry, backend.schedule.timesteps)
    assert backend.network_evaluations == sum(s.network_evaluations(costs) for s in wanted)
    again: list[StageResult] = []
    Inline().execute(wanted, env, again.append)
    assert {d.state for d in again} == {"cached"}


def test_a_deeper_grid_continues_the_trajectory(registry: Registry, tiny_checkpoint: Path, tmp_path: Path) -> None:
    env = Env(registry, ArtifactStore(tmp_path / "cache"))
    shallow = of(plan(registry, str(tiny_checkpoint), corruptors=["gaussian:steps=2"]), (Latents, Invert))
    deep = of(plan(registry, str(tiny_checkpoint), corruptors=["gaussian:steps=4"]), (Latents, Invert))
    Inline().execute(shallow, env, lambda _: None)
    before = env.backend(shallow[0].model).network_evaluations
    Inline().execute(deep, env, lambda _: None)
    assert env.backend(shallow[0].model).network_evaluations - before == IMAGES * 2 * 2
    fresh = Env(registry, ArtifactStore(tmp_path / "other"))
    Inline().execute(deep, fresh, lambda _: None)
    for stage in deep:
        assert {k: v.tobytes() for k, v in env.arrays(stage).items()} == {
            k: v.tobytes() for k, v in fresh.arrays(stage).items()
        }


def test_a_sweep_of_inverters_gives_a_row_each(registry: Registry) -> None:
    made = plan(registry, inverter="renoise:iterations=1|2", corruptors=["gaussian:steps=2"], baselines=[], trivial=[])
    assert list(made.names.values()) == [f"gaussian:steps=2 via renoise:iterations={n}" for n in (1, 2)]
    one = plan(registry, inverter="renoise:iterations=1", corruptors=["gaussian:steps=2"], baselines=[], trivial=[])
    assert list(one.names.values()) == ["gaussian:steps=2"]
    assert one.cells[0].key == made.cells[0].key


def test_a_corruptor_that_inverts_nothing_is_one_row_however_many_inverters(registry: Registry) -> None:
    settings = {"inverter": "renoise:iterations=1|2", "baselines": [], "trivial": []}
    made = plan(registry, **settings, corruptors=["gaussian:steps=2", "gaussian:steps=0"])
    assert list(made.names.values())[-1] == "gaussian:steps=0"
    assert len({p.key for p in made.cells}) == len(made.cells) == 3
    message = list_repeated_rows(grid(**settings, corruptors=["gaussian:steps=0"]), registry)
    assert message == ("corruptor 'gaussian:steps=0' inverts nothing: it is run once, not once per inverter",)


SAME = {
    "a default written out": ("corruptors", ["gaussian", "gaussian:steps=20"]),
    "a whole number for a float": ("corruptors", ["blur:sigma=1,steps=5", "blur:steps=5,sigma=1.0"]),
    "with_human": ("with_human", ["gaussian", "gaussian:steps=20"]),
    "selectors": ("selectors", ["learned", "learned:tau=0"]),
    "detectors": ("detectors", ["upernet-convnext", "upernet-convnext:size=mini"]),
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_asked_for_twice_is_one_row_and_said(name: str, registry: Registry) -> None:
    key, texts = SAME[name]
    base = {"baselines": ["pseudo"], "trivial": [], "corruptors": [], "detectors": ["upernet-convnext"]}
    once, twice = ({**base, key: some} for some in (texts[:1], texts))
    made = plan(registry, **twice)
    assert made.names == plan(registry, **once).names
    assert len(made.names) == len(made.cells)
    (message,) = list_repeated_rows(grid(**twice), registry)
    assert message.startswith(f"{key}: '{Spec.parse('corruptor', texts[1])}' is the same as '")
    assert list_repeated_rows(grid(**once), registry) == ()


def test_a_row_is_named_as_its_corruptor_was_written_first(registry: Registry) -> None:
    made = plan(registry, corruptors=["gaussian:steps=20", "gaussian"], baselines=[], trivial=[])
    assert list(made.names.values()) == ["gaussian:steps=20"]


NAMED = """
from dataclasses import dataclass
from benchkit.api import LatentCorruptor, hookimpl, param

def named(text):
    @dataclass(frozen=True)
    class Made(LatentCorruptor):
        '''An ordinary corruptor of an unlucky name.'''

        name = text
        steps: int = param(1, ge=0)

        def corrupt(self, at):
            return at.noise()

    return Made

@hookimpl
def benchkit_corruptors():
    return [named(name) for name in ("human", "pseudo", "oracle", "mean-mask", "all-negative")]
"""


def test_a_corruptor_called_like_a_baseline_is_an_ordinary_corruptor(tmp_path: Path) -> None:
    (tmp_path / "named.py").write_text(NAMED)
    names = ["human", "pseudo", "oracle", "mean-mask", "all-negative"]
    settings = {"corruptors": names, "baselines": ["human", "pseudo"], "trivial": ["mean-mask", "all-negative"]}
    budgets = {"training": {"iterations": 5}, "selector_training": {"iterations": 2}}
    made = plan(Registry.load(files=[tmp_path / "named.py"]), **settings, **budgets)
    rows = {made.names[p.key]: p for p in made.cells}
    assert len(rows) == len(made.cells) == 9
    for name in names:
        planned = rows[f"corruptor {name}"]
        assert planned.cell.role == "corrupted"
        assert planned.train is not None
        assert planned.train.config.iterations == 5
    assert rows["human"].train.config.iterations == 2
    assert rows["mean-mask"].train is None
