"""Faults of sets of images, from the facts that are known before they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from benchkit.api import ImageFacts, Plugin, Sample
from benchkit.errors import BenchkitError
from benchkit.planning.preflight.facts import Facts
from benchkit.planning.preflight.needs import Chosen, Need
from benchkit.specs.faults import NAMED, Fault, quote_some
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.images import ANNOTATE_THEM

#: Smaller crops are refused.
SMALLEST_CROP = 32


def check_set(need: Need, facts: Facts, factor: int | None) -> Iterator[Fault]:
    """Yield the faults of one set. factor: pixels along a side of a latent pixel, if the checkpoint is known."""
    known = facts.of(need.images)
    yield from _unreadable(need, known)
    if need.mask:
        yield from _without_mask(need, known)
    yield from _sizes(need, known, factor)
    yield from _lacking(need, known, facts)
    if not any(fact.fault or fact.labelled is False for fact in known):
        yield from _without_positives(need, facts)


def check_between_sets(chosen: Chosen, facts: Facts) -> Iterator[Fault]:
    """Yield the faults of sets of different sizes that would be used together."""
    if not chosen.labelled:
        return
    labelled = _size(chosen.labelled[0], facts)
    if chosen.test is not None and "mean-mask" in chosen.grid.trivial:
        test = _size(chosen.test, facts)
        if labelled and test and labelled != test:
            rest = [rule for rule in chosen.grid.trivial if rule != "mean-mask"]
            yield Fault(
                f"trivial: 'mean-mask' predicts the mean of labelled masks of {_text(labelled)} for test images of "
                f"{_text(test)}",
                "bring them to one size, or omit it",
                {"trivial": rest},
            )
    for key, images in chosen.sources if chosen.grid.with_human else ():
        source = _size(images, facts)
        if labelled and source and labelled != source:
            yield Fault(
                f"with_human: labelled images of {_text(labelled)} and images of {key} of {_text(source)} cannot train "
                "one detector",
                "bring them to one size, or leave with_human out",
                {"with_human": []},
            )


def _unreadable(need: Need, known: Sequence[ImageFacts]) -> Iterator[Fault]:
    reasons = [fact.fault for fact in known if fact.fault]
    if reasons:
        more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
        known_all = any(fact.size or fact.labelled is not None for fact in known) or len(reasons) > 1
        which = f"{len(reasons)} of {len(known)} images" if known_all else "the first image"
        count = f"{which} of {_set(need.images)} cannot be read"
        yield Fault(f"{need.key}: {count}: {'; '.join(reasons[:NAMED])}{more}")


def _without_mask(need: Need, known: Sequence[ImageFacts]) -> Iterator[Fault]:
    names = [_name(fact, i, need) for i, fact in enumerate(known) if fact.labelled is False]
    if not names:
        return
    if any(fact.labelled is None and not fact.fault for fact in known):
        yield Fault(
            f"{need.key}: {_set(need.images)} has images without a mask, {quote_some(names[:1])} is the first",
            ANNOTATE_THEM,
        )
        return
    count = f"{len(names)} of {len(known)} images of {_set(need.images)} have no mask"
    yield Fault(f"{need.key}: {count}: {quote_some(names)}", ANNOTATE_THEM)


def _sizes(need: Need, known: Sequence[ImageFacts], factor: int | None) -> Iterator[Fault]:
    counts = Counter(fact.size for fact in known if fact.size is not None)
    if not counts:
        return
    (usual, _), *others = counts.most_common()
    if others:
        odd = [_name(fact, i, need) for i, fact in enumerate(known) if fact.size not in (usual, None)]
        listed = ", ".join(f"{number} of {_text(size)}" for size, number in counts.most_common(NAMED))
        message = f"{need.key}: the images of {_set(need.images)} have several sizes ({listed}): {quote_some(odd)}"
        yield Fault(message, "bring all to one size")
        return
    if not min(usual):
        yield Fault(f"{need.key}: the images of {_set(need.images)} have no pixels: {_text(usual)}", "replace them")
        return
    for budget, crop in need.crops:
        side = min(usual)
        if crop > side:
            yield Fault(
                f"{budget}: crop {crop} is more than the {_text(usual)} pixels of the images of {_set(need.images)}",
                f"choose {side} or less, or leave 'crop' out for whole images",
                {f"{budget}.crop": side if side >= SMALLEST_CROP else None},
            )
    if need.encoded and factor and (usual[0] % factor or usual[1] % factor):
        yield Fault(
            f"{need.key}: the images of {_set(need.images)} are {_text(usual)}: the checkpoint takes sides that are "
            f"multiples of {factor}",
            "resize or crop them",
        )


def _lacking(need: Need, known: Sequence[ImageFacts], facts: Facts) -> Iterator[Fault]:
    for what, plugin, who in need.of_samples:
        if what in ("mask", "caption"):
            has = [fact.labelled if what == "mask" else fact.captioned for fact in known]
            names = [_name(known[i], i, need) for i, value in enumerate(has) if value is False]
            lacking = quote_some(names)
        else:
            sample = facts.first(need.images)
            names = [sample.id] if sample is not None and what not in sample.attributes else []
            lacking = f"'{names[0]}' for example" if names else ""
            if sample is not None and not names:
                yield from _unfit(plugin, sample)
        if names:
            yield Fault(
                f"{who} needs '{what}' of every image: {_set(need.images)} has images without it, {lacking}",
                f"name another set by {need.key}, or omit it",
            )


def _unfit(plugin: Plugin, sample: Sample) -> Iterator[Fault]:
    try:
        plugin.check_sample(sample)
    except BenchkitError as error:
        yield Fault(str(error))


def _without_positives(need: Need, facts: Facts) -> Iterator[Fault]:
    for images in need.positive:
        if facts.has_positive(images) is False:
            message = f"{need.key}: none of the {len(images.indices)} images of {_set(images)} has an annotated pixel"
            settings = {"validation": None} if need.key == "validation" else {}
            remedy = "ask for more, or mark some" if need.key == "labelled" else "name a split with artifacts"
            yield Fault(f"{message}, {need.reason}", remedy, settings)


def _set(images: ImageSet) -> str:
    return f"split '{images.split}' of dataset '{images.dataset.short}'"


def _name(fact: ImageFacts, position: int, need: Need) -> str:
    return fact.id or f"{need.images.split}[{need.images.indices[position]}]"


def _size(images: ImageSet, facts: Facts) -> tuple[int, int] | None:
    return next((fact.size for fact in facts.of(images) if fact.size), None)


def _text(size: tuple[int, int]) -> str:
    """Return a size as width x height."""
    return f"{size[1]}x{size[0]}"
