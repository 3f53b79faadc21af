"""List the files below a folder: `list_files`; `walk` also returns folders, skipped files and faults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchkit.errors import BenchkitError
from benchkit.system.paths import expand_path as expand_path

#: Names, lower case, of files that operating systems and file servers leave in folders.
SYSTEM = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information")
)
HIDDEN, LEFTOVER, CIRCLE = "hidden", "of the operating system", "a link to a folder that is read already"
#: How many faults an error lists.
LISTED = 5


@dataclass(frozen=True)
class Walk:
    """The contents of a folder, by path relative to it with `/`.

    files: sorted. folders: folder -> its identity (device, inode) and the time of its last change in ns; the folder
    itself is ``. linked: folders that are links, or inside of one. skipped: path -> why. faults: what
    could not be read, one line each.
    """

    root: Path
    files: tuple[str, ...]
    folders: Mapping[str, tuple[tuple[int, int], int]]
    linked: frozenset[str]
    skipped: Mapping[str, str]
    faults: tuple[str, ...]


@dataclass
class _Walking:
    root: str
    files: list[str] = field(default_factory=list)
    folders: dict[str, tuple[tuple[int, int], int]] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    #: Folders to be read. Links are read after all of them, so that the path without a link is kept.
    unread: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    #: Identities of `root` and of every folder above it: a link to one of them is a circle.
    above: frozenset[tuple[int, int]] = frozenset()
    #: Folders that were read, by split: two splits may be links to one folder, one split contains it once.
    seen: set[tuple[str, tuple[int, int]]] = field(default_factory=set)

    def run(self) -> None:
        start = os.stat(self.root)  # noqa: PTH116  # ten thousand files: strings are several times faster than Path
        real = Path(self.root).resolve()
        self.above = frozenset(_identity(one.stat()) for one in (real, *real.parents))
        self.folders[""] = _identity(start), start.st_mtime_ns
        self._read("")
        while self.unread or self.links:
            link = not self.unread
            self._enter(self.links.pop(0) if link else self.unread.pop(), link)

    def _enter(self, relative: str, link: bool) -> None:
        found = os.stat(f"{self.root}/{relative}")  # noqa: PTH116
        key = "/".join(relative.split("/")[:2]), _identity(found)
        if key in self.seen or (link and key[1] in self.above) or (link and self._is_circle(relative, key[1])):
            self.skipped[relative] = CIRCLE
            return
        self.seen.add(key)
        self.folders[relative] = key[1], found.st_mtime_ns
        if link or relative.rpartition("/")[0] in self.linked:
            self.linked.add(relative)
        self._read(relative)

    def _is_circle(self, relative: str, identity: tuple[int, int]) -> bool:
        """Return whether a link leads to a folder that contains it."""
        while relative:
            relative = relative.rpartition("/")[0]
            if relative in self.folders and self.folders[relative][0] == identity:
                return True
        return False

    def _read(self, relative: str) -> None:
        folder = f"{self.root}/{relative}".rstrip("/") or "/"
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.faults.append(f"{folder}: {error.strerror or error}: allow reading it, or move it away")
            return
        for entry in found:
            try:
                self._sort(entry, f"{relative}/{entry.name}".lstrip("/"))
            except OSError as error:  # a link to itself, or into a folder that may not be read
                self.faults.append(f"{_escape(entry.path)}: {error.strerror or error}: fix or remove it")

    def _sort(self, entry: os.DirEntry[str], relative: str) -> None:
        if entry.name.startswith(".") or entry.name.casefold() in SYSTEM:
            self.skipped[relative] = HIDDEN if entry.name.startswith(".") else LEFTOVER
        elif not _is_text(entry.name):
            self.faults.append(f"{_escape(entry.path)}: a name that is not UTF-8: rename it")
        elif entry.is_dir():
            (self.links if entry.is_symlink() else self.unread).append(relative)
        elif entry.is_file():
            self.files.append(relative)
        elif entry.is_symlink():
            target = _escape(os.readlink(entry.path))  # noqa: PTH115
            self.faults.append(f"{entry.path}: a link to '{target}', which cannot be followed: fix or remove it")
        else:
            self.faults.append(f"{entry.path}: neither a file nor a folder: remove it")


def walk(root: Path) -> Walk:
    """Return the contents of a folder. Links are followed, except in a circle and to the same folder again.

    Folders at the top may be links to the same place. Names that begin with a dot and files of the operating system
    are skipped. Raises OSError if `root` does not exist.
    """
    walking = _Walking(os.fspath(root).rstrip("/") or "/")
    walking.run()
    return Walk(
        root,
        tuple(sorted(walking.files)),
        walking.folders,
        frozenset(walking.linked),
        walking.skipped,
        tuple(walking.faults),
    )


def list_files(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files below a folder that have one of these suffixes (lower case), sorted by name.

    Raises BenchkitError for links that cannot be followed and folders that cannot be read.
    """
    try:
        found = walk(root)
    except OSError as error:
        raise BenchkitError(f"{root}: {error.strerror or error}") from None
    raise_faults(found.faults)
    return [root / file for file in found.files if get_suffix(file) in suffixes]


def get_suffix(name: str) -> str:
    """Return a file's suffix, lower case, with its dot; empty if it has none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def raise_faults(faults: Sequence[str]) -> None:
    """Raise BenchkitError if there are faults: the first few, and how many more there are."""
    if faults:
        more = f"; and {len(faults) - LISTED} more such" if len(faults) > LISTED else ""
        raise BenchkitError("; ".join(faults[:LISTED]) + more)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape(name: str) -> str:
    """Return a name that may not be valid text as text."""
    return name.encode("utf-8", "backslashreplace").decode()
