"""What every layout offers: named pictures by split, with their masks and captions, read when they are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchkit.datasets.pictures import decode_image, decode_mask, picture_shape
from benchkit.errors import BenchkitError

#: The split of a folder that has none.
ONLY = "all"


@dataclass(frozen=True)
class Loaded:
    """One image as its files have it, at its own size; name: unique within its split."""

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    caption: str | None = None
    kinds: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


class Marks(Protocol):
    """A mask that is no picture file."""

    def draw(self, shape: tuple[int, int], where: str) -> dict[str, NDArray[np.bool_]]:
        """Kind -> (H, W) bool; raises BenchkitError, naming `where`, if they do not fit an image of this shape."""
        ...


@dataclass(frozen=True)
class Record:
    """Where one image, its mask and its caption (a text, or a text file) lie."""

    name: str
    image: Path
    mask: Path | Marks | None = None
    caption: str | Path | None = None

    def load(self) -> Loaded:
        """Raises BenchkitError for a file that cannot be decoded, and for a mask of another size than its image."""
        image = decode_image(self.image, str(self.image))
        caption = text_of(self.caption).strip() or None if isinstance(self.caption, Path) else self.caption
        if self.mask is None:
            return Loaded(self.name, image, None, caption)
        if isinstance(self.mask, Path):
            mask = same_size(decode_mask(self.mask, str(self.mask)), image, str(self.mask))
            return Loaded(self.name, image, mask, caption)
        kinds = self.mask.draw((image.shape[0], image.shape[1]), str(self.image))
        mask = np.logical_or.reduce([np.zeros(image.shape[:2], bool), *kinds.values()])
        return Loaded(self.name, image, mask, caption, kinds)


class Listing(Protocol):
    """A folder as one layout reads it."""

    @property
    def others(self) -> Sequence[Path]:
        """Files that decide masks, captions or splits of many images."""
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
        """(height, width) of every image of a split."""
        ...

    def marked(self, split: str) -> Sequence[int]:
        """Indices of the images that have a mask."""
        ...

    def files(self) -> Sequence[Path]:
        """Every file that decides an image, a mask or a caption."""
        ...


@dataclass(frozen=True)
class FileListing:
    """A listing of one file an image. others: files that decide captions or masks of many."""

    records: Mapping[str, tuple[Record, ...]]
    others: tuple[Path, ...] = ()

    def counts(self) -> Mapping[str, int]:
        return {split: len(records) for split, records in self.records.items()}

    def names(self, split: str) -> Sequence[str]:
        return [record.name for record in self.records[split]]

    def load(self, split: str, indices: Sequence[int]) -> list[Loaded]:
        return [self.records[split][index].load() for index in indices]

    def shapes(self, split: str) -> Sequence[tuple[int, int]]:
        return [_shape(stamped(record.image)) for record in self.records[split]]

    def marked(self, split: str) -> Sequence[int]:
        return [i for i, record in enumerate(self.records[split]) if record.mask is not None]

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


def same_size(mask: NDArray[np.bool_], image: NDArray[np.uint8], where: str) -> NDArray[np.bool_]:
    """The mask; raises BenchkitError, naming `where`, unless it is of its image's size."""
    if mask.shape != image.shape[:2]:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (mask, image)]
        raise BenchkitError(f"{where}: a mask of {sizes[0]} for an image of {sizes[1]}: they must be of one size")
    return mask


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
