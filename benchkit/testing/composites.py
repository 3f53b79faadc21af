"""What is demanded of corruptors that choose among others."""

from __future__ import annotations

import torch
from torch import Tensor

from benchkit.errors import BenchkitError
from benchkit.specs.spec import Spec
from benchkit.testing.checks import NotApplicable, Subject, Unmet, check
from benchkit.testing.worlds import CountedNoise, generators_restored, seed_globals

#: So many that two seeds hardly ever choose alike.
IMAGES = 64


def names(count: int = IMAGES) -> list[str]:
    return [f"image-{i}" for i in range(count)]


def chosen(subject: Subject, ids: list[str], seed: int = 0) -> Tensor:
    result: Tensor = subject.plugin.choose(CountedNoise(seed, ids))
    return result


@check("parts", "parts() names corruptors, two or more", gate=True)
def parts(subject: Subject) -> str:
    texts = list(subject.plugin.parts())
    try:
        found = [subject.registry.complete(Spec.parse(subject.kind, text)) for text in texts]
    except BenchkitError as error:
        raise Unmet("Specs of corruptors", str(error)) from None
    if len(found) < 2:
        raise Unmet("two corruptors or more", str(len(found)))
    return " or ".join(map(str, found))


@check("runs", "choose() returns a tensor", gate=True)
def runs(subject: Subject) -> None:
    result = chosen(subject, names())
    if not isinstance(result, Tensor):
        raise Unmet("a tensor", type(result).__name__)


@check("choices", "choose() returns one of the parts for each image, (N,) int64", gate=True)
def choices(subject: Subject) -> str:
    result, count = chosen(subject, names()), len(subject.plugin.parts())
    if tuple(result.shape) != (IMAGES,) or result.dtype != torch.int64:
        raise Unmet(f"({IMAGES},) int64", f"{tuple(result.shape)} {result.dtype}")
    if not 0 <= int(result.min()) <= int(result.max()) < count:
        raise Unmet(f"numbers from 0 to {count - 1}", f"{int(result.min())} to {int(result.max())}")
    return ", ".join(f"part {i}: {int((result == i).sum())}" for i in range(count)) + f" of {IMAGES}"


@check("deterministic", "the same seed chooses alike, whatever the global generators stand at")
def deterministic(subject: Subject) -> None:
    with generators_restored():
        results = []
        for seed in (1, 1, 2):
            seed_globals(seed)
            results.append(chosen(subject, names()))
    if not all(torch.equal(results[0], other) for other in results[1:]):
        raise Unmet("equal choices for one seed", "others: draw from rng alone")


@check("seeds", "another seed chooses otherwise, where rng is asked")
def seeds(subject: Subject) -> str:
    noise = CountedNoise(0, names())
    first = subject.plugin.choose(noise)
    if not noise.asked:
        raise NotApplicable("draws none")
    if torch.equal(first, chosen(subject, names(), seed=1)):
        raise Unmet("another choice for another seed, since rng is asked", "the same for seeds 0 and 1")
    return "draws noise"


@check("neighbours", "an image's part does not depend on its neighbours in the batch")
def neighbours(subject: Subject) -> None:
    together = chosen(subject, names())
    for i in range(0, IMAGES, 7):
        if int(chosen(subject, [names()[i]])[0]) != int(together[i]):
            raise Unmet("the same choice alone and in a batch", f"another one for image {i}")


CHECKS = (parts, runs, choices, deterministic, seeds, neighbours)
