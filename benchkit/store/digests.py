"""sha256 of large files, computed once for each state of a file and remembered beside the cache.

A state is the path, device, inode, size and both times of a file. A note that is missing, damaged or of another state
only costs the time to read the file again.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from benchkit.errors import BenchkitError
from benchkit.store.location import get_default_cache, get_local_folder
from benchkit.system.files import compute_sha256, write_atomic

#: Smaller files are read each time, bytes.
REMEMBERED_FROM = 64 * 2**20
#: A file changed less long ago is not noted: a second change might leave the same time. Seconds.
SETTLED = 2.0
_NOTE = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{64})\n")
#: State -> digest, for this process: where nothing can be written, each process still reads a file once.
_KNOWN: dict[str, str] = {}


def compute_file_digest(path: Path) -> str:
    """Return the hex sha256 of a file's bytes; read a large file only if its state is new."""
    if path.stat().st_size < REMEMBERED_FROM:
        return compute_sha256(path)
    state, note = _state(path), _note_path(path)
    known = _KNOWN.get(state) or (_read(note, state) if note else None)
    if known is not None:
        return known
    digest = compute_sha256(path)
    if not _is_settled(path) or _state(path) != state:
        return digest
    _KNOWN[state] = digest
    if note:
        # A folder that cannot be written costs time, and nothing else.
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(note, f"{digest} {_seal(state, digest)}\n".encode())
    return digest


def _note_path(path: Path) -> Path | None:
    """Return the path of the note for a file's digest; None if there is no default cache."""
    try:
        folder = get_local_folder(get_default_cache()) / "digests"
    except BenchkitError:
        return None
    return folder / hashlib.sha256(os.fsencode(path.resolve())).hexdigest()


def _state(path: Path) -> str:
    found = path.stat()
    numbers = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return f"{os.fsencode(path.resolve())!r} {numbers}"


def _is_settled(path: Path) -> bool:
    found = path.stat()
    return time.time() - max(found.st_mtime, found.st_ctime) > SETTLED


def _read(note: Path, state: str) -> str | None:
    try:
        match = _NOTE.fullmatch(note.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return match[1] if match and match[2] == _seal(state, match[1]) else None


def _seal(state: str, digest: str) -> str:
    """Return a checksum that ties a note to one state of the file and reveals damage to it."""
    return hashlib.sha256(f"{state} {digest}".encode()).hexdigest()
