"""Checks of datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from benchkit.api import BenchkitError, ImageFacts, Sample
from benchkit.plugin.samples import (
    HEATMAP,
    Mismatch,
    attribute_faults,
    caption_faults,
    id_faults,
    image_faults,
    mask_faults,
)
from benchkit.testing.checks import NotApplicable, Subject, Violation, check

#: Number of samples of every split that are read.
SAMPLES = 3
POOL = "pool"


def split_sizes(subject: Subject) -> Mapping[str, int]:
    found: Mapping[str, int] = subject.plugin.splits()
    return found


def read_first(subject: Subject) -> Iterator[tuple[str, int, Sample]]:
    """Yield the first samples of every split."""
    for split, size in split_sizes(subject).items():
        wanted = list(range(min(SAMPLES, size)))
        for index, sample in zip(wanted, subject.plugin.read(split, wanted), strict=True):
            yield split, index, sample


@check("splits", "splits() returns the names of splits and their numbers of samples", gate=True)
def splits(subject: Subject) -> str:
    found = split_sizes(subject)
    if not isinstance(found, Mapping) or not found:
        raise Violation("a mapping of split names to numbers", repr(found))
    for split, size in found.items():
        if not isinstance(split, str) or not isinstance(size, int) or size < 1:
            raise Violation("split names with a whole number of samples, 1 or more", f"{split!r}: {size!r}")
    return ", ".join(f"{split} {size}" for split, size in found.items())


@check("reads", "read() returns the requested samples", gate=True)
def reads(subject: Subject) -> str:
    found = list(read_first(subject))
    for split, index, sample in found:
        if not isinstance(sample, Sample):
            raise Violation("benchkit.api.Sample", f"{type(sample).__name__} for {split}[{index}]")
    return f"{len(found)} samples read"


def check_samples(subject: Subject, faults: Callable[[Sample], Iterable[Mismatch]]) -> None:
    """Raise Violation for the first fault of the samples read."""
    for split, index, sample in read_first(subject):
        for fault in faults(sample):
            raise Violation(fault.expected, f"{fault.actual} for {split}[{index}]")


@check("images", "images are (H, W, 3) uint8")
def images(subject: Subject) -> str:
    check_samples(subject, image_faults)
    sizes = {sample.image.shape[:2] for _, _, sample in read_first(subject)}
    return ", ".join(f"{height}x{width}" for height, width in sorted(sizes))


@check("masks", "masks, also of kinds and ignored pixels, are None or (H, W) bool of the image's size")
def masks(subject: Subject) -> str:
    check_samples(subject, mask_faults)
    annotated = sum(sample.mask is not None for _, _, sample in read_first(subject))
    return f"{annotated} of the samples read have one"


@check("captions", "captions are str or None")
def captions(subject: Subject) -> None:
    check_samples(subject, caption_faults)


@check("heat maps", f"an attribute '{HEATMAP}' is (H, W), finite and not negative")
def heat_maps(subject: Subject) -> None:
    check_samples(subject, attribute_faults)


@check("ids", "ids are text, and every sample has its own")
def ids(subject: Subject) -> None:
    check_samples(subject, id_faults)
    seen: dict[str, str] = {}
    for split, index, sample in read_first(subject):
        where = f"{split}[{index}]"
        if sample.id in seen:
            raise Violation("a different id for every sample", f"'{sample.id}' for {seen[sample.id]} and for {where}")
        seen[sample.id] = where


@check("order", "read() keeps the requested order, and a sample does not depend on the others")
def order(subject: Subject) -> None:
    split, size = max(split_sizes(subject).items(), key=lambda item: item[1])
    wanted = list(range(min(SAMPLES, size)))[::-1]
    together = subject.plugin.read(split, wanted)
    alone = [subject.plugin.read(split, [index])[0] for index in wanted]
    for index, first, second in zip(wanted, together, alone, strict=True):
        if first.id != second.id:
            raise Violation(f"'{second.id}' for {split}[{index}], read in the order {wanted}", f"'{first.id}'")
        if not _equal(first, second):
            raise Violation(
                f"the same {split}[{index}] alone and with others", "another image, mask, ignored pixels or caption"
            )


def _equal(first: Sample, second: Sample) -> bool:
    plain, other = (
        replace(one, image=None, mask=None, ignored=None, kinds={}, attributes={}) for one in (first, second)
    )
    pairs = [(first.image, second.image), (first.mask, second.mask), (first.ignored, second.ignored)]
    return plain == other and all(_same(*pair) for pair in pairs)


def _same(one: Any, other: Any) -> bool:
    return (one is None) == (other is None) and (one is None or np.array_equal(one, other))


@check("bounds", "an unknown split and an index out of range raise BenchkitError")
def bounds(subject: Subject) -> None:
    split, size = next(iter(split_sizes(subject).items()))
    for wanted, index in (("no-such-split", 0), (split, size), (split, -1)):
        try:
            subject.plugin.read(wanted, [index])
        except BenchkitError:
            continue
        except Exception as error:
            actual = f"{type(error).__name__}: {error}"
        else:
            actual = "a sample"
        raise Violation(f"BenchkitError for index {index} of split '{wanted}'", actual)


@check("labelled", "labelled() draws distinct indices of the split `pool`, the same for one seed")
def labelled(subject: Subject) -> str:
    size = split_sizes(subject).get(POOL)
    if size is None:
        raise NotApplicable(f"it has no split '{POOL}', so it has no labelled images")
    count = min(8, size)
    drawn = subject.plugin.labelled(count, 0)
    if len(set(drawn)) != count or not all(isinstance(i, int) and 0 <= i < size for i in drawn):
        raise Violation(f"{count} distinct indices below {size}", str(drawn)[:80])
    if drawn != subject.plugin.labelled(count, 0):
        raise Violation("the same indices for the same seed", "different indices")
    try:
        subject.plugin.labelled(size + 1, 0)
    except BenchkitError:
        return f"{count} of {size}"
    raise Violation(f"BenchkitError for {size + 1} of a pool of {size}", "indices")


@check("fingerprint", "fingerprint() is a text that does not change")
def fingerprint(subject: Subject) -> str:
    first = subject.plugin.fingerprint()
    list(read_first(subject))
    second = subject.make().fingerprint()
    if not isinstance(first, str) or not first:
        raise Violation("a non-empty str", repr(first))
    if first != second:
        raise Violation("the same digest before and after reading", f"{first[:16]} and {second[:16]}")
    return f"{first[:16]}"


@check("facts", "inspect() agrees with read(), or returns None for what it does not know")
def facts(subject: Subject) -> str:
    known = 0
    for split, index, sample in read_first(subject):
        found = list(subject.plugin.inspect(split, [index]))
        if len(found) != 1 or not isinstance(found[0], ImageFacts):
            raise Violation(f"one benchkit.api.ImageFacts for {split}[{index}]", repr(found)[:80])
        given, height_width = found[0], tuple(sample.image.shape[:2])
        marked = None if sample.mask is None else bool(sample.mask.any())
        truth = ImageFacts(sample.id, height_width, marked is not None, None, sample.caption is not None, bool(marked))
        for one in fields(ImageFacts):
            value, right = getattr(given, one.name), getattr(truth, one.name)
            if value not in (None, "", right):
                raise Violation(f"{one.name} {right!r} or None for {split}[{index}]", repr(value))
            known += value not in (None, "")
    return f"{known} facts are known without reading"


CHECKS = (splits, reads, images, masks, captions, heat_maps, ids, order, bounds, labelled, fingerprint, facts)
