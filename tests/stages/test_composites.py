"""Plugins made of other plugins, and reference images: plans, keys, counts and agreement with the parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import benchkit
from benchkit.api import Noise
from benchkit.config.grid import parse_grid
from benchkit.diffusion import checkpoint
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.noise import ImageNoise, draw_references
from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult
from benchkit.executors.inline import Inline
from benchkit.planning.plan import Plan
from benchkit.planning.planner import Planner
from benchkit.plugin.registry import Registry
from benchkit.specs.grammar import split_parts
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK
from benchkit.stages.base import Costs, Env, Model
from benchkit.stages.corrupt import Choose, Corrupt, CorruptPixels, RoundTrip
from benchkit.stages.images import Latents
from benchkit.stages.select import Select
from benchkit.stages.train import Train
from benchkit.store.artifacts import ArtifactStore
from benchkit_plugins.corruptors.mixture import Mixture

GRID = """
title: test
source: {split: clean, size: 20}
test: {split: validation, size: 4}
baselines: []
trivial: [all-negative]
selectors: [grid]
detectors: ["upernet-convnext:pretrained=none"]
selector_training: {iterations: 1, crop: 32, batch: 1}
training: {iterations: 1, crop: 32, batch: 1}
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture(scope="module")
def backend(tiny_checkpoint: Path) -> DiffusionBackend:
    return benchkit.load_model(tiny_checkpoint, device="cpu", num_inference_steps=10)


def plan(registry: Registry, location: str = "here", **changes: object) -> Plan:
    identity = checkpoint.find(location).identity if Path(location).is_dir() else "identity"
    return Planner(parse_grid(GRID, "test").replaced(**changes), registry, Model(location, identity, 50)).plan()


def of(made: Plan, kind: type) -> list:
    return [stage for stage in made.stages if isinstance(stage, kind)]


def pictures(count: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((count, 3, 32, 32), np.float32))


def boxes(count: int) -> Tensor:
    masks = torch.zeros(count, 32, 32, dtype=torch.bool)
    masks[:, 8:24, 8:24] = True
    return masks


# The language of parts


def test_parts_are_joined_by_plus_and_held_together_by_brackets() -> None:
    assert split_parts("a+b:x=1") == ("a", "b:x=1")
    assert split_parts(" a + (b:x=1,y=2) ") == ("a", "b:x=1,y=2")
    assert split_parts("a+(b:of=c+(d:x=1,y=2))") == ("a", "b:of=c+(d:x=1,y=2)")
    spec = Spec.parse("selector", "union:of=a+(b:x=1,y=2),z=3")
    assert spec.values == {"of": "a+(b:x=1,y=2)", "z": 3}
    assert Spec.parse("selector", str(spec)) == spec
    for text in ("", "a+", "a++b", "()"):
        with pytest.raises(BenchkitError, match="names no plugin in one place"):
            split_parts(text)


@pytest.mark.parametrize(
    ("corruptor", "message"),
    [
        ("mixture:of=gaussian", "is one corruptor: join two"),
        ("mixture:of=gaussian+gausian", "did you mean 'gaussian'"),
        ("mixture:of=gaussian+(blur:sigma=2,steps=1)", "less than or equal to 1"),
        ("mixture:of=gaussian+(blur:steps=51)", "0...50"),
        ("mixture:weights=1", "1 for 2 corruptors"),
        ("mixture:weights=1+2+3", "3 for 2 corruptors"),
        ("mixture:weights=1+x", "write numbers joined by"),
        ("mixture:weights=1+-1", "no weight may be negative"),
        ("mixture:weights=0+0", "one must be positive"),
        ("blended-latent:steps=0", "greater than or equal to 1"),
        ("cutpaste:variant=scare", "choose from patch, scar"),
        ("jpeg-block:quality=0", "greater than or equal to 1"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(registry: Registry, corruptor: str, message: str) -> None:
    with pytest.raises(BenchkitError, match=message) as raised:
        plan(registry, corruptors=[corruptor])
    assert "\n" not in str(raised.value)


def test_references_need_a_set_of_two(registry: Registry) -> None:
    with pytest.raises(BenchkitError, match="give a source of two or more"):
        plan(registry, corruptors=["mode-interpolation"], source={"split": "clean", "size": 1})
    plan(registry, corruptors=["mode-interpolation:reference=mirror"], source={"split": "clean", "size": 1})


# Identity


def test_a_composite_is_identified_with_its_parts(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = (
        "from dataclasses import dataclass\nfrom benchkit.api import LatentCorruptor, hookimpl\n"
        "@dataclass(frozen=True)\nclass Mine(LatentCorruptor):\n    'Mine.'\n    name = 'mine'\n    steps: int = 1\n"
        "    def corrupt(self, at):\n        return at.z_t\n"
        "@hookimpl\ndef benchkit_corruptors():\n    return [Mine]\n"
    )
    spec, found = Spec.of("corruptor", "mixture", of="mine+gaussian"), []
    for body in (text, text.replace("at.z_t", "at.z_0")):
        file.write_text(body)
        found.append(Registry.load(files=[file]).identity(spec))
    assert found[0] != found[1]
    outer = registry.identity(Spec.of("selector", "union", of="grid+(intersect:of=grid+random-boxes)"))
    assert outer != registry.identity(Spec.of("selector", "union", of="grid+grid"))
    assert registry.identity(Spec.of("selector", "grid")) == registry.entry("selector", "grid").source_hash


# Selectors


def test_a_learned_part_brings_its_training_and_shares_it(registry: Registry) -> None:
    both = ["learned", "union:of=learned+grid"]
    made = plan(registry, baselines=["human", "pseudo"], selectors=both)
    assert len(of(made, Select)) == 3
    union = next(s for s in of(made, Select) if s.selector.name == "union")
    learned = next(s for s in of(made, Select) if s.selector.name == "learned")
    assert learned in union.parts
    assert union.train is None
    human = next(p.evaluate.predictor for p in made.cells if p.cell.role == "human" and p.evaluate)
    assert learned.train == human
    # human, and one pseudo row for each selector.
    assert len(of(made, Train)) == 3


def test_each_row_selects_with_its_own_detector_inside_a_union(registry: Registry) -> None:
    detectors = ["upernet-convnext:pretrained=none", "upernet-swin:pretrained=none"]
    made = plan(registry, baselines=["pseudo"], selectors=["union:of=learned+grid"], detectors=detectors)
    unions = [s for s in of(made, Select) if s.selector.name == "union"]
    assert len({s.key for s in unions}) == 2
    trained = {s.train.detector.name for s in of(made, Select) if s.train}
    assert trained == {"upernet-convnext", "upernet-swin"}


def test_selections_are_joined(registry: Registry, tiny_checkpoint: Path, tmp_path: Path) -> None:
    nested = "union:of=(grid:cells=2,fraction=0.5)+(intersect:of=random-boxes+(random-boxes:boxes=5,largest=0.9))"
    made = plan(registry, str(tiny_checkpoint), baselines=["pseudo"], selectors=[nested])
    wanted = [s for s in made.stages if isinstance(s, Select) or not any(isinstance(n, Train) for n in _all(s))]
    env = Env(registry, ArtifactStore(tmp_path / "cache"))
    ended: list[StageResult] = []
    Inline().execute([s for s in wanted if not isinstance(s, Train)], env, ended.append)
    assert [d for d in ended if d.state != "run"] == []
    masks = {s.selector.name if s.parts else str(s.selector): s.masks(env) for s in of(made, Select)}
    boxes_, more = (next(m for name, m in masks.items() if f"boxes={n}," in name) for n in (2, 5))
    cells = next(m for name, m in masks.items() if name.startswith("grid"))
    assert np.array_equal(masks["intersect"], boxes_ & more)
    assert np.array_equal(masks["union"], cells | (boxes_ & more))
    assert masks["union"].shape == (20, 128, 128)


def _all(stage: object) -> list:
    found = [stage]
    for needed in stage.inputs:  # type: ignore[attr-defined]
        found += _all(needed)
    return found


# Corruptors


def test_a_mixture_shares_the_work_of_its_parts(registry: Registry) -> None:
    costs = Costs(registry, tuple(range(1, 1000, 20)))
    alone = plan(registry, corruptors=["gaussian:steps=2", "cutpaste"])
    mixed = plan(registry, corruptors=["gaussian:steps=2", "cutpaste", "mixture:of=gaussian:steps=2+cutpaste"])
    for kind in (Corrupt, CorruptPixels):
        assert {s.key for s in of(mixed, kind)} == {s.key for s in of(alone, kind)}
    assert mixed.network_evaluations(costs) == alone.network_evaluations(costs)
    # Two chunks of mixed images, and of references at two depths.
    assert len(of(mixed, Choose)) == 4
    same = plan(registry, corruptors=["mixture:of=gaussian:steps=2+blur:steps=2"])
    assert len(of(same, Choose)) == 2


def test_a_step_of_ones_own_is_counted(registry: Registry) -> None:
    costs = Costs(registry, tuple(range(1, 1000, 20)))

    def resampled(corruptor: str) -> int:
        return sum(s.network_evaluations(costs) for s in of(plan(registry, corruptors=[corruptor]), Corrupt))

    assert resampled("gaussian:steps=5") == 20 * 5
    assert resampled("blended-latent:steps=5") == 20 * 5
    assert resampled("attention-perturbation:steps=5") == 20 * 5
    assert resampled("attention-perturbation:steps=5,strength=2.0") == 20 * 10
    assert resampled("prompt-swap:steps=5") == 20 * 10


def test_only_methods_with_references_depend_on_the_whole_set(registry: Registry) -> None:
    made = plan(registry, corruptors=["gaussian:steps=2", "mode-interpolation:steps=2"])
    depends = {s.corruptor.name: len({n.key for n in s.inputs if isinstance(n, Latents)}) for s in of(made, Corrupt)}
    assert depends == {"gaussian": 0, "mode-interpolation": 2}


@dataclass(frozen=True)
class Listed(Noise):  # type: ignore[misc]
    """Draws that were listed."""

    values: tuple[float, ...]

    def normal(self, shape: object, stream: str = "") -> Tensor:
        raise NotImplementedError

    def uniform(self, shape: object, stream: str = "") -> Tensor:
        return torch.tensor(self.values)


def test_a_mixture_draws_by_weight() -> None:
    three = Mixture(of="a+b+c", weights="1+0+3")
    assert three.choose(Listed((0.0, 0.2499, 0.25, 0.9999999))).tolist() == [0, 0, 2, 2]
    for count in (3, 7, 10):
        equal = Mixture(of="+".join("a" * count))
        assert int(equal.choose(Listed((1 - 2**-24,)))[0]) == count - 1
    assert Mixture(of="a+b", weights="0+5").choose(Listed((0.0, 0.5))).tolist() == [1, 1]


def test_a_mixture_inside_a_mixture_draws_for_itself() -> None:
    noise = ImageNoise(0, [str(k) for k in range(1000)])
    inner, outer = Mixture(of="b+c").choose(noise), Mixture(of="a+(mixture:of=b+c)").choose(noise)
    shares = [((outer == 1) & (inner == part)).float().mean().item() for part in (0, 1)]
    assert shares == pytest.approx([0.25, 0.25], abs=0.07)  # five standard deviations


def test_a_mixture_makes_what_its_parts_make(backend: DiffusionBackend) -> None:
    images, masks, ids = pictures(CHUNK + 3), boxes(CHUNK + 3), [f"i{k}" for k in range(CHUNK + 3)]

    def made(corruptor: str) -> Tensor:
        return benchkit.corrupt(corruptor, images, masks, model=backend, inverter="ddim", ids=ids).images

    one, two = made("gaussian:steps=2"), made("pixel-blur")
    assert torch.equal(made("mixture:of=gaussian:steps=2+pixel-blur,weights=1+0"), one)
    assert torch.equal(made("mixture:of=gaussian:steps=2+pixel-blur,weights=0+1"), two)
    both = made("mixture:of=gaussian:steps=2+pixel-blur")
    from_one = [torch.equal(a, b) for a, b in zip(both, one, strict=True)]
    from_two = [torch.equal(a, b) for a, b in zip(both, two, strict=True)]
    assert [a != b for a, b in zip(from_one, from_two, strict=True)] == [True] * (CHUNK + 3)
    assert any(from_one)
    assert any(from_two)
    mixture = "mixture:of=gaussian:steps=2+pixel-blur"
    alone = benchkit.corrupt(mixture, images[-1:], masks[-1:], model=backend, inverter="ddim", ids=ids[-1:])
    # A chunk of one image and one of three may differ in the last bit.
    assert torch.allclose(alone.images[0], both[-1], atol=1e-5)


def test_references_are_others_and_drawn_by_seed_and_id() -> None:
    ids = [f"i{k}" for k in range(40)]
    drawn = draw_references(0, ids, range(40), 40)
    assert all(own != other for own, other in enumerate(drawn))
    assert all(0 <= other < 40 for other in drawn)
    assert len(set(drawn)) > 20
    assert draw_references(0, ids[30:], range(30, 40), 40) == drawn[30:]
    assert draw_references(1, ids, range(40), 40) != drawn
    assert draw_references(0, ["a", "b"], [0, 1], 2) == [1, 0]
    with pytest.raises(BenchkitError, match="at least two images"):
        draw_references(0, ["a"], [0], 1)


def test_interpolation_reads_the_reference_and_no_other(backend: DiffusionBackend) -> None:
    """Twenty images in two chunks: the written-out blend, wherever the reference image stands."""
    images, masks, ids = pictures(20), torch.ones(20, 32, 32, dtype=torch.bool), [f"i{k}" for k in range(20)]
    made = benchkit.corrupt("mode-interpolation:steps=0,weight=1.0", images, masks, model=backend, ids=ids).images
    z_0 = torch.cat([backend.encode(images[:16]), backend.encode(images[16:])])
    factor = backend.schedule.alpha_bar[0] ** 0.5
    other = z_0[draw_references(0, ids, range(20), 20)]
    assert torch.allclose(made, backend.decode(z_0 + factor * (other - z_0)), atol=1e-4)
    with pytest.raises(
        BenchkitError, match=r"'mode-interpolation' draws a reference image .*: give two images or more"
    ):
        benchkit.corrupt("mode-interpolation:steps=1", images[:1], masks[:1], model=backend)


def test_running_spends_what_was_planned_and_agrees_with_the_python_api(
    registry: Registry, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """On random images, since the stages are what is tested here."""
    file = tmp_path / "noise.py"
    file.write_text(DATASET)
    known = Registry.load(files=[file])
    names = ["mode-interpolation:steps=2", "prompt-swap:steps=2", "blended-latent:steps=2", "cutpaste"]
    mixture = f"mixture:of={names[0]}+{names[3]}"
    made = plan(known, str(tiny_checkpoint), dataset="noise", corruptors=[*names, mixture], inverter="ddim")
    env = Env(known, ArtifactStore(tmp_path / "cache"))
    ended: list[StageResult] = []
    wanted = [s for s in made.stages if not any(isinstance(n, Train) for n in _all(s))]
    Inline().execute(wanted, env, ended.append)
    assert [d for d in ended if d.state != "run"] == []
    backend = env.backend(of(made, Latents)[0].model)
    costs = Costs(known, backend.schedule.timesteps)
    assert backend.network_evaluations == sum(s.network_evaluations(costs) for s in wanted)
    plugin = known.make(Spec.of("dataset", "noise"), object)  # type: ignore[type-var]
    samples = plugin.read("clean", range(20))
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(of(made, Select)[0].masks(env))
    for name in (*names, mixture):
        kinds = (Corrupt, CorruptPixels, Choose)
        stages = [s for s in made.stages if isinstance(s, kinds) and not _is_reference(s)]
        chunks = [s for s in stages if s.corruptor == known.complete(Spec.parse("corruptor", name))]
        found = np.concatenate([env.arrays(s)["images"] for s in chunks])
        captions, ids = [s.caption for s in samples], [s.id for s in samples]
        direct, _ = benchkit.corrupt(name, images, masks, model=backend, inverter="ddim", captions=captions, ids=ids)
        assert np.abs(found.astype(int) - (direct * 255).round().permute(0, 2, 3, 1).numpy()).max() <= 1, name


def _is_reference(stage: object) -> bool:
    return isinstance(stage, Choose) and isinstance(stage.parts[0], RoundTrip)


DATASET = '''
from dataclasses import dataclass
import numpy as np
from benchkit.api import Dataset, Sample, hookimpl


@dataclass(frozen=True)
class Noise(Dataset):
    """Random pixels."""

    name = "noise"
    autoencode = True

    def splits(self):
        return {"clean": 20, "pool": 100, "validation": 4}

    def read(self, split, indices):
        pixels = [np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8) for i in indices]
        none = np.zeros((32, 32), bool)
        return [Sample(f"{split}-{i}", p, none, f"a {'abc'[i % 3]}") for i, p in zip(indices, pixels)]

    def labelled(self, count, seed):
        return list(range(count))

    def fingerprint(self):
        return "noise"


@hookimpl
def benchkit_datasets():
    return [Noise]
'''
