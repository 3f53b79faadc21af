"""Checks of corruptors that are made of other corruptors."""

from __future__ import annotations

import torch
from torch import Tensor

from benchkit.errors import BenchkitError
from benchkit.specs.spec import Spec
from benchkit.testing.checks import NotApplicable, Subject, Violation, check
from benchkit.testing.worlds import CountedNoise, generators_restored, seed_globals

#: Enough images that two seeds hardly ever choose the same parts.
IMAGES = 64


def make_ids(count: int = IMAGES) -> list[str]:
    return [f"image-{i}" for i in range(count)]


def choose(subject: Subject, ids: list[str], seed: int = 0) -> Tensor:
    result: Tensor = subject.plugin.choose(CountedNoise(seed, ids))
    return result


@check("parts", "parts() returns two or more corruptors", gate=True)
def parts(subject: Subject) -> str:
    texts = list(subject.plugin.parts())
    try:
        found = [subject.registry.complete(Spec.parse(subject.kind, text)) for text in texts]
    except BenchkitError as error:
        raise Violation("Specs of corruptors", str(error)) from None
    if len(found) < 2:
        raise Violation("two corruptors or more", str(len(found)))
    return " or ".join(map(str, found))


@check("runs", "choose() returns a tensor", gate=True)
def runs(subject: Subject) -> None:
    result = choose(subject, make_ids())
    if not isinstance(result, Tensor):
        raise Violation("a tensor", type(result).__name__)


@check("choices", "choose() returns one of the parts for each image, (N,) int64", gate=True)
def choices(subject: Subject) -> str:
    result, count = choose(subject, make_ids()), len(subject.plugin.parts())
    if tuple(result.shape) != (IMAGES,) or result.dtype != torch.int64:
        raise Violation(f"({IMAGES},) int64", f"{tuple(result.shape)} {result.dtype}")
    if not 0 <= int(result.min()) <= int(result.max()) < count:
        raise Violation(f"numbers from 0 to {count - 1}", f"{int(result.min())} to {int(result.max())}")
    return ", ".join(f"part {i}: {int((result == i).sum())}" for i in range(count)) + f" of {IMAGES}"


@check("deterministic", "the same seed gives the same choice, whatever the state of global generators")
def deterministic(subject: Subject) -> None:
    with generators_restored():
        results = []
        for seed in (1, 1, 2):
            seed_globals(seed)
            results.append(choose(subject, make_ids()))
    if not all(torch.equal(results[0], other) for other in results[1:]):
        raise Violation("equal choices for one seed", "different choices: draw from rng only")


@check("seeds", "another seed gives another choice, if rng is used")
def seeds(subject: Subject) -> str:
    noise = CountedNoise(0, make_ids())
    first = subject.plugin.choose(noise)
    if not noise.asked:
        raise NotApplicable("draws none")
    if torch.equal(first, choose(subject, make_ids(), seed=1)):
        raise Violation("another choice for another seed, since rng is used", "the same for seeds 0 and 1")
    return "draws noise"


@check("neighbours", "an image's part does not depend on its neighbours in the batch")
def neighbours(subject: Subject) -> None:
    together = choose(subject, make_ids())
    for i in range(0, IMAGES, 7):
        if int(choose(subject, [make_ids()[i]])[0]) != int(together[i]):
            raise Violation("the same choice alone and in a batch", f"another choice for image {i} alone")


CHECKS = (parts, runs, choices, deterministic, seeds, neighbours)
