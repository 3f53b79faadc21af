"""Checks of corruptors, on latents and on pixels."""

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
from benchkit.testing.checks import NotApplicable, Subject, Violation, check, format_error
from benchkit.testing.network import corrupted, returned, scene_steps
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

#: Distance from an open end of a range at which a real number is tried.
_INSIDE = 1e-3
#: Distance that an image may leave [0, 1]; benchkit clamps it.
SLACK = 1e-3


def make_scene(subject: Subject, plugin: Any = None, **size: int) -> Scene:
    """Return a batch in the corruptor's own space, after its number of inversion steps."""
    made = plugin or subject.plugin
    if not isinstance(made, LatentCorruptor):
        return pixel_scene(device=subject.device, **{k: FACTOR * v if k != "count" else v for k, v in size.items()})
    scene = latent_scene(scene_steps(made), device=subject.device, **size)
    other = scene.other if made.needs_reference() else None
    return replace(scene, other=other, everywhere=isinstance(made, ResamplingCorruptor))


def apply(plugin: Any, scene: Scene, noise: CountedNoise | None = None) -> Tensor:
    """Return what the plugin makes of a batch: its result, or z_0 after its own resampling."""
    if isinstance(plugin, ResamplingCorruptor):
        return corrupted(plugin, scene, noise)
    result: Tensor = plugin.corrupt(scene.context(noise))
    return result


def inside(result: Tensor, scene: Scene) -> Tensor:
    """Return the part of a result that benchkit uses; elsewhere the start."""
    return result if scene.everywhere else blend(scene.start, result, scene.mask)


def panels(scene: Scene, after: Tensor, image: int = 0) -> Panels:
    return Panels(scene.start[image], scene.mask[image, 0], after[image])


def _worst(first: Tensor, second: Tensor) -> int:
    """Return the image in which two batches differ most."""
    return int((first - second).abs().nan_to_num(nan=torch.inf).flatten(1).amax(1).argmax())


@check("runs", "corrupt() returns a tensor for a batch of four images", gate=True)
def runs(subject: Subject) -> None:
    result = apply(subject.plugin, make_scene(subject))
    if not isinstance(result, Tensor):
        raise Violation("a tensor", type(result).__name__)


@check("shape", "the result has the shape of its input", gate=True)
def shape(subject: Subject) -> str:
    scene = make_scene(subject)
    result = apply(subject.plugin, scene)
    if result.shape != scene.start.shape:
        raise Violation(f"shape {tuple(scene.start.shape)}, as the input", str(tuple(result.shape)))
    return str(tuple(result.shape))


@check("dtype", "the result has the dtype and device of its input", gate=True)
def dtype(subject: Subject) -> str:
    scene = make_scene(subject)
    result = apply(subject.plugin, scene)
    wanted, actual = (f"{one.dtype} on {one.device}" for one in (scene.start, result))
    if wanted != actual:
        raise Violation(wanted, actual)
    return actual


@check("finite", "every value inside the mask is finite", gate=True)
def finite(subject: Subject) -> None:
    scene = make_scene(subject)
    after = inside(apply(subject.plugin, scene), scene)
    bad = ~torch.isfinite(after)
    if bool(bad.any()):
        worst = int(bad.flatten(1).sum(1).argmax())
        actual = f"{int(bad.sum())} infinite or NaN values, most of them in image {worst}"
        raise Violation("finite values inside the mask", actual, panels(scene, after, worst))


@check("range", "pixels inside the mask stay in [0, 1]")
def value_range(subject: Subject) -> str:
    scene = make_scene(subject)
    if scene.alpha_bar is not None:
        raise NotApplicable("latents have no range")
    after = inside(apply(subject.plugin, scene), scene)
    low, high = float(after.min()), float(after.max())
    if low < -SLACK or high > 1 + SLACK:
        worst = int((after - 0.5).abs().flatten(1).amax(1).argmax())
        raise Violation("pixels in [0, 1]", f"{low:.4g} to {high:.4g}", panels(scene, after, worst))
    return f"{low:.3g} to {high:.3g}"


@check("inputs", "inputs are not changed in place")
def inputs(subject: Subject) -> None:
    scene = make_scene(subject)
    at, before = scene.context(), scene.context()
    subject.plugin.corrupt(at)
    for field in ("z_t", "z_0", "images", "mask"):
        old, new = getattr(before, field, None), getattr(at, field, None)
        if old is not None and new is not None and not torch.equal(old, new):
            changed = (old != new).flatten(1).any(1)
            actual = f"at.{field} changed in {int(changed.sum())} of {len(old)} images: work on a copy"
            image = int(changed.int().argmax())
            after = getattr(at, "z_t", getattr(at, "images", None))
            raise Violation("unchanged inputs", actual, None if after is None else panels(scene, after, image))


@check("deterministic", "the same seed gives the same result, whatever the state of global generators")
def deterministic(subject: Subject) -> None:
    scene = make_scene(subject)
    with generators_restored():
        results = []
        for seed in (1, 1, 2):
            seed_globals(seed)
            results.append(inside(apply(subject.plugin, scene), scene))
    first, again, reseeded = results
    for other, why in ((again, "two equal calls differ"), (reseeded, "the result depends on a global generator")):
        if not same(first, other):
            actual = f"{why}, by up to {furthest(first, other):.3g}: draw from at.rng only"
            raise Violation("equal results for one seed", actual, panels(scene, other, _worst(first, other)))


@check("seeds", "noise comes from at.rng only, and another seed gives another result")
def seeds(subject: Subject) -> str:
    scene = make_scene(subject)
    noise = CountedNoise(0, scene.ids)
    first = inside(apply(subject.plugin, scene, noise), scene)
    second = inside(apply(subject.plugin, replace(scene, seed=1)), scene)
    if noise.asked:
        if same(first, second):
            raise Violation(
                "another result for another seed, since at.rng is used", "the same result for seeds 0 and 1"
            )
        return "draws noise"
    # Without at.rng, equal images with different ids can differ only by noise from elsewhere.
    twins = replace(scene.rows(0, 0, 0), ids=("a", "b", "c"))
    after = inside(apply(subject.plugin, twins), twins)
    if not close(after[:1].expand_as(after), after):
        actual = "equal images get different results without at.rng: other noise, or a dependence on neighbours"
        raise Violation("noise from at.rng", actual, panels(twins, after, 1))
    return "draws none"


@check("fresh-noise", "every resampling step draws new noise", informs=True)
def fresh_noise(subject: Subject) -> str:
    if not isinstance(subject.plugin, ResamplingCorruptor) or subject.plugin.steps < 2:
        raise NotApplicable("it does not draw at several steps")
    scene = make_scene(subject)
    noise = CountedNoise(0, scene.ids)

    class Watched(subject.cls):  # type: ignore[name-defined]
        def step(self, at: Any) -> Any:
            noise.step = at.step
            return super().step(at)

    apply(Watched(**vars(subject.plugin)), scene, noise)
    repeated = {draw: len(at - {0}) for draw, at in noise.steps.items() if len(at - {0}) > 1}  # 0: of `corrupt`
    if not repeated:
        return "no draw is the same at two steps"
    note = "; ".join(f"{draw} is the same at {number} steps" for draw, number in repeated.items())
    return f"{note}: for new noise at every step, use at.noise() or at.rng of the step, not those of at.start"


@check("neighbours", "an image's result does not depend on its neighbours in the batch")
def neighbours(subject: Subject) -> None:
    scene = make_scene(subject)
    together = inside(apply(subject.plugin, scene), scene)
    for i in range(len(scene.start)):
        single = scene.rows(i)
        alone = inside(apply(subject.plugin, single), single)
        if not close(alone, together[i : i + 1]):
            actual = f"image {i} differs by up to {furthest(alone, together[i : i + 1]):.3g} when it is alone"
            raise Violation("the same result alone and in a batch of four", actual, panels(single, together[i : i + 1]))


@check("inside", "something changes inside the mask, unless the plugin is a control")
def changes_inside(subject: Subject) -> str:
    scene = make_scene(subject)
    after = inside(apply(subject.plugin, scene), scene)
    before = returned(subject.plugin, scene) if scene.everywhere else scene.start
    changed = ((after != before) & scene.mask).flatten(1).any(1)
    if not bool(changed.any()):
        return "changes nothing; this is right for a control only"
    return f"in {int(changed.sum())} of {len(changed)} images"


@check("outside", "nothing changes outside the mask before resampling")
def outside(subject: Subject) -> None:
    scene = make_scene(subject)
    if scene.everywhere:
        raise NotApplicable("it acts while resampling, where changes outside the mask are allowed")
    at = scene.context()
    result = subject.plugin.corrupt(at)
    # benchkit passes copies and blends by its own mask; here, writing to inputs shows in the result.
    start = at.images if scene.alpha_bar is None else at.z_t
    after = blend(start, result, at.mask)
    changed = ((after != scene.start) & ~scene.mask).flatten(1).any(1)
    if bool(changed.any()):
        image = int(changed.int().argmax())
        actual = f"changes in {int(changed.sum())} of {len(changed)} images, by writing to its inputs"
        raise Violation("no change outside the mask", actual, panels(scene, after, image))


@check("empty mask", "an empty mask changes nothing")
def empty_mask(subject: Subject) -> None:
    scene = make_scene(subject)
    scene = replace(scene, mask=torch.zeros_like(scene.mask))
    if scene.everywhere:
        return _usable(apply(subject.plugin, scene), scene, "an empty mask")
    at = scene.context()
    result = subject.plugin.corrupt(at)
    after = blend(at.images if scene.alpha_bar is None else at.z_t, result, at.mask)
    if not same(after, scene.start):
        actual = f"changes of up to {furthest(after, scene.start):.3g}"
        raise Violation("no change", actual, panels(scene, after, _worst(after, scene.start)))
    return None


@check("full mask", "a full mask works")
def full_mask(subject: Subject) -> None:
    scene = make_scene(subject)
    scene = replace(scene, mask=torch.ones_like(scene.mask))
    _usable(apply(subject.plugin, scene), scene, "a full mask")


@check("sizes", "non-square images and a batch of one work")
def sizes(subject: Subject) -> None:
    for height, width in ((8, 24), (24, 8)):
        scene = make_scene(subject, height=height, width=width, count=1)
        _usable(apply(subject.plugin, scene), scene, f"a plane of {height}x{width}")


def _usable(result: Any, scene: Scene, where: str) -> None:
    if not isinstance(result, Tensor) or result.shape != scene.start.shape:
        actual = str(tuple(result.shape)) if isinstance(result, Tensor) else type(result).__name__
        raise Violation(f"shape {tuple(scene.start.shape)} for {where}", actual)
    after = inside(result, scene)
    if not bool(torch.isfinite(after).all()):
        raise Violation(f"finite values for {where}", "infinite or NaN values", panels(scene, after))


@check("ranges", "it runs at both ends of each parameter's range, and with each choice")
def ranges(subject: Subject) -> str:
    tried = list_ends(subject)
    for name, value in tried:
        plugin = subject.make(**{name: value})
        scene = make_scene(subject, plugin)
        where = f"{name}={value}"
        try:
            result = apply(plugin, scene)
        except Exception as error:
            raise Violation(f"a result with {where}", format_error(error, subject.file)) from error
        _usable(result, scene, where)
    return ", ".join(f"{name}={value}" for name, value in tried) or "no range or choice is declared"


def list_ends(subject: Subject) -> list[tuple[str, Any]]:
    """Return every end of a parameter's range (just inside an open end), and every choice."""
    found: list[tuple[str, Any]] = []
    for field in parameters(subject.cls):
        whole = isinstance(field.default, int)
        within = {"ge": 0.0, "le": 0.0, "gt": 1.0 if whole else _INSIDE, "lt": -1.0 if whole else -_INSIDE}
        bounds: Mapping[str, Any] = field.metadata.get("bounds") or {}
        kind = type(field.default) if isinstance(field.default, int | float) else float
        found += [(field.name, kind(bounds[end] + step)) for end, step in within.items() if end in bounds]
        found += [(field.name, value) for value in field.metadata.get("choices") or ()]
    return found


@check("cost", "its processor time is at most a fixed multiple of the reference corruptor's")
def cost(subject: Subject) -> str:
    if isinstance(subject.plugin, ResamplingCorruptor):
        return f"{subject.plugin.network_evaluations()} network evaluations per step, so its time is that of resampling"
    reference, limit = _reference()
    baseline: Any = subject.registry.make(Spec.parse("corruptor", reference), Corruptor)
    own, shown = make_scene(subject, height=32, width=32, count=16), latent_scene(0, 32, 32, 16)
    unit = _seconds(lambda: baseline.corrupt(shown.context()))
    times = _seconds(lambda: apply(subject.plugin, own), enough=limit * unit) / unit
    detail = f"{times:.1f} times {reference}, on 16 images of {FULL_SIDE} pixels (limit {limit:g})"
    if times > limit:
        raise Violation(f"at most {limit:g} times the time of {reference}", detail)
    return detail


FULL_SIDE = 256


@cache
def _reference() -> tuple[str, float]:
    """Return the corruptor that times are compared with, and the largest multiple of its time."""
    read = yaml.safe_load((resources.files("benchkit.testing") / "reference.yaml").read_text())
    return str(read["corruptor"]), float(read["multiple"])


def _seconds(work: Callable[[], Any], enough: float = 0.0) -> float:
    """Return the least processor time of three tries, or the first below `enough`; other work can only add time."""
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
