"""What is demanded of datasets."""

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
from benchkit.testing.checks import NotApplicable, Subject, Unmet, check

#: How many samples of every split are looked at.
SAMPLES = 3
POOL = "pool"


def sizes_of(subject: Subject) -> Mapping[str, int]:
    found: Mapping[str, int] = subject.plugin.splits()
    return found


def read(subject: Subject) -> Iterator[tuple[str, int, Sample]]:
    """The first samples of every split."""
    for split, size in sizes_of(subject).items():
        wanted = list(range(min(SAMPLES, size)))
        for index, sample in zip(wanted, subject.plugin.read(split, wanted), strict=True):
            yield split, index, sample


@check("splits", "splits() names splits and how many samples each has", gate=True)
def splits(subject: Subject) -> str:
    found = sizes_of(subject)
    if not isinstance(found, Mapping) or not found:
        raise Unmet("a mapping of split names to numbers", repr(found))
    for split, size in found.items():
        if not isinstance(split, str) or not isinstance(size, int) or size < 1:
            raise Unmet("split names with a whole number of samples, one or more", f"{split!r}: {size!r}")
    return ", ".join(f"{split} {size}" for split, size in found.items())


@check("reads", "read() gives the samples that were asked for", gate=True)
def reads(subject: Subject) -> str:
    found = list(read(subject))
    for split, index, sample in found:
        if not isinstance(sample, Sample):
            raise Unmet("benchkit.api.Sample", f"{type(sample).__name__} for {split}[{index}]")
    return f"{len(found)} samples looked at"


def demand(subject: Subject, faults: Callable[[Sample], Iterable[Mismatch]]) -> None:
    """Raise Unmet for the first fault of the samples that are looked at."""
    for split, index, sample in read(subject):
        for fault in faults(sample):
            raise Unmet(fault.expected, f"{fault.came} for {split}[{index}]")


@check("images", "images are (H, W, 3) uint8")
def images(subject: Subject) -> str:
    demand(subject, image_faults)
    sizes = {sample.image.shape[:2] for _, _, sample in read(subject)}
    return ", ".join(f"{height}x{width}" for height, width in sorted(sizes))


@check("masks", "masks, and those of kinds and ignored pixels, are (H, W) bool, of their image's size; or None")
def masks(subject: Subject) -> str:
    demand(subject, mask_faults)
    marked = sum(sample.mask is not None for _, _, sample in read(subject))
    return f"{marked} of the samples looked at have one"


@check("captions", "captions are str or None")
def captions(subject: Subject) -> None:
    demand(subject, caption_faults)


@check("heat maps", f"an attribute '{HEATMAP}' is (H, W), finite and not negative")
def heat_maps(subject: Subject) -> None:
    demand(subject, attribute_faults)


@check("ids", "ids are text, and no two samples have the same")
def ids(subject: Subject) -> None:
    demand(subject, id_faults)
    seen: dict[str, str] = {}
    for split, index, sample in read(subject):
        where = f"{split}[{index}]"
        if sample.id in seen:
            raise Unmet("an id of its own for every sample", f"'{sample.id}' for {seen[sample.id]} and for {where}")
        seen[sample.id] = where


@check("order", "read() keeps the order it was asked in, and a sample does not depend on what is read with it")
def order(subject: Subject) -> None:
    split, size = max(sizes_of(subject).items(), key=lambda item: item[1])
    wanted = list(range(min(SAMPLES, size)))[::-1]
    together = subject.plugin.read(split, wanted)
    alone = [subject.plugin.read(split, [index])[0] for index in wanted]
    for index, first, second in zip(wanted, together, alone, strict=True):
        if first.id != second.id:
            raise Unmet(f"'{second.id}' for {split}[{index}], read in the order {wanted}", f"'{first.id}'")
        if not _equal(first, second):
            raise Unmet(
                f"the same {split}[{index}] whatever is read with it", "another image, mask, ignored pixels or caption"
            )


def _equal(first: Sample, second: Sample) -> bool:
    plain, other = (
        replace(one, image=None, mask=None, ignored=None, kinds={}, attributes={}) for one in (first, second)
    )
    pairs = [(first.image, second.image), (first.mask, second.mask), (first.ignored, second.ignored)]
    return plain == other and all(_same(*pair) for pair in pairs)


def _same(one: Any, other: Any) -> bool:
    return (one is None) == (other is None) and (one is None or np.array_equal(one, other))


@check("bounds", "an unknown split and an index beyond the end are refused with a BenchkitError")
def bounds(subject: Subject) -> None:
    split, size = next(iter(sizes_of(subject).items()))
    for wanted, index in (("no-such-split", 0), (split, size), (split, -1)):
        try:
            subject.plugin.read(wanted, [index])
        except BenchkitError:
            continue
        except Exception as error:
            came = f"{type(error).__name__}: {error}"
        else:
            came = "a sample"
        raise Unmet(f"BenchkitError for index {index} of split '{wanted}'", came)


@check("labelled", "labelled() draws distinct indices into `pool`, the same for a seed")
def labelled(subject: Subject) -> str:
    size = sizes_of(subject).get(POOL)
    if size is None:
        raise NotApplicable(f"it has no split '{POOL}', and so no labelled set")
    count = min(8, size)
    drawn = subject.plugin.labelled(count, 0)
    if len(set(drawn)) != count or not all(isinstance(i, int) and 0 <= i < size for i in drawn):
        raise Unmet(f"{count} distinct indices below {size}", str(drawn)[:80])
    if drawn != subject.plugin.labelled(count, 0):
        raise Unmet("the same indices for the same seed", "others")
    try:
        subject.plugin.labelled(size + 1, 0)
    except BenchkitError:
        return f"{count} of {size}"
    raise Unmet(f"BenchkitError for {size + 1} of a pool of {size}", "indices")


@check("fingerprint", "fingerprint() is a text that stays the same")
def fingerprint(subject: Subject) -> str:
    first = subject.plugin.fingerprint()
    list(read(subject))
    second = subject.made().fingerprint()
    if not isinstance(first, str) or not first:
        raise Unmet("a str that is not empty", repr(first))
    if first != second:
        raise Unmet("the same digest before and after reading", f"{first[:16]} and {second[:16]}")
    return f"{first[:16]}"


@check("facts", "inspect() says of each image what read() gives, or None where it does not know")
def facts(subject: Subject) -> str:
    known = 0
    for split, index, sample in read(subject):
        found = list(subject.plugin.inspect(split, [index]))
        if len(found) != 1 or not isinstance(found[0], ImageFacts):
            raise Unmet(f"one benchkit.api.ImageFacts for {split}[{index}]", repr(found)[:80])
        said, height_width = found[0], tuple(sample.image.shape[:2])
        marked = None if sample.mask is None else bool(sample.mask.any())
        truth = ImageFacts(sample.id, height_width, marked is not None, None, sample.caption is not None, bool(marked))
        for one in fields(ImageFacts):
            value, right = getattr(said, one.name), getattr(truth, one.name)
            if value not in (None, "", right):
                raise Unmet(f"{one.name} {right!r} or None for {split}[{index}]", repr(value))
            known += value not in (None, "")
    return f"{known} facts are known before reading"


CHECKS = (splits, reads, images, masks, captions, heat_maps, ids, order, bounds, labelled, fingerprint, facts)
