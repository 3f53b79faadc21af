"""Collect the images of given ids from folders, zip and tar files, Parquet and Arrow tables: `collect_images`.

Use it when labels and images are published apart.
"""

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
from benchkit.readers import tables, tar_shards
from benchkit.readers.images import SUFFIXES
from benchkit.readers.tables import Columns, Pair, Table, find_image_columns, get_bytes
from benchkit.readers.walk import list_files

#: The largest image file, bytes.
PICTURE_LIMIT = 64 * 2**20
#: The longest caption, bytes.
CAPTION_LIMIT = 2**16
#: Files that contain several images.
MANY = (".zip", ".tar", *tables.SUFFIXES)
KINDS = "a folder, or a zip, tar, parquet or arrow file"
#: Errors of the archive libraries for damaged, encrypted or unknown streams; MemoryError for an absurd size.
_DAMAGED = (
    *(OSError, EOFError, RuntimeError, NotImplementedError, ValueError, MemoryError, OverflowError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)

Tick = Callable[[str], None]


@dataclass(frozen=True)
class NamedImage:
    """An encoded image, its caption if there is one, and its origin."""

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


class ImageStore:
    """Stores images in one scratch file, each name once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, _Place] = {}
        #: How often an image was added again with the same bytes.
        self.repeated = 0

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def put(self, picture: NamedImage) -> None:
        """Add an image, or the caption that a stored one lacks; raise BenchkitError if the name has other bytes."""
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
                "remove one of them"
            )

    def get(self, name: str) -> NamedImage:
        """Return the image of this name; raise KeyError."""
        place = self._places[name]
        self._file.seek(place.offset)
        return NamedImage(name, self._file.read(place.length), place.caption, place.origin)


def collect_images(
    sources: Sequence[Path], wanted: Collection[str], store: ImageStore, tick: Tick, columns: Columns | None = None
) -> None:
    """Add the images with the ids `wanted` of all sources to a store.

    sources: folders (searched at any depth, links followed; an image's id is the stem of its file) or zip, tar, parquet
    or arrow files. columns: the tables' names of ids, images and captions. tick: called with each file of several
    images. Raises BenchkitError for a source that cannot be read, and for a table without images unless its folder has
    others.
    """
    for source in sources:
        files = _list_source(source)
        without: list[Path] = []
        for path in files:
            if path.suffix.lower() in MANY:
                tick(f"search {path.name}")
            for picture in _read_file(path, wanted, columns or Columns(), without):
                store.put(picture)
        if len(without) == len(files):
            raise _explain_no_images(without[0])
        for path in without:
            tick(f"skipped {path.name}: it has no column of images")


def _explain_no_images(path: Path) -> BenchkitError:
    with tables.explain_table_errors(f"`images`: {path}"):
        names = Table(path).names
    return BenchkitError(
        f"`images`: {path} has no known columns of images and ids, it has {', '.join(names)}: name "
        "them with `columns` image=NAME,id=NAME"
    )


def _list_source(source: Path) -> list[Path]:
    if not source.exists():
        raise BenchkitError(f"`images` '{source}' does not exist: name {KINDS}")
    kinds = (*MANY, *SUFFIXES)
    if not source.is_dir():
        if source.suffix.lower() not in kinds:
            raise BenchkitError(f"`images` '{source}': name {KINDS}")
        return [source]
    found = list_files(source, kinds)
    if not found:
        raise BenchkitError(f"`images` '{source}' contains no image and no zip, tar, parquet or arrow file")
    return found


def _read_file(path: Path, wanted: Collection[str], columns: Columns, without: list[Path]) -> Iterator[NamedImage]:
    """Yield the wanted images of one file. without: gets a table without images."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        yield from _read_zip(path, wanted)
    elif suffix == ".tar":
        yield from _read_tar(path, wanted)
    elif suffix in tables.SUFFIXES:
        with tables.explain_table_errors(f"`images`: {path}"):
            table = Table(path)
            pairs = find_image_columns(table, columns)
            if not pairs:
                without.append(path)
            for pair in pairs:
                yield from _read_table(table, pair, wanted)
    elif path.stem in wanted:
        with _explain_errors(path):
            data = path.read_bytes() if path.stat().st_size <= PICTURE_LIMIT else b""
        yield NamedImage(path.stem, data, _read_caption_file(path), str(path))


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise BenchkitError(f"`images`: {path}: permission denied: make the file readable") from None
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BenchkitError(f"`images`: {path} cannot be read ({reason}): get it again") from None


def _read_caption_file(path: Path) -> str | None:
    """Return the text of the file of the same stem, if there is one."""
    for text in (path.with_suffix(".txt"), path.with_suffix(".TXT")):
        if text.is_file() and text.stat().st_size <= CAPTION_LIMIT:
            with _explain_errors(text):
                return _clean_caption(text.read_bytes())
    return None


def _clean_caption(data: bytes | str | None) -> str | None:
    # Editors on Windows put a byte order mark before the first letter.
    text = data.decode("utf-8-sig", "replace") if isinstance(data, bytes) else data
    return (text or "").strip() or None


def _read_zip(path: Path, wanted: Collection[str]) -> Iterator[NamedImage]:
    """Yield the wanted images of a zip file. Members are read in memory, up to their limit; paths are not used."""
    with _explain_errors(path), zipfile.ZipFile(path) as archive:
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
            yield NamedImage(name.stem, data if len(data) <= PICTURE_LIMIT else b"", _clean_caption(caption), origin)


def _read_tar(path: Path, wanted: Collection[str]) -> Iterator[NamedImage]:
    """Yield the wanted images of a tar file, read as a shard: an archive with links or dangerous names is refused."""
    (shard,) = tar_shards.find_shards([str(path)], "`images`")
    skipped: list[tuple[str, str]] = []
    with tar_shards.ShardReader([shard]) as archive:
        for pair in tar_shards.list_pairs(0, shard, skipped):
            name = PurePosixPath(pair.name).name
            # The list is complete at the first pair: all headers are read before.
            for reason, where in skipped:
                member = PurePosixPath(where.removeprefix(f"{shard.url}: "))
                if reason == tar_shards.REPEATED and member.stem in wanted and member.suffix.lower() in SUFFIXES:
                    raise BenchkitError(f"`images`: {where}: another image there has this name too: remove one of them")
            skipped.clear()
            if name in wanted:
                small = pair.text is not None and pair.text.size <= CAPTION_LIMIT
                caption = archive.read(0, pair.text) if pair.text and small else None
                yield NamedImage(name, archive.read(0, pair.image), _clean_caption(caption), f"{path}:{pair.name}")


def _read_table(table: Table, pair: Pair, wanted: Collection[str]) -> Iterator[NamedImage]:
    """Yield the wanted images of a table; read only groups of rows with a wanted id, and only the needed columns."""
    keys = list(pair.ids) or [pair.image]
    for group in table.groups(pair.ids):
        if any(_find_id(row, pair, wanted) for row in group.rows(keys)):
            read = [*keys, pair.image, *([pair.caption] if pair.caption else [])]
            for row in group.rows(list(dict.fromkeys(read))):
                name, data = _find_id(row, pair, wanted), get_bytes(row[pair.image])
                if name and data is not None:
                    caption = row[pair.caption] if pair.caption else None
                    data = data if len(data) <= PICTURE_LIMIT else b""
                    yield NamedImage(name, data, _clean_caption(caption), f"{table.path}:{pair.image}")


def _find_id(row: dict[str, Any], pair: Pair, wanted: Collection[str]) -> str | None:
    """Return the wanted id of a row: a value of its id columns, or the stem of a path there."""
    values = [row[key] for key in pair.ids]
    if not values and isinstance(row[pair.image], dict):
        values = [row[pair.image].get("path")]
    for value in values:
        if isinstance(value, str):
            for name in (value, PurePosixPath(value).stem):
                if name in wanted:
                    return name
    return None
