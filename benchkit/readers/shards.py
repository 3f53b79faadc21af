"""Tar shards of image and JSON pairs, local or at any URL that fsspec opens: looked through once, read in memory only.

Nothing is ever extracted. A shard with a name that leaves its folder, a link, a device or an archive inside is refused
as a whole: nobody packs images so.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from benchkit.errors import BenchkitError
from benchkit.readers.pictures import SUFFIXES

#: Larger members are not read, bytes.
IMAGE_LIMIT, JSON_LIMIT = 64 * 2**20, 2**20
#: What tarfile reads at once: a member's head, or a name too long for one. A bomb claims more.
HEAD_LIMIT = 2**20
#: What stands beside images in a shard and is no image; anything else that is not read is named.
COMPANIONS = (
    ".json",
    ".txt",
    ".cls",
    ".npy",
    ".npz",
    ".csv",
    ".tsv",
    ".md",
    ".yaml",
    ".yml",
    ".xml",
    ".html",
    ".log",
    "",
)
#: Why a second file of one stem and kind is not read.
REPEATED = "another file of the same name"
COMPRESSED = (".tgz", ".gz", ".bz2", ".xz", ".zst")
ARCHIVES = (".tar", ".zip", *COMPRESSED, ".7z", ".rar")


@dataclass(frozen=True, slots=True)
class Member:
    """Where a file lies inside a shard."""

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
        """What a message begins with."""
        return f"{self.option} '{self.url}'"

    def open(self) -> BinaryIO:
        """The shard as a file that can seek."""
        with reaching(self.where):
            return self.system.open(self.path, "rb")


@contextmanager
def reaching(where: str) -> Iterator[None]:
    """Whatever a file system raises, as one line that begins with `where`: the option and the URL."""
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
    """The tar files named: files, folders and patterns, as paths or URLs; each once, in order of their names.

    Raises BenchkitError for what is not there, holds no tar file, or has a protocol that cannot be opened.
    """
    from fsspec.core import url_to_fs

    found: dict[str, Shard] = {}
    for url in given:
        with reaching(f"{option} '{url}'"):
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
            raise BenchkitError(f"{option} '{url}' holds no *.tar file")
        for one in paths:
            name = str(one) if len(paths) > 1 or one != path else url
            found.setdefault(str(one), Shard(name, str(one), system, option))
    return [found[path] for path in sorted(found)]


def pairs_of(number: int, shard: Shard, left: list[tuple[str, str]]) -> Iterator[Pair]:
    """The images of one shard, after all of its heads were read and found harmless.

    number: the shard's, for Pair. left: where (reason, name) of members go that are not read. Raises BenchkitError for
    a shard that is refused, truncated, or no plain tar file.
    """
    rooms: dict[str, dict[str, Member]] = {"image": {}, ".json": {}, ".txt": {}}
    if (packed := PurePosixPath(shard.path).suffix.lower()) in COMPRESSED:
        raise BenchkitError(f"{shard.where} is compressed ({packed}): unpack it to a plain tar file first")
    with shard.open() as file:
        for member in _members(shard.where, file):
            stem, suffix = _named(shard.where, member)
            kind, where = "image" if suffix in SUFFIXES else suffix, f"{shard.url}: {member.name}"
            if kind not in rooms:
                if suffix not in COMPANIONS:
                    left.append(("a suffix that is not read", where))
            elif member.size > (IMAGE_LIMIT if kind == "image" else JSON_LIMIT):
                left.append(("too large" if kind == "image" else "record too large, not read", where))
            elif rooms[kind].setdefault(stem, Member(member.offset_data, member.size)).offset != member.offset_data:
                left.append((REPEATED, where))
    for stem, image in rooms["image"].items():
        yield Pair(number, stem, image, rooms[".json"].get(stem), rooms[".txt"].get(stem))


class _Heads:
    """A shard from which only heads are read: what a head claims to be longer is refused before it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEAD_LIMIT:
            raise tarfile.ReadError(f"a head of {size} bytes, the limit is {HEAD_LIMIT}")
        return self._file.read(size)


def _members(where: str, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Every file of a tar, by its head alone."""
    try:
        with tarfile.open(fileobj=cast(BinaryIO, _Heads(file)), mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise BenchkitError(f"{where}: '{member.name}' is a link or a device: not read at all")
                yield member
            end = tar.offset
        # tarfile takes a damaged head for the end; the end is a block of zeros, or nothing.
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise BenchkitError(f"{where} is damaged at byte {end}: get it again")
    except (tarfile.TarError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BenchkitError(f"{where} is no plain tar file, or is damaged ({reason}): get it again") from None
    except (OSError, ValueError, LookupError) as error:
        raise BenchkitError(f"{where} cannot be read: {' '.join(str(error).split())[:160]}") from None


def _named(where: str, member: tarfile.TarInfo) -> tuple[str, str]:
    """A member's path without its suffix, and the suffix, lower case; raises BenchkitError for a dangerous name."""
    path = PurePosixPath(member.name)
    if not path.name or member.size < 0:
        raise BenchkitError(f"{where}: a file without a name or a size: get it again")
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise BenchkitError(f"{where}: '{member.name}' leaves the archive: not read at all")
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        raise BenchkitError(f"{where}: '{member.name}' is an archive in an archive: not read at all")
    return str(path.with_suffix("")), suffix


class Reading:
    """Members of many shards; each shard is opened once. A context manager."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._open: dict[int, BinaryIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, shard: int) -> str:
        """Where a shard lies."""
        return self._shards[shard].url

    def read(self, shard: int, member: Member) -> bytes:
        """The bytes of a member."""
        where = self._shards[shard].where
        if shard not in self._open:
            self._open[shard] = self._stack.enter_context(self._shards[shard].open())
        with reaching(where):
            self._open[shard].seek(member.offset)
            data = self._open[shard].read(member.size)
        if len(data) != member.size:
            raise BenchkitError(f"{where} became shorter while it was read: get it again")
        return data
