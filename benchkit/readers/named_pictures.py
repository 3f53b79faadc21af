"""Pictures by name, out of folders, zip and tar files, Parquet and Arrow tables; those that are wanted, kept aside."""

from __future__ import annotations

import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from benchkit.errors import BenchkitError
from benchkit.readers import named_tables, shards
from benchkit.readers.named_tables import Columns, Pair, Table, bytes_of, picture_columns
from benchkit.readers.pictures import SUFFIXES
from benchkit.readers.walk import files_below

#: The largest file that is taken for a picture, bytes.
PICTURE_LIMIT = 64 * 2**20
#: Longer ones are no captions.
CAPTION_LIMIT = 2**16
#: Files that hold several pictures.
MANY = (".zip", ".tar", *named_tables.SUFFIXES)
KINDS = "a folder, or a zip, tar, parquet or arrow file"
#: What the packers raise on damaged, encrypted or unknown streams; MemoryError: a size that nobody has.
_DAMAGED = (
    *(OSError, EOFError, RuntimeError, NotImplementedError, ValueError, MemoryError, OverflowError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)

Tick = Callable[[str], None]


@dataclass(frozen=True)
class Picture:
    """An encoded picture, its caption if there is one, and where it was found."""

    name: str
    data: bytes
    caption: str | None
    origin: str


@dataclass(frozen=True)
class _Place:
    offset: int
    length: int
    sha256: str
    caption: str | None
    origin: str


class Shelf:
    """Pictures that were found, in one scratch file; each name once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, _Place] = {}
        #: How often a picture came again with the same bytes.
        self.repeated = 0

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def put(self, picture: Picture) -> None:
        """Keep a picture, or the caption of one that is kept without; raises BenchkitError where the name stands for
        other bytes already."""
        digest = hashlib.sha256(picture.data).hexdigest()
        before = self._places.get(picture.name)
        if before is None:
            offset = self._file.seek(0, 2)
            self._file.write(picture.data)
            place = _Place(offset, len(picture.data), digest, picture.caption, picture.origin)
            self._places[picture.name] = place
        elif before.sha256 == digest:
            self.repeated += 1
            self._places[picture.name] = replace(before, caption=before.caption or picture.caption)
        else:
            raise BenchkitError(
                f"`images`: '{picture.name}' is in {before.origin} and in {picture.origin}, with different bytes: "
                "leave one of them out"
            )

    def get(self, name: str) -> Picture:
        """The picture of this name; raises KeyError."""
        place = self._places[name]
        self._file.seek(place.offset)
        return Picture(name, self._file.read(place.length), place.caption, place.origin)


def collect(
    sources: Sequence[Path], wanted: Collection[str], shelf: Shelf, tick: Tick, columns: Columns | None = None
) -> None:
    """Put the wanted pictures of all sources on the shelf.

    A source is a folder (searched to the bottom, links followed: pictures named by their stem, and files of several),
    or a zip, tar, parquet or arrow file. columns: what tables call ids, pictures and captions. tick hears of each file
    that holds several. Raises BenchkitError for a source that cannot be read, and for a table without pictures, but
    in a folder that holds others.
    """
    for source in sources:
        files = _files(source)
        without: list[Path] = []
        for path in files:
            if path.suffix.lower() in MANY:
                tick(f"search {path.name}")
            for picture in _pictures(path, wanted, columns or Columns(), without):
                shelf.put(picture)
        if len(without) == len(files):
            raise _without_pictures(without[0])
        for path in without:
            tick(f"passed over {path.name}: it has no column of pictures")


def _without_pictures(path: Path) -> BenchkitError:
    with named_tables.reading(f"`images`: {path}"):
        names = Table(path).names
    return BenchkitError(
        f"`images`: {path} has no columns of pictures and their ids that are known, it has {', '.join(names)}: name "
        "them with `columns` image=NAME,id=NAME"
    )


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise BenchkitError(f"`images` '{source}' does not exist: name {KINDS}")
    kinds = (*MANY, *SUFFIXES)
    if not source.is_dir():
        if source.suffix.lower() not in kinds:
            raise BenchkitError(f"`images` '{source}': name {KINDS}")
        return [source]
    found = files_below(source, kinds)
    if not found:
        raise BenchkitError(f"`images` '{source}' holds no picture and no zip, tar, parquet or arrow file")
    return found


def _pictures(path: Path, wanted: Collection[str], columns: Columns, without: list[Path]) -> Iterator[Picture]:
    """The wanted pictures of one file. without: where a table goes that has none at all."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        yield from _of_zip(path, wanted)
    elif suffix == ".tar":
        yield from _of_tar(path, wanted)
    elif suffix in named_tables.SUFFIXES:
        with named_tables.reading(f"`images`: {path}"):
            table = Table(path)
            pairs = picture_columns(table, columns)
            if not pairs:
                without.append(path)
            for pair in pairs:
                yield from _of_table(table, pair, wanted)
    elif path.stem in wanted:
        with _reading(path):
            data = path.read_bytes() if path.stat().st_size <= PICTURE_LIMIT else b""
        yield Picture(path.stem, data, _caption_beside(path), str(path))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise BenchkitError(f"`images`: {path}: permission denied: make the file readable") from None
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BenchkitError(f"`images`: {path} cannot be read ({reason}): get it again") from None


def _caption_beside(path: Path) -> str | None:
    """The text file of the same stem, which some copies of the images have."""
    for text in (path.with_suffix(".txt"), path.with_suffix(".TXT")):
        if text.is_file() and text.stat().st_size <= CAPTION_LIMIT:
            with _reading(text):
                return _caption(text.read_bytes())
    return None


def _caption(data: bytes | str | None) -> str | None:
    # Editors on Windows put a mark before the first letter, which is none of the caption's.
    text = data.decode("utf-8-sig", "replace") if isinstance(data, bytes) else data
    return (text or "").strip() or None


def _of_zip(path: Path, wanted: Collection[str]) -> Iterator[Picture]:
    """Members are read in memory, by the stem of their names alone, and no further than they may be long."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        names = [one for one in archive.infolist() if one.filename.lower().endswith(".txt")]
        texts = {one.filename[: -len(".txt")]: one for one in names}
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if member.is_dir() or name.suffix.lower() not in SUFFIXES or name.stem not in wanted:
                continue
            with archive.open(member) as file:
                data = file.read(PICTURE_LIMIT + 1)
            text, caption = texts.get(member.filename[: -len(name.suffix)]), b""
            if text is not None and text.file_size <= CAPTION_LIMIT:
                with archive.open(text) as file:
                    caption = file.read(CAPTION_LIMIT)
            origin = f"{path}:{member.filename}"
            yield Picture(name.stem, data if len(data) <= PICTURE_LIMIT else b"", _caption(caption), origin)


def _of_tar(path: Path, wanted: Collection[str]) -> Iterator[Picture]:
    """As shards are read: heads first, in memory only, and nothing from an archive with links or odd names."""
    (shard,) = shards.find_shards([str(path)], "`images`")
    left: list[tuple[str, str]] = []
    with shards.Reading([shard]) as archive:
        for pair in shards.pairs_of(0, shard, left):
            name = PurePosixPath(pair.name).name
            # The list is whole at the first pair: all heads are read before it.
            for reason, where in left:
                member = PurePosixPath(where.removeprefix(f"{shard.url}: "))
                if reason == shards.REPEATED and member.stem in wanted and member.suffix.lower() in SUFFIXES:
                    raise BenchkitError(
                        f"`images`: {where}: another picture there has this name too: leave one of them out"
                    )
            left.clear()
            if name in wanted:
                small = pair.text is not None and pair.text.size <= CAPTION_LIMIT
                caption = archive.read(0, pair.text) if pair.text and small else None
                yield Picture(name, archive.read(0, pair.image), _caption(caption), f"{path}:{pair.name}")


def _of_table(table: Table, pair: Pair, wanted: Collection[str]) -> Iterator[Picture]:
    """Only the groups of rows that hold a wanted id are read, and of those only the columns that are needed."""
    keys = list(pair.ids) or [pair.image]
    for group in table.groups(pair.ids):
        if any(_name(row, pair, wanted) for row in group.rows(keys)):
            read = [*keys, pair.image, *([pair.caption] if pair.caption else [])]
            for row in group.rows(list(dict.fromkeys(read))):
                name, data = _name(row, pair, wanted), bytes_of(row[pair.image])
                if name and data is not None:
                    caption = row[pair.caption] if pair.caption else None
                    data = data if len(data) <= PICTURE_LIMIT else b""
                    yield Picture(name, data, _caption(caption), f"{table.path}:{pair.image}")


def _name(row: dict[str, Any], pair: Pair, wanted: Collection[str]) -> str | None:
    """The wanted id that a row is of: in one of its columns, as it stands or as a path's stem."""
    values = [row[key] for key in pair.ids]
    if not values and isinstance(row[pair.image], dict):
        values = [row[pair.image].get("path")]
    for value in values:
        if isinstance(value, str):
            for name in (value, PurePosixPath(value).stem):
                if name in wanted:
                    return name
    return None
