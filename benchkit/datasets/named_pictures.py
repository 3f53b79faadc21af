"""Pictures by name, out of folders, zip files and Pick-a-Pic parquet files; those that are wanted, kept aside."""

from __future__ import annotations

import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from benchkit.datasets.pictures import SUFFIXES
from benchkit.datasets.walk import files_below
from benchkit.errors import BenchkitError

#: The largest file that is taken for a picture, bytes.
PICTURE_LIMIT = 64 * 2**20
#: Longer ones are no captions.
CAPTION_LIMIT = 2**16
#: Pick-a-Pic's columns: the image's id beside its bytes.
PAIRS = (("image_0_uid", "jpg_0"), ("image_1_uid", "jpg_1"))
_BATCH = 64
#: Ids of a row group that claim to be longer than this when unpacked are not read, bytes.
IDS_LIMIT = 2**30
#: What the packers raise on damaged, encrypted or unknown streams; MemoryError: a size that nobody has.
_DAMAGED = (
    *(OSError, EOFError, RuntimeError, NotImplementedError, ValueError, MemoryError, OverflowError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


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
        """Keep a picture; raises BenchkitError where the name stands for other bytes already."""
        digest = hashlib.sha256(picture.data).hexdigest()
        before = self._places.get(picture.name)
        if before is None:
            offset = self._file.seek(0, 2)
            self._file.write(picture.data)
            place = _Place(offset, len(picture.data), digest, picture.caption, picture.origin)
            self._places[picture.name] = place
        elif before.sha256 == digest:
            self.repeated += 1
        else:
            raise BenchkitError(
                f"--images: '{picture.name}' is in {before.origin} and in {picture.origin}, with different bytes: "
                "leave one of them out"
            )

    def get(self, name: str) -> Picture:
        """The picture of this name; raises KeyError."""
        place = self._places[name]
        self._file.seek(place.offset)
        return Picture(name, self._file.read(place.length), place.caption, place.origin)


def collect(sources: Sequence[Path], wanted: Collection[str], shelf: Shelf, tick: Callable[[str], None]) -> None:
    """Put the wanted pictures of all sources on the shelf.

    A source is a folder (searched to the bottom: pictures named by their stem, zip and parquet files), a zip file or a
    parquet file. tick hears of each file that holds several. Raises BenchkitError for a source that cannot be read.
    """
    for source in sources:
        for path in _files(source):
            if path.suffix.lower() in (".zip", ".parquet"):
                tick(f"search {path.name}")
            for picture in _pictures(path, wanted):
                shelf.put(picture)


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise BenchkitError(f"--images '{source}' does not exist: name a folder, a zip file or a parquet file")
    if not source.is_dir():
        if source.suffix.lower() not in (".zip", ".parquet", *SUFFIXES):
            raise BenchkitError(f"--images '{source}': name a folder, a zip file or a parquet file")
        return [source]
    kinds = (".zip", ".parquet", *SUFFIXES)
    found = files_below(source, kinds)
    if not found:
        raise BenchkitError(f"--images '{source}' holds no picture, zip file or parquet file")
    return found


def _pictures(path: Path, wanted: Collection[str]) -> Iterator[Picture]:
    if path.suffix.lower() == ".zip":
        yield from _of_zip(path, wanted)
    elif path.suffix.lower() == ".parquet":
        yield from _of_parquet(path, wanted)
    elif path.stem in wanted:
        with _reading(path):
            data = path.read_bytes() if path.stat().st_size <= PICTURE_LIMIT else b""
        yield Picture(path.stem, data, _caption_beside(path), str(path))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (*_DAMAGED, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BenchkitError(f"--images: {path} cannot be read ({reason}): get it again") from None


def _caption_beside(path: Path) -> str | None:
    """The text file of the same stem, which some copies of the images have."""
    text = path.with_suffix(".txt")
    if not text.is_file() or text.stat().st_size > CAPTION_LIMIT:
        return None
    return text.read_text(encoding="utf-8", errors="replace").strip() or None


def _of_zip(path: Path, wanted: Collection[str]) -> Iterator[Picture]:
    """Members are read in memory, by the stem of their names alone, and no further than they may be long."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if member.is_dir() or name.suffix.lower() not in SUFFIXES or name.stem not in wanted:
                continue
            with archive.open(member) as file:
                data = file.read(PICTURE_LIMIT + 1)
            yield Picture(name.stem, data if len(data) <= PICTURE_LIMIT else b"", None, f"{path}:{member.filename}")


def _of_parquet(path: Path, wanted: Collection[str]) -> Iterator[Picture]:
    """Only the row groups that hold a wanted id are read, and of those only the columns that are needed."""
    import pyarrow.parquet as pq

    with _reading(path):
        file = pq.ParquetFile(path)
        columns = file.schema_arrow.names
        missing = [name for pair in PAIRS for name in pair if name not in columns]
        if missing:
            raise BenchkitError(
                f"--images: {path} is no Pick-a-Pic parquet file: it has no column {', '.join(missing)}"
            )
        captions = ["caption"] if "caption" in columns else []
        for group in range(file.metadata.num_row_groups):
            _check_ids(file.metadata.row_group(group), path)
            names = file.read_row_group(group, columns=[name for name, _ in PAIRS]).to_pydict()
            for name, data in PAIRS:
                if any(isinstance(one, str) and one in wanted for one in names[name]):
                    read = [name, data, *captions]
                    for batch in file.iter_batches(_BATCH, row_groups=[group], columns=read):
                        yield from _of_batch(batch.to_pylist(), (name, data), wanted, f"{path}:{data}")


def _check_ids(group: Any, path: Path) -> None:
    """A file of some kilobytes can claim gigabytes of ids."""
    columns = [group.column(i) for i in range(group.num_columns)]
    ids = [one for one in columns if one.path_in_schema in [name for name, _ in PAIRS]]
    claimed = sum(one.total_uncompressed_size for one in ids)
    if claimed > IDS_LIMIT:
        raise BenchkitError(f"--images: {path} claims {claimed} bytes of ids in a row group, the limit is {IDS_LIMIT}")


def _of_batch(
    rows: list[dict[str, object]], pair: tuple[str, str], wanted: Collection[str], origin: str
) -> Iterator[Picture]:
    for row in rows:
        name, data, caption = row[pair[0]], row[pair[1]], row.get("caption")
        if isinstance(data, dict):  # as Hugging Face's Image feature stores it
            data = data.get("bytes")
        if isinstance(name, str) and name in wanted and isinstance(data, bytes):
            text = caption.strip() if isinstance(caption, str) else ""
            yield Picture(name, data if len(data) <= PICTURE_LIMIT else b"", text or None, origin)
