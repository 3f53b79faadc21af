"""The artifact store: it maps a key to a small set of files, written once, complete and with checksums.

Under the root: VERSION; objects/ab/cdef…/ (committed; manifest.json carries size and SHA-256 of every file and of
itself); staging/ (being written); work/ (scratch folders of running stages, with their locks); discarded/ (found
damaged); runs/ (which keys a run rests on, see `pins`). A folder enters objects/ by one rename and leaves it by one
rename, so that no reader meets a part of one.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from benchkit.errors import BenchkitError
from benchkit.store.encoding import arrays_from_bytes, arrays_to_bytes, json_to_bytes, parse_json
from benchkit.store.location import Location, get_default_cache
from benchkit.store.manifest import (
    MANIFEST,
    SCHEMA,
    Artifact,
    DamagedResult,
    FileEntry,
    is_file_name,
    load_artifact,
    manifest_bytes,
)
from benchkit.system.files import (
    compute_sha256,
    copy_new,
    fsync_folder,
    make_absolute,
    read_regular,
    write_atomic,
    write_new,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = [
    "Artifact",
    "ArtifactBusy",
    "ArtifactStore",
    "CacheUnwritable",
    "DamagedResult",
    "Pruned",
    "arrays_from_bytes",
    "arrays_to_bytes",
    "get_default_cache",
    "parse_json",
    "json_to_bytes",
]

ROOMS = ("objects", "staging", "work", "discarded")
TOUCH_AFTER = 3600.0  # seconds; "last used" is kept to the hour, so that asking for an artifact rarely writes
ABANDONED_AFTER = 3600.0  # seconds without a change after which a staging folder is a dead process's
RENAME_ATTEMPTS = 5

_KEY = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class CacheUnwritable(BenchkitError):
    """The cache cannot be written, or its disk is full. No further result could be stored either."""


class ArtifactBusy(BenchkitError):
    """Another process is still computing this artifact at the end of the timeout."""


@dataclass(frozen=True)
class Pruned:
    """What `prune` removed, or would remove: artifacts and the bytes they held."""

    keys: tuple[str, ...]
    size: int


class ArtifactStore:
    """Maps a key (a hex SHA-256) to files, in a folder that any number of processes may share. Can be pickled."""

    def __init__(self, root: Path | str, *, create: bool = True) -> None:
        """Open the store in `root`. Without `create` the folder may be missing; the store is then empty.

        Raises BenchkitError if the folder cannot be written, or was written by another version of the cache.
        """
        self.root = make_absolute(root)
        self.location: Location = self.root
        with explain_unwritable(self.root):
            if create:
                self.root.mkdir(parents=True, exist_ok=True)
            self._check_version(create=create)
            if create:
                for room in ROOMS:
                    (self.root / room).mkdir(exist_ok=True)
                if not os.access(self.root / "staging", os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                self._sweep_staging()

    def has(self, key: str) -> bool:
        """Return whether `key` is committed and its files have the right names and sizes; contents are not read."""
        try:
            self.open(key)
        except DamagedResult:
            return False
        return True

    def open(self, key: str) -> Artifact:
        """Return the artifact of `key`; raises DamagedResult if it is missing or visibly damaged."""
        artifact = self._load(key)
        if time.time() - artifact.used > TOUCH_AFTER:
            self._touch(artifact)
        return artifact

    def write(self, key: str, files: Mapping[str, bytes | Path], meta: Mapping[str, Any] | None = None) -> Artifact:
        """Commit `files` (bytes, or paths to copy) under `key`, all or nothing, and drop the key's scratch folder.

        If another process committed the key first and its files are sound, theirs are kept. Raises BenchkitError
        when the folder cannot be written or the disk is full; the key is then as it was, or committed whole.
        """
        target = self.folder(key)
        for name, content in files.items():
            if not is_file_name(name):
                raise ValueError(f"'{name}' cannot name a file of an artifact")
            if isinstance(content, Path) and not content.is_file():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(content))
        with explain_unwritable(self.root):
            staged = self.root / "staging" / f"{key[:16]}-{secrets.token_hex(8)}"
            try:
                _stage(staged, key, files, meta or {})
                self._commit(staged, key, target)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
            shutil.rmtree(self.root / "work" / key, ignore_errors=True)
        return self.open(key)

    def discard(self, key: str) -> bool:
        """Move what `key` holds to `discarded/`, where `prune` deletes it; return False if it held nothing."""
        folder = self.folder(key)
        with explain_unwritable(self.root):
            try:
                folder.rename(self.root / "discarded" / f"{key}-{secrets.token_hex(4)}")
            except FileNotFoundError:
                return False
        return True

    @contextmanager
    def lease(self, key: str, *, timeout: float | None = None) -> Iterator[None]:
        """Lease `key` to this thread, so that nobody else computes it; the thread may lease the same key again inside.

        Waits while another process holds the lease, at most `timeout` seconds; then raises ArtifactBusy. After the
        wait, call `has` again. The system releases the lease when its holder dies.
        """
        lock = self._lock(key)
        with explain_unwritable(self.root):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if timeout != 0:
                    _log.info("another process is computing %s: waiting for it", key[:12])
                try:
                    lock.acquire(timeout=-1 if timeout is None else timeout)
                except Timeout:
                    raise ArtifactBusy(f"another process is still computing artifact {key[:12]}") from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def workdir(self, key: str, *, timeout: float | None = None) -> Iterator[Path]:
        """Lease `key` and yield its scratch folder, which is the same again after a crash.

        Waits and raises as `lease` does. `write` removes the folder when it commits the key.
        """
        folder = self.root / "work" / check_key(key)
        with self.lease(key, timeout=timeout):
            with explain_unwritable(self.root):
                folder.mkdir(exist_ok=True)
            yield folder

    def keys(self) -> Iterator[str]:
        """Yield every key that has a folder in the store, sound or not, sorted."""
        for folder in sorted((self.root / "objects").glob("??/*")):
            if is_key(key := folder.parent.name + folder.name):
                yield key

    def ls(self) -> Iterator[Artifact]:
        """Yield every committed artifact that is not visibly damaged, sorted by key."""
        for key in self.keys():
            with suppress(DamagedResult):
                yield self._load(key)

    def verify(self) -> Iterator[tuple[str, DamagedResult | None]]:
        """Read every artifact and yield its key and what is wrong with it, or None."""
        for key in self.keys():
            try:
                self._load(key).verify()
            except DamagedResult as damage:
                yield key, damage
            else:
                yield key, None

    def prune(
        self,
        *,
        keep: Collection[str] | None = None,
        older_than: float | None = None,
        max_size: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Delete what is damaged, discarded or abandoned, and the sound artifacts that the arguments select.

        keep: keys to keep; given alone, all others are deleted. older_than: seconds since the last use. max_size: bytes
        that may remain; the least recently used are deleted first. dry_run: only return what would be deleted.
        """
        sound = sorted(self.ls(), key=lambda artifact: (artifact.used, artifact.key))
        selected, remaining, now = [], sum(artifact.size for artifact in sound), time.time()
        all_others = keep is not None and older_than is None and max_size is None
        for artifact in sound:
            too_old = older_than is not None and now - artifact.used > older_than
            too_much = max_size is not None and remaining > max_size
            if artifact.key not in (keep or ()) and (all_others or too_old or too_much):
                selected.append(artifact)
                remaining -= artifact.size
        if not dry_run:
            unsound = set(self.keys()) - {artifact.key for artifact in sound}
            for key in (*unsound, *(artifact.key for artifact in selected)):
                self.discard(key)
            self._sweep(older_than)
        return Pruned(tuple(artifact.key for artifact in selected), sum(artifact.size for artifact in selected))

    def folder(self, key: str) -> Path:
        """Return the folder of the artifact of `key`, whether it exists or not."""
        return self.root / "objects" / check_key(key)[:2] / key[2:]

    def _load(self, key: str) -> Artifact:
        """Return the artifact of `key` without counting that as use."""
        return load_artifact(key, self.folder(key))

    def _touch(self, artifact: Artifact) -> None:
        with suppress(OSError):  # a cache that can only be read keeps no record of use
            os.utime(artifact.folder / MANIFEST)

    def _lock(self, key: str) -> FileLock:
        # One object a path: the holder of a lease may lease again, and a stage may ask for its scratch folder.
        return FileLock(self.root / "work" / f"{check_key(key)}.lock", is_singleton=True)

    def _check_version(self, *, create: bool) -> None:
        version, expected = self.root / "VERSION", f"benchkit-cache {SCHEMA}"
        found = _first_line(version)
        if found is None and any((self.root / room).exists() for room in ROOMS):
            found = _first_line(version) or "none"  # read it again: another process may just have created it
        if found is None and create:
            write_atomic(version, f"{expected}\n".encode())
        elif found not in (None, expected):
            raise BenchkitError(
                f"the cache {self.root} was written by another version (its VERSION: {found!r}, needed: {expected!r}): "
                "set BENCHKIT_CACHE to another folder, or remove that one"
            )

    def _commit(self, staged: Path, key: str, target: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        for _ in range(RENAME_ATTEMPTS):
            try:
                staged.rename(target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
                try:
                    load_artifact(key, target).verify()
                except DamagedResult as damage:
                    _log.warning("%s", damage)
                    self.discard(key)
                else:
                    return  # another process won: its files answer the same key
            else:
                fsync_folder(target.parent)
                fsync_folder(target.parent.parent)
                return
        raise BenchkitError(
            f"cannot commit artifact {key[:12]}: other processes keep writing to its folder in {self.root}"
        )

    def _sweep_staging(self) -> None:
        for folder in (self.root / "staging").iterdir():
            if _idle_seconds(folder) > ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self, older_than: float | None) -> None:
        with explain_unwritable(self.root):
            self._sweep_staging()
            for entry in (self.root / "discarded").iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
            self._sweep_work(older_than)

    def _sweep_work(self, older_than: float | None) -> None:
        for lock in (self.root / "work").glob("*.lock"):
            scratch = lock.with_suffix("")
            if not is_key(scratch.name):
                continue
            # A free lock means that nobody works there. The folder may still hold a checkpoint worth keeping.
            with suppress(Timeout), self._lock(scratch.name).acquire(timeout=0):
                too_old = older_than is not None and _idle_seconds(scratch) > older_than
                if too_old or not scratch.exists() or self.has(scratch.name):
                    shutil.rmtree(scratch, ignore_errors=True)
                    lock.unlink(missing_ok=True)


@contextmanager
def explain_unwritable(root: Path) -> Iterator[None]:
    """Raise an OSError of the work inside as CacheUnwritable, with the remedy."""
    try:
        yield
    except OSError as error:
        reason, full = error.strerror or error, error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space there" if full else "check the folder, or set BENCHKIT_CACHE to another one"
        raise CacheUnwritable(f"cannot write to the cache {root}: {reason}; {remedy}") from error


def is_key(text: str) -> bool:
    """Return whether `text` is 64 hex digits."""
    return bool(_KEY.fullmatch(text))


def check_key(key: str) -> str:
    """Return `key`; raise ValueError unless it is 64 hex digits."""
    if not is_key(key):
        raise ValueError(f"'{key}' is not a key: a key is 64 hex digits")
    return key


def _stage(staged: Path, key: str, files: Mapping[str, bytes | Path], meta: Mapping[str, Any]) -> None:
    staged.mkdir()
    entries = {}
    for name, content in files.items():
        path = staged / name
        if isinstance(content, Path):
            copy_new(content, path)
            digest = compute_sha256(path)  # of what was written: the source may be changing
        else:
            write_new(path, content)
            digest = hashlib.sha256(content).hexdigest()
        entries[name] = FileEntry(digest, path.stat().st_size)
    write_new(staged / MANIFEST, manifest_bytes(key, entries, meta))
    fsync_folder(staged)


def _idle_seconds(folder: Path) -> float:
    """Return the seconds since anything in `folder` changed; 0 if the folder is removed meanwhile."""
    try:
        return time.time() - max(path.stat().st_mtime for path in (folder, *folder.glob("**/*")))
    except FileNotFoundError:
        return 0.0


def _first_line(path: Path) -> str | None:
    """Return the first line of a small text file, cut to fit a message, or None if there is no such file."""
    try:
        text = read_regular(path)[:200].decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return (text.splitlines() or [""])[0][:40]
