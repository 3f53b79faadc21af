"""Files and folders that commands write: nobody's are overwritten, and what is written appears whole or not at all.

The rule: a file that is there is replaced only where the user says so (`force`). A folder must be new or empty, or hold
what the same command wrote before, which `force` replaces; other files in it stay. Names that begin with a dot do not
count. All of this is checked before the work.
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

#: Of a folder's files, how many a message names.
_NAMED = 3
#: A set of files that is complete and only has to be moved to its places; beside it, what it replaces.
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
    """Write a file whole or not at all; raises BenchkitError where it cannot be written."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise BenchkitError(f"'{path}' cannot be written: {error.strerror or error}; name another file") from None


def list_visible(folder: Path) -> list[str]:
    """The names in a folder that do not begin with a dot, sorted; none of a folder that is not there."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []


def format_names(names: Collection[str]) -> str:
    """The first of some names for a message, and how many more there are."""
    first = ", ".join(sorted(names)[:_NAMED])
    return first if len(names) <= _NAMED else f"{first} and {len(names) - _NAMED} more"


def check_folder(folder: Path, force: bool, mark: str, what: str = "an export") -> None:
    """Raise BenchkitError unless the folder is new, empty, or with `force` has `mark`, the file of an earlier call."""
    check_writable(folder, probe=False)
    there = list_visible(folder)
    if not there:
        return
    if mark not in there:
        raise BenchkitError(f"'{folder}' holds other things than {what} ({format_names(there)}): name another folder")
    if not force:
        raise BenchkitError(f"'{folder}' is not empty: name another folder, or replace {what} in it with `force`")


@contextmanager
def replace_folder(folder: Path, force: bool, mark: str, rooms: Callable[[], Collection[str]]) -> Iterator[Path]:
    """Lend a folder to fill; what is in it appears in `folder` when all went well, else nothing changes there.

    mark: the file by which an earlier call's work is known. rooms: the names in the folder that it consists of, which
    are removed. Raises BenchkitError as `check_folder`, and where the folder cannot be written.
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

    The set is written aside and then moved; a failure or an interruption leaves the earlier set as it was. Raises
    BenchkitError where the folder cannot be written.
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
    """Move a complete set of files to its places, whose moving a kill or a power cut had ended."""
    if (folder / _READY).is_dir():
        _swap(folder, folder / _READY, ())


def _swap(folder: Path, aside: Path, stale: Collection[str]) -> None:
    """Move everything in `aside` to `folder`, and what is replaced or stale away; if that fails, nothing is moved."""
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
    """Say in one line that something cannot be written to a folder."""
    try:
        yield
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> BenchkitError:
    return BenchkitError(f"cannot write to '{folder}': {error.strerror or error}; name another folder")


def check_writable(folder: Path, *, probe: bool = True) -> None:
    """Make the folder; raises BenchkitError where nothing can be written there.

    probe: without it nothing is made, and only what can be seen from outside is refused.
    """
    if folder.exists() and not folder.is_dir():
        raise BenchkitError(f"'{folder}' is a file: name a folder")
    try:
        if probe:
            _make_and_write(folder)
        else:
            _look_at(folder)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _make_and_write(folder: Path) -> None:
    mark = folder / ".benchkit-writable"
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    mark.unlink()


def _look_at(folder: Path) -> None:
    """Raises OSError where the folder, or the nearest that is there above it, is no folder or may not be written."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
