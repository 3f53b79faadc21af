"""What is demanded of datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from benchkit.api import BenchkitError, ImageFacts, Sample
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


@check("images", "images are (H, W, 3) uint8")
def images(subject: Subject) -> str:
    sizes = set()
    for split, index, sample in read(subject):
        image = sample.image
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise Unmet("an (H, W, 3) uint8 array", f"{_described(image)} for {split}[{index}]")
        sizes.add(image.shape[:2])
    return ", ".join(f"{height}x{width}" for height, width in sorted(sizes))


@check("masks", "masks, and those of kinds, are (H, W) bool, of their image's size; or None")
def masks(subject: Subject) -> str:
    marked = 0
    for split, index, sample in read(subject):
        marked += sample.mask is not None
        found = {"mask": sample.mask, **{f"kinds['{kind}']": mask for kind, mask in sample.kinds.items()}}
        for name, mask in found.items():
            if mask is None and name == "mask":
                continue
            wanted = sample.image.shape[:2]
            if not isinstance(mask, np.ndarray) or mask.shape != wanted or mask.dtype != np.bool_:
                raise Unmet(f"{wanted} bool for {name} of {split}[{index}]", _described(mask))
    return f"{marked} of the samples looked at have one"


def _described(value: Any) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


@check("captions", "captions are str or None")
def captions(subject: Subject) -> None:
    for split, index, sample in read(subject):
        if sample.caption is not None and not isinstance(sample.caption, str):
            raise Unmet("str or None", f"{type(sample.caption).__name__} for {split}[{index}]")


@check("ids", "ids are text, and no two samples have the same")
def ids(subject: Subject) -> None:
    seen: dict[str, str] = {}
    for split, index, sample in read(subject):
        where = f"{split}[{index}]"
        if not isinstance(sample.id, str) or not sample.id:
            raise Unmet("a str that is not empty", f"{sample.id!r} for {where}")
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
            raise Unmet(f"the same {split}[{index}] whatever is read with it", "another image, mask or caption")


def _equal(first: Sample, second: Sample) -> bool:
    plain = replace(first, image=None, mask=None, kinds={}, attributes={})
    other = replace(second, image=None, mask=None, kinds={}, attributes={})
    mask, again = (np.array([]) if one.mask is None else one.mask for one in (first, second))
    return plain == other and np.array_equal(mask, again) and np.array_equal(first.image, second.image)


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


CHECKS = (splits, reads, images, masks, captions, ids, order, bounds, labelled, fingerprint, facts)
