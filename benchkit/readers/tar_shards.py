"""Read tar shards of image and JSON pairs, local or at any URL that fsspec opens: `find_shards`, then `list_pairs`.

Nothing is extracted to disk. A shard is refused as a whole if it contains a name that leaves its folder, a link, a
device or an archive: no dataset of images needs them.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from benchkit.errors import BenchkitError
from benchkit.readers.images import SUFFIXES

#: Larger members are not read, bytes.
IMAGE_LIMIT, JSON_LIMIT = 64 * 2**20, 2**20
#: The most that tarfile may read at once: a member's header, or a long name. A malicious file claims more.
HEAD_LIMIT = 2**20
#: Suffixes of other files that are common in shards; any further suffix is reported.
COMPANIONS = (
    *(".json", ".txt", ".cls", ".npy", ".npz", ".csv", ".tsv", ".md"),
    *(".yaml", ".yml", ".xml", ".html", ".log", ""),
)
#: Why a second file of one stem and kind is not read.
REPEATED = "another file of the same name"
COMPRESSED = (".tgz", ".gz", ".bz2", ".xz", ".zst")
ARCHIVES = (".tar", ".zip", *COMPRESSED, ".7z", ".rar")


@dataclass(frozen=True, slots=True)
class Member:
    """The position of a file in a shard, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Pair:
    """An image of a shard, and its JSON and its text if there are any. name: its path in the shard, less the suffix."""

    shard: int
    name: str
    image: Member
    record: Member | None
    text: Member | None = None


@dataclass(frozen=True)
class Shard:
    """One tar file and the file system it lies in. option: by which the user named it."""

    url: str
    path: str
    system: Any
    option: str = "`shards`"

    @property
    def where(self) -> str:
        """The beginning of messages: option and URL."""
        return f"{self.option} '{self.url}'"

    def open(self) -> BinaryIO:
        """Open the shard as a seekable file."""
        with explain_read_errors(self.where):
            return self.system.open(self.path, "rb")


@contextmanager
def explain_read_errors(where: str) -> Iterator[None]:
    """Raise any error of a file system as BenchkitError of one line, beginning with `where`: option and URL."""
    try:
        yield
    except BenchkitError:
        raise
    except FileNotFoundError:
        raise BenchkitError(f"{where} does not exist: name tar files or their folder") from None
    except PermissionError:
        raise BenchkitError(f"{where}: permission denied: make it readable") from None
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise BenchkitError(f"{where} cannot be read: {reason}") from None


def find_shards(given: Sequence[str], option: str = "`shards`") -> list[Shard]:
    """Return the tar files named by files, folders and patterns, as paths or URLs; each once, sorted by name.

    Raises BenchkitError for a name that does not exist, contains no tar file, or has an unknown protocol.
    """
    from fsspec.core import url_to_fs

    found: dict[str, Shard] = {}
    for url in given:
        with explain_read_errors(f"{option} '{url}'"):
            system, path = url_to_fs(url)
            if "*" in path:
                paths = sorted(system.glob(path))
            elif path.partition("?")[0].endswith(".tar"):
                paths = [path]
                system.info(path)  # or a missing file would show only later
            elif system.isdir(path):  # never asked of a tar: over HTTP that would fetch all of it
                paths = sorted(system.glob(f"{path.rstrip('/')}/*.tar"))
            else:
                paths = [path]
                system.info(path)
        if not paths:
            raise BenchkitError(f"{option} '{url}' contains no *.tar file")
        for one in paths:
            name = str(one) if len(paths) > 1 or one != path else url
            found.setdefault(str(one), Shard(name, str(one), system, option))
    return [found[path] for path in sorted(found)]


def list_pairs(number: int, shard: Shard, skipped: list[tuple[str, str]]) -> Iterator[Pair]:
    """Yield the images of one shard, after all its headers were read and checked.

    number: the shard's, for Pair. skipped: gets (reason, name) of members that are not read. Raises BenchkitError for a
    shard that is refused, truncated, or no plain tar file.
    """
    rooms: dict[str, dict[str, Member]] = {"image": {}, ".json": {}, ".txt": {}}
    if (packed := PurePosixPath(shard.path).suffix.lower()) in COMPRESSED:
        raise BenchkitError(f"{shard.where} is compressed ({packed}): unpack it to a plain tar file first")
    with shard.open() as file:
        for member in _members(shard.where, file):
            stem, suffix = _split_name(shard.where, member)
            kind, where = "image" if suffix in SUFFIXES else suffix, f"{shard.url}: {member.name}"
            if kind not in rooms:
                if suffix not in COMPANIONS:
                    skipped.append(("a suffix that is not read", where))
            elif member.size > (IMAGE_LIMIT if kind == "image" else JSON_LIMIT):
                skipped.append(("too large" if kind == "image" else "record too large, not read", where))
            elif rooms[kind].setdefault(stem, Member(member.offset_data, member.size)).offset != member.offset_data:
                skipped.append((REPEATED, where))
    for stem, image in rooms["image"].items():
        yield Pair(number, stem, image, rooms[".json"].get(stem), rooms[".txt"].get(stem))


class _HeaderFile:
    """A shard from which only headers are read; a header that claims to be longer is refused before it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEAD_LIMIT:
            raise tarfile.ReadError(f"a head of {size} bytes, the limit is {HEAD_LIMIT}")
        return self._file.read(size)


def _members(where: str, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield every file of a tar, from its header."""
    try:
        with tarfile.open(fileobj=cast(BinaryIO, _HeaderFile(file)), mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise BenchkitError(f"{where}: '{member.name}' is a link or a device: not read at all")
                yield member
            end = tar.offset
        # tarfile takes a damaged header for the end. The real end is a block of zeros, or nothing.
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise BenchkitError(f"{where} is damaged at byte {end}: get it again")
    except (tarfile.TarError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BenchkitError(f"{where} is not a plain tar file, or is damaged ({reason}): get it again") from None
    except (OSError, ValueError, LookupError) as error:
        raise BenchkitError(f"{where} cannot be read: {' '.join(str(error).split())[:160]}") from None


def _split_name(where: str, member: tarfile.TarInfo) -> tuple[str, str]:
    """Return a member's path without suffix, and the suffix in lower case; raise BenchkitError for a dangerous name."""
    path = PurePosixPath(member.name)
    if not path.name or member.size < 0:
        raise BenchkitError(f"{where}: a file without a name or a size: get it again")
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise BenchkitError(f"{where}: '{member.name}' leaves the archive: not read at all")
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        raise BenchkitError(f"{where}: '{member.name}' is an archive in an archive: not read at all")
    return str(path.with_suffix("")), suffix


class ShardReader:
    """Reads members of many shards; each shard is opened once. A context manager."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._open: dict[int, BinaryIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, shard: int) -> str:
        """Return the URL of a shard."""
        return self._shards[shard].url

    def read(self, shard: int, member: Member) -> bytes:
        """Return the bytes of a member; raise BenchkitError if the shard is shorter than before."""
        where = self._shards[shard].where
        if shard not in self._open:
            self._open[shard] = self._stack.enter_context(self._shards[shard].open())
        with explain_read_errors(where):
            self._open[shard].seek(member.offset)
            data = self._open[shard].read(member.size)
        if len(data) != member.size:
            raise BenchkitError(f"{where} became shorter while it was read: get it again")
        return data
