"""What is demanded of corruptors, of latents and of pixels alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import torch
import yaml
from torch import Tensor

from benchkit.api import Corruptor, LatentCorruptor, ResamplingCorruptor
from benchkit.diffusion.masks import blend
from benchkit.plugin.registry import parameters
from benchkit.specs.spec import Spec
from benchkit.testing.checks import NotApplicable, Subject, Unmet, check, said
from benchkit.testing.network import corrupted, level_of, returned
from benchkit.testing.pictures import Panels
from benchkit.testing.worlds import (
    FACTOR,
    CountedNoise,
    Scene,
    close,
    furthest,
    generators_restored,
    latent_scene,
    pixel_scene,
    same,
    seed_globals,
)

#: How far from an open end of a range a real number is tried.
_INSIDE = 1e-3
#: How far an image may leave [0, 1] before core's clamp counts as a repair.
SLACK = 1e-3


def scene_of(subject: Subject, plugin: Any = None, **size: int) -> Scene:
    """A batch in the corruptor's own space, at its own level."""
    made = plugin or subject.plugin
    if not isinstance(made, LatentCorruptor):
        return pixel_scene(device=subject.device, **{k: FACTOR * v if k != "count" else v for k, v in size.items()})
    scene = latent_scene(level_of(made), device=subject.device, **size)
    other = scene.other if made.needs_reference() else None
    return replace(scene, other=other, everywhere=isinstance(made, ResamplingCorruptor))


def made_of(plugin: Any, scene: Scene, noise: CountedNoise | None = None) -> Tensor:
    """What the plugin makes of a batch: what it returns, or z_0 after its own way back."""
    if isinstance(plugin, ResamplingCorruptor):
        return corrupted(plugin, scene, noise)
    result: Tensor = plugin.corrupt(scene.context(noise))
    return result


def inside(result: Tensor, scene: Scene) -> Tensor:
    """The part of a result that core reads; elsewhere the start."""
    return result if scene.everywhere else blend(scene.start, result, scene.mask)


def panels(scene: Scene, after: Tensor, image: int = 0) -> Panels:
    return Panels(scene.start[image], scene.mask[image, 0], after[image])


def _worst(first: Tensor, second: Tensor) -> int:
    """The image in which two batches differ most."""
    return int((first - second).abs().nan_to_num(nan=torch.inf).flatten(1).amax(1).argmax())


@check("runs", "it makes a tensor of a batch of four images", gate=True)
def runs(subject: Subject) -> None:
    result = made_of(subject.plugin, scene_of(subject))
    if not isinstance(result, Tensor):
        raise Unmet("a tensor", type(result).__name__)


@check("shape", "the result has the shape of what is corrupted", gate=True)
def shape(subject: Subject) -> str:
    scene = scene_of(subject)
    result = made_of(subject.plugin, scene)
    if result.shape != scene.start.shape:
        raise Unmet(f"shape {tuple(scene.start.shape)}, that of what is corrupted", str(tuple(result.shape)))
    return str(tuple(result.shape))


@check("dtype", "the result keeps dtype and device", gate=True)
def dtype(subject: Subject) -> str:
    scene = scene_of(subject)
    result = made_of(subject.plugin, scene)
    wanted, came = (f"{one.dtype} on {one.device}" for one in (scene.start, result))
    if wanted != came:
        raise Unmet(wanted, came)
    return came


@check("finite", "every value inside the mask is finite", gate=True)
def finite(subject: Subject) -> None:
    scene = scene_of(subject)
    after = inside(made_of(subject.plugin, scene), scene)
    bad = ~torch.isfinite(after)
    if bool(bad.any()):
        worst = int(bad.flatten(1).sum(1).argmax())
        came = f"{int(bad.sum())} values that are infinite or not a number, most in image {worst}"
        raise Unmet("finite values inside the mask", came, panels(scene, after, worst))


@check("range", "pixels inside the mask stay in [0, 1]")
def value_range(subject: Subject) -> str:
    scene = scene_of(subject)
    if scene.alpha_bar is not None:
        raise NotApplicable("latents have no range")
    after = inside(made_of(subject.plugin, scene), scene)
    low, high = float(after.min()), float(after.max())
    if low < -SLACK or high > 1 + SLACK:
        worst = int((after - 0.5).abs().flatten(1).amax(1).argmax())
        raise Unmet("pixels in [0, 1]", f"{low:.4g} to {high:.4g}", panels(scene, after, worst))
    return f"{low:.3g} to {high:.3g}"


@check("inputs", "what it is shown is not written to")
def inputs(subject: Subject) -> None:
    scene = scene_of(subject)
    at, before = scene.context(), scene.context()
    subject.plugin.corrupt(at)
    for field in ("z_t", "z_0", "images", "mask"):
        old, new = getattr(before, field, None), getattr(at, field, None)
        if old is not None and new is not None and not torch.equal(old, new):
            changed = (old != new).flatten(1).any(1)
            came = f"at.{field} changed in {int(changed.sum())} of {len(old)} images: work on a copy"
            image = int(changed.int().argmax())
            after = getattr(at, "z_t", getattr(at, "images", None))
            raise Unmet(
                "inputs that are left as they were", came, None if after is None else panels(scene, after, image)
            )


@check("deterministic", "the same seed gives the same result, whatever the global generators stand at")
def deterministic(subject: Subject) -> None:
    scene = scene_of(subject)
    with generators_restored():
        results = []
        for seed in (1, 1, 2):
            seed_globals(seed)
            results.append(inside(made_of(subject.plugin, scene), scene))
    first, again, elsewhere = results
    for other, why in ((again, "two equal calls differ"), (elsewhere, "the result follows a global generator")):
        if not same(first, other):
            came = f"{why}, by up to {furthest(first, other):.3g}: draw from at.rng alone"
            raise Unmet("equal results for one seed", came, panels(scene, other, _worst(first, other)))


@check("seeds", "noise comes from at.rng: other seeds give other results, and only what at.rng gave differs")
def seeds(subject: Subject) -> str:
    scene = scene_of(subject)
    noise = CountedNoise(0, scene.ids)
    first = inside(made_of(subject.plugin, scene, noise), scene)
    second = inside(made_of(subject.plugin, replace(scene, seed=1)), scene)
    if noise.asked:
        if same(first, second):
            raise Unmet("another result for another seed, since at.rng is asked", "one result for seeds 0 and 1")
        return "draws noise"
    # Equal images under several names can only come out differently by noise that at.rng did not give.
    twins = replace(scene.rows(0, 0, 0), ids=("a", "b", "c"))
    after = inside(made_of(subject.plugin, twins), twins)
    if not close(after[:1].expand_as(after), after):
        came = "equal images come out differently although at.rng was not asked: noise of its own, or of neighbours"
        raise Unmet("noise from at.rng", came, panels(twins, after, 1))
    return "draws none"


@check("fresh-noise", "draws while resampling are new ones at every step", informs=True)
def fresh_noise(subject: Subject) -> str:
    if not isinstance(subject.plugin, ResamplingCorruptor) or subject.plugin.steps < 2:
        raise NotApplicable("it does not draw at several steps")
    scene = scene_of(subject)
    noise = CountedNoise(0, scene.ids)

    class Watched(subject.cls):  # type: ignore[name-defined]
        def step(self, at: Any) -> Any:
            noise.step = at.step
            return super().step(at)

    made_of(Watched(**vars(subject.plugin)), scene, noise)
    repeated = {draw: len(at - {0}) for draw, at in noise.steps.items() if len(at - {0}) > 1}  # 0: of `corrupt`
    if not repeated:
        return "no draw is the same at two steps"
    told = "; ".join(f"{draw} is the same at {number} steps" for draw, number in repeated.items())
    return f"{told}: for new noise at every step, draw with at.noise() or at.rng of the step, not of at.start"


@check("neighbours", "an image's result does not depend on its neighbours in the batch")
def neighbours(subject: Subject) -> None:
    scene = scene_of(subject)
    together = inside(made_of(subject.plugin, scene), scene)
    for i in range(len(scene.start)):
        single = scene.rows(i)
        alone = inside(made_of(subject.plugin, single), single)
        if not close(alone, together[i : i + 1]):
            came = f"image {i} differs by up to {furthest(alone, together[i : i + 1]):.3g} when it is alone"
            raise Unmet("the same result alone and in a batch of four", came, panels(single, together[i : i + 1]))


@check("inside", "something changes inside the mask, unless it is a control")
def changes_inside(subject: Subject) -> str:
    scene = scene_of(subject)
    after = inside(made_of(subject.plugin, scene), scene)
    before = returned(subject.plugin, scene) if scene.everywhere else scene.start
    changed = ((after != before) & scene.mask).flatten(1).any(1)
    if not bool(changed.any()):
        return "changes nothing: a control?"
    return f"in {int(changed.sum())} of {len(changed)} images"


@check("outside", "nothing changes outside the mask before resampling")
def outside(subject: Subject) -> None:
    scene = scene_of(subject)
    if scene.everywhere:
        raise NotApplicable("it acts while resampling, and what it leaves outside is its own")
    at = scene.context()
    result = subject.plugin.corrupt(at)
    # Core shows copies and blends by its own mask; here the plugin's writing, if any, is let through.
    start = at.images if scene.alpha_bar is None else at.z_t
    after = blend(start, result, at.mask)
    changed = ((after != scene.start) & ~scene.mask).flatten(1).any(1)
    if bool(changed.any()):
        image = int(changed.int().argmax())
        came = f"changes there in {int(changed.sum())} of {len(changed)} images, by writing to its inputs"
        raise Unmet("the start as it was, outside the mask", came, panels(scene, after, image))


@check("empty mask", "an empty mask changes nothing")
def empty_mask(subject: Subject) -> None:
    scene = scene_of(subject)
    scene = replace(scene, mask=torch.zeros_like(scene.mask))
    if scene.everywhere:
        return _usable(made_of(subject.plugin, scene), scene, "an empty mask")
    at = scene.context()
    result = subject.plugin.corrupt(at)
    after = blend(at.images if scene.alpha_bar is None else at.z_t, result, at.mask)
    if not same(after, scene.start):
        came = f"changes of up to {furthest(after, scene.start):.3g}"
        raise Unmet("no change at all", came, panels(scene, after, _worst(after, scene.start)))
    return None


@check("full mask", "a mask of everything works")
def full_mask(subject: Subject) -> None:
    scene = scene_of(subject)
    scene = replace(scene, mask=torch.ones_like(scene.mask))
    _usable(made_of(subject.plugin, scene), scene, "a full mask")


@check("sizes", "planes that are not square work, and a batch of one")
def sizes(subject: Subject) -> None:
    for height, width in ((8, 24), (24, 8)):
        scene = scene_of(subject, height=height, width=width, count=1)
        _usable(made_of(subject.plugin, scene), scene, f"a plane of {height}x{width}")


def _usable(result: Any, scene: Scene, where: str) -> None:
    if not isinstance(result, Tensor) or result.shape != scene.start.shape:
        came = str(tuple(result.shape)) if isinstance(result, Tensor) else type(result).__name__
        raise Unmet(f"shape {tuple(scene.start.shape)} for {where}", came)
    after = inside(result, scene)
    if not bool(torch.isfinite(after).all()):
        raise Unmet(f"finite values for {where}", "some that are not", panels(scene, after))


@check("ranges", "it runs at the ends of its parameters' ranges and with each of their choices")
def ranges(subject: Subject) -> str:
    tried = ends(subject)
    for name, value in tried:
        plugin = subject.made(**{name: value})
        scene = scene_of(subject, plugin)
        where = f"{name}={value}"
        try:
            result = made_of(plugin, scene)
        except Exception as error:
            raise Unmet(f"a result with {where}", said(error, subject.file)) from error
        _usable(result, scene, where)
    return ", ".join(f"{name}={value}" for name, value in tried) or "none is declared"


def ends(subject: Subject) -> list[tuple[str, Any]]:
    """Every value that stands at the end of a parameter's range (just inside of an open one), or among its choices."""
    found: list[tuple[str, Any]] = []
    for field in parameters(subject.cls):
        whole = isinstance(field.default, int)
        within = {"ge": 0.0, "le": 0.0, "gt": 1.0 if whole else _INSIDE, "lt": -1.0 if whole else -_INSIDE}
        bounds: Mapping[str, Any] = field.metadata.get("bounds") or {}
        kind = type(field.default) if isinstance(field.default, int | float) else float
        found += [(field.name, kind(bounds[end] + step)) for end, step in within.items() if end in bounds]
        found += [(field.name, value) for value in field.metadata.get("choices") or ()]
    return found


@check("cost", "it takes no more than a stated multiple of the reference corruptor's processor time")
def cost(subject: Subject) -> str:
    if isinstance(subject.plugin, ResamplingCorruptor):
        return f"{subject.plugin.network_evaluations()} network evaluations a step: its time is that of resampling"
    reference, limit = _reference()
    yardstick: Any = subject.registry.make(Spec.parse("corruptor", reference), Corruptor)
    own, shown = scene_of(subject, height=32, width=32, count=16), latent_scene(0, 32, 32, 16)
    unit = _seconds(lambda: yardstick.corrupt(shown.context()))
    times = _seconds(lambda: made_of(subject.plugin, own), enough=limit * unit) / unit
    said = f"{times:.1f} times {reference}, on 16 images of {FULL_SIDE} pixels (limit {limit:g})"
    if times > limit:
        raise Unmet(f"at most {limit:g} times the time of {reference}", said)
    return said


FULL_SIDE = 256


@cache
def _reference() -> tuple[str, float]:
    """The corruptor that costs are measured against, and the largest multiple of its time."""
    read = yaml.safe_load((resources.files("benchkit.testing") / "reference.yaml").read_text())
    return str(read["corruptor"]), float(read["multiple"])


def _seconds(work: Callable[[], Any], enough: float = 0.0) -> float:
    """The least processor time of three tries, or the first that is `enough`: other work only ever adds to it."""
    least = float("inf")
    for _ in range(3):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
        if least <= enough:
            break
    return least


CHECKS = (
    runs,
    shape,
    dtype,
    finite,
    value_range,
    inputs,
    deterministic,
    seeds,
    fresh_noise,
    neighbours,
    changes_inside,
    outside,
    empty_mask,
    full_mask,
    sizes,
    ranges,
    cost,
)
