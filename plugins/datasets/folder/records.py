"""What every layout offers: named pictures by split, with their masks and captions, read when they are wanted."""

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
from benchkit.readers.headers import (
    Header,
    checked_header,
    checked_picture,
    oriented,
    picture_header,
    picture_shape,
    turn_of,
)
from benchkit.readers.mask_files import MaskRule, decode_label
from benchkit.readers.pictures import decode_image
from benchkit.readers.walk import refuse

#: Before work, of so many masks at once the values are looked at, and of more while they have few pixels together:
#: most often all masks of a set are of one kind.
DECODED, DECODED_PIXELS = 8, 4_000_000
#: The split of a folder that has none.
ONLY = "all"


@dataclass(frozen=True)
class Loaded:
    """One image as its files have it, at its own size; name: unique within its split. ignored: as in a Sample."""

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    caption: str | None = None
    kinds: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    ignored: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of one image before its pixels are decoded.

    fault: why `load` would fail, in one line. positive: False where it is known that the mask marks nothing, else None.
    """

    name: str
    labelled: bool
    captioned: bool
    fault: str | None = None
    positive: bool | None = None


@dataclass
class Sampling:
    """Which masks are decoded before work, of those that are looked at together."""

    masks: int = 0
    pixels: int = 0

    def wants(self, shape: tuple[int, int]) -> bool:
        """Whether the next mask, of this (height, width), is one of them."""
        self.masks += 1
        self.pixels += shape[0] * shape[1]
        return self.masks <= DECODED or self.pixels <= DECODED_PIXELS


class Marks(Protocol):
    """A mask that is no picture file."""

    @property
    def empty(self) -> bool:
        """Whether nothing is marked."""
        ...

    def draw(self, header: Header, where: str) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_] | None]:
        """Kind -> (H, W) bool of the upright picture, and the pixels that count in nothing.

        Raises BenchkitError, naming `where`, if they do not fit the picture that this header is of.
        """
        ...

    def check(self, header: Header, where: str) -> None:
        """Raise what `draw` would, without drawing."""
        ...


@dataclass(frozen=True)
class Record:
    """Where one image, its mask and its caption (a text, or a text file) lie."""

    name: str
    image: Path
    mask: Path | Marks | None = None
    caption: str | Path | None = None

    def load(self, rule: MaskRule) -> Loaded:
        """Raises BenchkitError for a file that cannot be decoded, and for a mask of another size than its image."""
        where = str(self.image)
        image, caption = decode_image(self.image, where), self.text()
        if self.mask is None:
            return Loaded(self.name, image, None, caption)
        header = picture_header(self.image, where)
        if isinstance(self.mask, Path):
            mask, ignored = read_mask(self.mask, str(self.mask), header, rule)
            return Loaded(self.name, image, mask, caption, ignored=ignored)
        kinds, ignored = self.mask.draw(header, where)
        mask = np.logical_or.reduce([np.zeros(image.shape[:2], bool), *kinds.values()])
        return Loaded(self.name, image, mask, caption, kinds, ignored)

    def text(self) -> str | None:
        """The caption, None where there is none; raises BenchkitError for a text file that cannot be read."""
        return text_of(self.caption).strip() or None if isinstance(self.caption, Path) else self.caption

    def facts(self, rule: MaskRule, sample: Sampling) -> Facts:
        """Look at headers and text; a file that seems cut is decoded, to be sure, and a mask if `sample` wants it."""
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
        """Raise what `load` would; return False where it is known that nothing is marked."""
        where = str(self.image)
        header = checked_picture(self.image, where)
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
        """Files that decide masks, captions or splits of many images."""
        ...

    @property
    def categories(self) -> Mapping[str, int]:
        """Category that counts as an artifact -> its annotations; nothing where the layout knows none."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What a user should know of how marks were read, one line each."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Split -> number of images, one or more."""
        ...

    def names(self, split: str) -> Sequence[str]:
        """The names of a split's images, each its own."""
        ...

    def load(self, split: str, indices: Sequence[int]) -> list[Loaded]:
        """The images at these indices, in order."""
        ...

    def shapes(self, split: str) -> Sequence[tuple[int, int]]:
        """(height, width) of every image of a split; raises BenchkitError that names all that cannot be read."""
        ...

    def known_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        """(height, width) of those images of a split that can be read."""
        ...

    def marked(self, split: str) -> Sequence[int]:
        """Indices of the images that have a mask."""
        ...

    def facts(self, split: str, indices: Sequence[int]) -> list[Facts]:
        """What is known of the images at these indices without decoding them, in order."""
        ...

    def files(self) -> Sequence[Path]:
        """Every file that decides an image, a mask or a caption."""
        ...


@dataclass(frozen=True)
class FileListing:
    """One file an image. others: files that decide captions or masks of many. masks: how mask files are read."""

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
                found.append(_shape(stamped(record.image)))
            except BenchkitError as error:
                faults.append(str(error))
        refuse(faults)
        return found

    def known_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        found = []
        for record in self.records[split]:
            with suppress(BenchkitError):  # a damaged file, which inspection names
                found.append(_shape(stamped(record.image)))
        return found

    def marked(self, split: str) -> Sequence[int]:
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
    """A file as it stood when it was looked at: what is kept about it holds while size and time are these."""

    path: Path
    size: int
    mtime_ns: int


def stamped(path: Path) -> Stamped:
    """Raises BenchkitError for a file that is not there."""
    try:
        found = path.stat()
    except OSError as error:
        raise BenchkitError(f"{path}: {error.strerror or 'cannot be read'}") from None
    return Stamped(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1 << 18)
def _shape(file: Stamped) -> tuple[int, int]:
    return picture_shape(file.path, str(file.path))


def check_size(mask: tuple[int, ...], image: tuple[int, ...], where: str) -> None:
    """Raise BenchkitError, naming `where`, unless mask and image have the same (height, width)."""
    if mask[:2] != image[:2]:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (mask, image)]
        raise BenchkitError(f"{where}: a mask of {sizes[0]} for an image of {sizes[1]}: they must be of one size")


def read_mask(
    data: Path | bytes, where: str, picture: Header, rule: MaskRule
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """The mask of an upright picture and what counts in nothing; raises BenchkitError where it does not fit."""
    turn = _turn(picture_header(data, where), picture, rule, where)
    mask, ignored = decode_label(data, where, rule)
    mask = oriented(mask, turn)
    check_size(mask.shape, picture.shape, where)
    return mask, None if ignored is None else oriented(ignored, turn)


def check_mask(data: Path | bytes, where: str, picture: Header, rule: MaskRule, sample: Sampling) -> bool | None:
    """Raise what `read_mask` would: as far as headers tell, or all of it where `sample` wants this mask.

    Returns False for a mask that was decoded and marks nothing, else None: framing can cut off what it marks.
    """
    header = checked_header(data, where)
    turn = _turn(header, picture, rule, where)
    check_size(Header(header.shape, turn).shape, picture.shape, where)
    if sample.wants(header.shape) and not decode_label(data, where, rule)[0].any():
        return False
    return None


def _turn(mask: Header, picture: Header, rule: MaskRule, where: str) -> int:
    """The orientation that brings a mask upright which has none of its own, beside a picture that has one."""
    return 1 if mask.orientation != 1 else turn_of(picture, mask.shape, rule.turned, "mask", where)


def text_of(path: Path) -> str:
    """A text file's content; raises BenchkitError where it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BenchkitError(f"{path}: not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise BenchkitError(f"{path}: {error.strerror or 'cannot be read'}") from None


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in a folder (links to folders too), sorted, without those that begin with a dot."""
    return sorted(found for found in folder.iterdir() if found.is_dir() and not found.name.startswith("."))
