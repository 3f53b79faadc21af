"""Write files whole or not at all, also in a power cut."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from benchkit.system.paths import expand_path


def make_absolute(path: Path | str) -> Path:
    """Return the absolute path, with ~ expanded; raise BenchkitError for the home of an unknown user."""
    return expand_path(path).absolute()


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a rename survives a power cut only after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes) -> None:
    """Create `path` with `data`, durably; raises FileExistsError if something has that name."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def copy_new(source: Path, target: Path) -> None:
    """Create `target` with the bytes of the file `source`, durably; raises FileExistsError if it exists."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, length=1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, so that every reader sees the old bytes or the new ones, never a part."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        write_new(aside, data)
        aside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()
    fsync_folder(path.parent)


def read_regular(path: Path) -> bytes:
    """Return the bytes of a regular file; raises OSError for a link, a folder or a device."""
    # O_NONBLOCK: a named pipe in a cache would otherwise block the reader for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path.name} is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def compute_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
