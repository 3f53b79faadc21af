"""Checks of region selectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchkit.api import BenchkitError, Sample, SelectionContext
from benchkit.specs.spec import Spec
from benchkit.testing.checks import Subject, Violation, check, format_error
from benchkit.testing.corruptors import list_ends
from benchkit.testing.pictures import Panels
from benchkit.testing.worlds import (
    CAPTIONS,
    CountedNoise,
    generators_restored,
    masks,
    pictures,
    seed_globals,
)

SAME = "same"
#: Names of the stripes of a synthetic part map.
PARTS = ("background", "hair", "face", "eyes_mouth", "hand", "clothes", "sign", "text")


def make_context(
    subject: Subject, rows: Sequence[int] = (0, 1, 2, 3), seed: int = 0, size: tuple[int, int] = (64, 64)
) -> SelectionContext:
    """Return a batch of synthetic images with masks, part maps and, for a learned selector, a detector's scores."""
    chosen = list(rows)
    count = max(chosen) + 1
    images, marked = pictures(count, *size)[chosen], masks(count, *size)[chosen]
    names = [f"image-{i}" for i in chosen]
    samples = [
        _sample(n, images[i], marked[i], CAPTIONS[c % 4]) for i, (n, c) in enumerate(zip(names, chosen, strict=True))
    ]
    parts = tuple(_part(subject, text, rows, seed, size) for text in subject.plugin.parts())
    learned = subject.plugin.required_detector() is not None
    threshold = (subject.plugin.threshold() or 0.5) if learned else None
    score = brightness if learned else None
    return SelectionContext(images.to(subject.device), samples, CountedNoise(seed, names), score, threshold, parts)


def _part(subject: Subject, text: str, rows: Sequence[int], seed: int, size: tuple[int, int]) -> Tensor:
    """Return what one part of a composite selector selects in the same images."""
    spec = Spec.parse("selector", text)
    part = Subject(subject.registry.entry("selector", spec.name).cls, spec.values, registry=subject.registry)
    selected: Tensor = part.plugin.select(make_context(part, rows, seed, size))
    return selected


def _sample(name: str, image: Tensor, mask: Tensor, caption: str | None) -> Sample:
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    annotated = mask.numpy()
    # The part map is stripes.
    stripes = np.arange(annotated.shape[1], dtype=np.uint8) // 8 % len(PARTS)
    parts = {"parts": np.broadcast_to(stripes, annotated.shape).copy(), "part_names": PARTS}
    return Sample(name, pixels, annotated, caption, {"made-up": annotated}, parts)


def brightness(images: Tensor) -> Tensor:
    """Return the brightness of every pixel, (N, H, W) in [0, 1], in place of a trained detector."""
    return images.mean(dim=1)


def panels(at: SelectionContext, selected: Tensor, image: int = 0) -> Panels:
    mask = selected[image]
    return Panels(at.images[image], mask, at.images[image] * (0.3 + 0.7 * mask.to(at.images)))


@check("detector", "detector() returns a detector's Spec, `same` or None; threshold() a number in (0, 1) or None")
def detector(subject: Subject) -> str:
    wanted = subject.plugin.required_detector()
    if wanted is None:
        return "needs none"
    if wanted != SAME:
        try:
            subject.registry.complete(Spec.parse("detector", wanted))
        except BenchkitError as error:
            raise Violation("the Spec of a detector, `same` or None", f"{wanted!r}: {error}") from None
    threshold = subject.plugin.threshold()
    if threshold is not None and not (isinstance(threshold, float) and 0 < threshold < 1):
        raise Violation("a threshold in (0, 1), or None", repr(threshold))
    return f"{wanted}, threshold {'by prevalence' if threshold is None else threshold}"


@check("runs", "select() returns a tensor for a batch of four images", gate=True)
def runs(subject: Subject) -> None:
    result = subject.plugin.select(make_context(subject))
    if not isinstance(result, Tensor):
        raise Violation("a tensor", type(result).__name__)


@check("shape", "masks are (N, H, W), one for each image", gate=True)
def shape(subject: Subject) -> str:
    at = make_context(subject)
    result, wanted = subject.plugin.select(at), (4, *at.images.shape[2:])
    if tuple(result.shape) != wanted:
        raise Violation(f"shape {wanted}", str(tuple(result.shape)))
    return str(wanted)


@check("dtype", "masks are bool", gate=True)
def dtype(subject: Subject) -> None:
    result = subject.plugin.select(make_context(subject))
    if result.dtype != torch.bool:
        raise Violation("torch.bool", str(result.dtype))


@check("inputs", "inputs are not changed in place")
def inputs(subject: Subject) -> None:
    at, before = make_context(subject), make_context(subject)
    subject.plugin.select(at)
    if not torch.equal(at.images, before.images):
        raise Violation("unchanged inputs", "at.images changed: work on a copy")
    for own, old in zip(at.samples, before.samples, strict=True):
        for field in ("image", "mask"):
            if not np.array_equal(getattr(own, field), getattr(old, field)):
                raise Violation("unchanged inputs", f"{field} of sample '{own.id}' changed: work on a copy")


@check("deterministic", "the same seed gives the same masks, whatever the state of global generators")
def deterministic(subject: Subject) -> None:
    with generators_restored():
        results = []
        for seed in (1, 1, 2):
            seed_globals(seed)
            results.append(subject.plugin.select(make_context(subject)))
    for other, why in ((results[1], "two equal calls differ"), (results[2], "the masks depend on a global generator")):
        if not torch.equal(results[0], other):
            image = int((results[0] != other).flatten(1).any(1).int().argmax())
            raise Violation(
                "equal masks for one seed", f"{why}: draw from at.rng only", panels(make_context(subject), other, image)
            )


@check("seeds", "noise comes from at.rng, and another seed gives other masks if at.rng is used")
def seeds(subject: Subject) -> str:
    at, other = make_context(subject), make_context(subject, seed=1)
    first, second = subject.plugin.select(at), subject.plugin.select(other)
    noise: Any = at.rng
    if subject.plugin.parts():
        return "draws what its parts draw"
    if noise.asked and torch.equal(first, second):
        raise Violation("other masks for another seed, since at.rng is used", "the same masks for seeds 0 and 1")
    return "draws noise" if noise.asked else "draws none"


@check("neighbours", "an image's mask does not depend on its neighbours in the batch")
def neighbours(subject: Subject) -> None:
    together = subject.plugin.select(make_context(subject))
    for i in range(len(together)):
        at = make_context(subject, rows=(i,))
        alone = subject.plugin.select(at)
        if not torch.equal(alone[0], together[i]):
            count = int((alone[0] != together[i]).sum())
            actual = f"{count} pixels of image {i} differ when it is alone"
            raise Violation("the same mask alone and in a batch of four", actual, panels(at, alone))


@check("sizes", "non-square images work")
def sizes(subject: Subject) -> None:
    for size in ((48, 80), (80, 48)):
        result = subject.plugin.select(make_context(subject, rows=(0, 1), size=size))
        if tuple(result.shape) != (2, *size) or result.dtype != torch.bool:
            raise Violation(
                f"{(2, *size)} bool for images of {size[0]}x{size[1]}", f"{tuple(result.shape)} {result.dtype}"
            )


@check("ranges", "it runs at both ends of each parameter's range, and with each choice")
def ranges(subject: Subject) -> str:
    tried = list_ends(subject)
    for name, value in tried:
        other = Subject(subject.cls, {**subject.params, name: value}, registry=subject.registry)
        try:
            result = other.plugin.select(make_context(other))
        except Exception as error:
            raise Violation(f"masks with {name}={value}", format_error(error, subject.file)) from error
        if tuple(result.shape) != (4, 64, 64) or result.dtype != torch.bool:
            raise Violation(f"(4, 64, 64) bool with {name}={value}", f"{tuple(result.shape)} {result.dtype}")
    return ", ".join(f"{name}={value}" for name, value in tried) or "no range or choice is declared"


@check("area", "fraction of synthetic images that it selects", informs=True)
def area(subject: Subject) -> str:
    result = subject.plugin.select(make_context(subject)).float()
    empty = int((result.flatten(1).amax(1) == 0).sum())
    return f"{100 * float(result.mean()):.1f} % of the synthetic images, {empty} of {len(result)} masks empty"


CHECKS = (detector, runs, shape, dtype, inputs, deterministic, seeds, neighbours, sizes, ranges, area)
