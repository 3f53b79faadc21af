"""The interface of all layouts: named images by split, with masks and captions, read on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchkit.api import BenchkitError
from benchkit.readers.image_headers import (
    Header,
    find_orientation,
    orient_mask,
    read_checked_header,
    read_checked_image_header,
    read_header,
    read_shape,
)
from benchkit.readers.images import decode_image
from benchkit.readers.masks import MaskRule, decode_label
from benchkit.readers.walk import raise_faults

#: Number of masks per inspection that are decoded to check their values; more while they have few pixels together.
#: Usually all masks of a set are of one kind.
DECODED, DECODED_PIXELS = 8, 4_000_000
#: The split of a folder without splits.
ONLY = "all"


@dataclass(frozen=True)
class Loaded:
    """One image at its original size; name: unique within its split. ignored: as in a Sample."""

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    caption: str | None = None
    kinds: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    ignored: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of one image before its pixels are decoded.

    fault: why `load` would fail, in one line. positive: False if the mask is known to be empty, else None.
    """

    name: str
    labelled: bool
    captioned: bool
    fault: str | None = None
    positive: bool | None = None


@dataclass
class Sampling:
    """Decides which masks of one inspection are decoded."""

    masks: int = 0
    pixels: int = 0

    def wants(self, shape: tuple[int, int]) -> bool:
        """Return whether to decode the next mask, of this (height, width)."""
        self.masks += 1
        self.pixels += shape[0] * shape[1]
        return self.masks <= DECODED or self.pixels <= DECODED_PIXELS


class DrawnMask(Protocol):
    """A mask that is drawn from annotations, not read from an image."""

    @property
    def empty(self) -> bool:
        """Whether no pixel is annotated."""
        ...

    def draw(self, header: Header, where: str) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_] | None]:
        """Return kind -> (H, W) bool of the upright image, and its ignored pixels.

        Raises BenchkitError that names `where` if the annotations do not fit the image of this header.
        """
        ...

    def check(self, header: Header, where: str) -> None:
        """Raise the errors of `draw`, without drawing."""
        ...


@dataclass(frozen=True)
class Record:
    """The files of one image: the image, its mask, and its caption (a text, or a text file)."""

    name: str
    image: Path
    mask: Path | DrawnMask | None = None
    caption: str | Path | None = None

    def load(self, rule: MaskRule) -> Loaded:
        """Read the image; raise BenchkitError for a file that cannot be decoded, and for a mask of another size."""
        where = str(self.image)
        image, caption = decode_image(self.image, where), self.text()
        if self.mask is None:
            return Loaded(self.name, image, None, caption)
        header = read_header(self.image, where)
        if isinstance(self.mask, Path):
            mask, ignored = read_mask(self.mask, str(self.mask), header, rule)
            return Loaded(self.name, image, mask, caption, ignored=ignored)
        kinds, ignored = self.mask.draw(header, where)
        mask = np.logical_or.reduce([np.zeros(image.shape[:2], bool), *kinds.values()])
        return Loaded(self.name, image, mask, caption, kinds, ignored)

    def text(self) -> str | None:
        """Return the caption, or None; raise BenchkitError for a text file that cannot be read."""
        return read_text_file(self.caption).strip() or None if isinstance(self.caption, Path) else self.caption

    def facts(self, rule: MaskRule, sample: Sampling) -> Facts:
        """Read headers and text; decode a file that seems truncated, and a mask if `sample` says so."""
        faults: list[str] = []
        positive = None
        try:
            positive = self._check(rule, sample)
        except BenchkitError as error:
            faults.append(str(error))
        captioned = self.caption is not None
        try:
            captioned = self.text() is not None
        except BenchkitError as error:
            faults.append(str(error))
        return Facts(self.name, self.mask is not None, captioned, "; ".join(faults) or None, positive)

    def _check(self, rule: MaskRule, sample: Sampling) -> bool | None:
        """Raise the errors of `load`; return False if the mask is known to be empty."""
        where = str(self.image)
        header = read_checked_image_header(self.image, where)
        if isinstance(self.mask, Path):
            return check_mask(self.mask, str(self.mask), header, rule, sample)
        if self.mask is None:
            return None
        self.mask.check(header, where)
        return False if self.mask.empty else None


class Listing(Protocol):
    """A folder as one layout reads it."""

    @property
    def others(self) -> Sequence[Path]:
        """Files that determine masks, captions or splits of many images."""
        ...

    @property
    def categories(self) -> Mapping[str, int]:
        """Category that counts as an artifact -> number of annotations; empty if the layout has no categories."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What a user should know of how annotations were read, one line each."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return split -> number of images, one or more."""
        ...

    def names(self, split: str) -> Sequence[str]:
        """Return the unique names of a split's images."""
        ...

    def load(self, split: str, indices: Sequence[int]) -> list[Loaded]:
        """Read the images at these indices, in order."""
        ...

    def shapes(self, split: str) -> Sequence[tuple[int, int]]:
        """Return (height, width) of all images of a split; raise BenchkitError that names unreadable ones."""
        ...

    def known_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        """Return (height, width) of the readable images of a split."""
        ...

    def annotated(self, split: str) -> Sequence[int]:
        """Return the indices of the images that have a mask."""
        ...

    def facts(self, split: str, indices: Sequence[int]) -> list[Facts]:
        """Return what is known of the images at these indices without decoding them, in order."""
        ...

    def files(self) -> Sequence[Path]:
        """Return all files that determine an image, a mask or a caption."""
        ...


@dataclass(frozen=True)
class FileListing:
    """One file per image. others: files with captions or masks of many images. masks: how mask files are read."""

    records: Mapping[str, tuple[Record, ...]]
    others: tuple[Path, ...] = ()
    masks: MaskRule = field(default_factory=MaskRule)
    categories: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def counts(self) -> Mapping[str, int]:
        return {split: len(records) for split, records in self.records.items()}

    def names(self, split: str) -> Sequence[str]:
        return [record.name for record in self.records[split]]

    def load(self, split: str, indices: Sequence[int]) -> list[Loaded]:
        return [self.records[split][index].load(self.masks) for index in indices]

    def shapes(self, split: str) -> Sequence[tuple[int, int]]:
        found, faults = [], []
        for record in self.records[split]:
            try:
                found.append(_shape(stamp(record.image)))
            except BenchkitError as error:
                faults.append(str(error))
        raise_faults(faults)
        return found

    def known_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        found = []
        for record in self.records[split]:
            with suppress(BenchkitError):  # a damaged file, which `facts` reports
                found.append(_shape(stamp(record.image)))
        return found

    def annotated(self, split: str) -> Sequence[int]:
        return [i for i, record in enumerate(self.records[split]) if record.mask is not None]

    def facts(self, split: str, indices: Sequence[int]) -> list[Facts]:
        sample = Sampling()
        return [self.records[split][index].facts(self.masks, sample) for index in indices]

    def files(self) -> Sequence[Path]:
        found = list(self.others)
        for records in self.records.values():
            for record in records:
                found += [part for part in (record.image, record.mask, record.caption) if isinstance(part, Path)]
        return found


@dataclass(frozen=True)
class Stamped:
    """A file with its size and time; cached results about it are valid while these do not change."""

    path: Path
    size: int
    mtime_ns: int


def stamp(path: Path) -> Stamped:
    """Return a file with its size and time; raise BenchkitError for a missing file."""
    try:
        found = path.stat()
    except OSError as error:
        raise BenchkitError(f"{path}: {error.strerror or 'cannot be read'}") from None
    return Stamped(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1 << 18)
def _shape(file: Stamped) -> tuple[int, int]:
    return read_shape(file.path, str(file.path))


def check_size(mask: tuple[int, ...], image: tuple[int, ...], where: str) -> None:
    """Raise BenchkitError that names `where` unless mask and image have the same (height, width)."""
    if mask[:2] != image[:2]:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (mask, image)]
        raise BenchkitError(f"{where}: a mask of {sizes[0]} for an image of {sizes[1]}: they must have one size")


def read_mask(
    data: Path | bytes, where: str, picture: Header, rule: MaskRule
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Return the mask of an upright image and its ignored pixels; raise BenchkitError if the mask does not fit."""
    turn = _turn(read_header(data, where), picture, rule, where)
    mask, ignored = decode_label(data, where, rule)
    mask = orient_mask(mask, turn)
    check_size(mask.shape, picture.shape, where)
    return mask, None if ignored is None else orient_mask(ignored, turn)


def check_mask(data: Path | bytes, where: str, picture: Header, rule: MaskRule, sample: Sampling) -> bool | None:
    """Raise the errors of `read_mask` that headers show, or all of them if `sample` wants this mask decoded.

    Returns False for a decoded mask that is empty, else None, because framing may cut off its pixels.
    """
    header = read_checked_header(data, where)
    turn = _turn(header, picture, rule, where)
    check_size(Header(header.shape, turn).shape, picture.shape, where)
    if sample.wants(header.shape) and not decode_label(data, where, rule)[0].any():
        return False
    return None


def _turn(mask: Header, picture: Header, rule: MaskRule, where: str) -> int:
    """Return the orientation that turns a mask upright which has no EXIF orientation itself."""
    return 1 if mask.orientation != 1 else find_orientation(picture, mask.shape, rule.turned, "mask", where)


def read_text_file(path: Path) -> str:
    """Return a text file's content; raise BenchkitError if it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BenchkitError(f"{path}: not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise BenchkitError(f"{path}: {error.strerror or 'cannot be read'}") from None


def list_subfolders(folder: Path) -> list[Path]:
    """Return the folders directly in a folder, and links to folders, sorted, without names that begin with a dot."""
    return sorted(found for found in folder.iterdir() if found.is_dir() and not found.name.startswith("."))
