"""Write the output files and folders of commands: whole or not at all, and over no other files.

An existing file is replaced only with `force`. A folder must be new or empty, or contain the output of the same
command, which `force` replaces; other files in it stay. Names that begin with a dot do not count. All of this is
checked before the work.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from benchkit.errors import BenchkitError
from benchkit.system.files import write_atomic, write_new

#: How many of a folder's files a message names.
_NAMED = 3
#: Folder of a complete set of files that only has to be moved to its place, and folder of the files it replaces.
_READY, _OLD = ".benchkit-ready", ".benchkit-replaced"


def check_file(path: Path, force: bool = False) -> None:
    """Raise BenchkitError unless a file can be written there; an existing file needs `force`."""
    if path.is_dir():
        raise BenchkitError(f"'{path}' is a folder: name a file")
    if not path.parent.is_dir():
        raise BenchkitError(f"'{path}': there is no folder '{path.parent}'")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise BenchkitError(f"'{path}': folder '{path.parent}' cannot be written; name another one")
    if os.path.lexists(path) and not force:
        raise BenchkitError(f"'{path}' exists already: name another file, or replace it with `force`")


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; raise BenchkitError if it cannot be written."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise BenchkitError(f"'{path}' cannot be written: {error.strerror or error}; name another file") from None


def list_visible(folder: Path) -> list[str]:
    """Return the names in a folder that do not begin with a dot, sorted; none if there is no folder."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []


def format_names(names: Collection[str]) -> str:
    """Return the first names for a message, and how many more there are."""
    first = ", ".join(sorted(names)[:_NAMED])
    return first if len(names) <= _NAMED else f"{first} and {len(names) - _NAMED} more"


def check_folder(folder: Path, force: bool, mark: str, what: str = "an export") -> None:
    """Raise BenchkitError unless the folder is new or empty, or has `mark`, an earlier output, and `force` is set."""
    check_writable(folder, probe=False)
    names = list_visible(folder)
    if not names:
        return
    if mark not in names:
        raise BenchkitError(f"'{folder}' contains other files than {what} ({format_names(names)}): name another folder")
    if not force:
        raise BenchkitError(f"'{folder}' is not empty: name another folder, or replace {what} in it with `force`")


@contextmanager
def replace_folder(folder: Path, force: bool, mark: str, rooms: Callable[[], Collection[str]]) -> Iterator[Path]:
    """Yield a temporary folder to fill; move its contents to `folder` at the end. After an error nothing changes.

    mark: the file that identifies an earlier output. rooms: return the names of its files, which are removed. Raises
    BenchkitError as `check_folder`, and if the folder cannot be written.
    """
    check_folder(folder, force, mark)
    absent = [one for one in (folder, *folder.parents) if not one.exists()]
    aside = folder / f".benchkit-{secrets.token_hex(6)}"
    try:
        with explain_write_errors(folder):
            aside.mkdir(parents=True)
        yield aside
        with explain_write_errors(folder):
            _swap(folder, aside, rooms() if mark in list_visible(folder) else ())
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):  # a folder that has something in it stays
            for one in absent:
                one.rmdir()


def replace_files(folder: Path, contents: Mapping[str, bytes], stale: Collection[str]) -> None:
    """Write a set of files into a folder, all or none, and remove those of an earlier set that are not in it.

    The set is written to a temporary folder and then moved; after a failure or an interruption the earlier set is
    unchanged. Raises BenchkitError if the folder cannot be written.
    """
    aside = folder / f".benchkit-{secrets.token_hex(6)}"
    try:
        with explain_write_errors(folder):
            finish_replacing(folder)
            aside.mkdir(parents=True)
            for name, data in contents.items():
                write_new(aside / name, data)
            aside.rename(folder / _READY)
            _swap(folder, folder / _READY, set(stale).difference(contents))
    except BaseException:
        for one in (aside, folder / _READY):
            shutil.rmtree(one, ignore_errors=True)
        raise


def finish_replacing(folder: Path) -> None:
    """Finish moving a complete set of files, after a kill or a power cut."""
    if (folder / _READY).is_dir():
        _swap(folder, folder / _READY, ())


def _swap(folder: Path, aside: Path, stale: Collection[str]) -> None:
    """Move everything in `aside` to `folder` and remove replaced and stale files; after a failure nothing is moved."""
    old = folder / _OLD
    shutil.rmtree(old, ignore_errors=True)
    old.mkdir()
    moved: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        moved.append((source, target))  # first: an interruption may come between the two
        source.rename(target)

    made = sorted(os.listdir(aside))  # noqa: PTH208
    try:
        for name in sorted({*made, *stale}):
            if os.path.lexists(folder / name):
                move(folder / name, old / name)
        for name in made:
            move(aside / name, folder / name)
    except BaseException:
        for source, target in reversed(moved):
            if not os.path.lexists(source):
                target.rename(source)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Raise an OSError of the work inside as BenchkitError: the folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise BenchkitError(f"cannot write to '{folder}': {error.strerror or error}; name another folder") from None


def check_writable(folder: Path, *, probe: bool = True) -> None:
    """Make the folder; raise BenchkitError if it cannot be written.

    probe: False makes nothing and checks only types and permissions.
    """
    if folder.exists() and not folder.is_dir():
        raise BenchkitError(f"'{folder}' is a file: name a folder")
    with explain_write_errors(folder):
        if probe:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".benchkit-writable").touch()
            (folder / ".benchkit-writable").unlink()
            return
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
