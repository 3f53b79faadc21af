"""One committed artifact: its manifest on disk, and the checks when its files are read."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchkit.errors import BenchkitError
from benchkit.store.encoding import json_to_bytes, parse_json
from benchkit.system.files import compute_sha256, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SCHEMA = 1
MANIFEST = "manifest.json"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


class DamagedResult(BenchkitError):
    """An artifact that is damaged, foreign or gone: discard it and compute it again."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"cached artifact {key[:12]} cannot be used: {problem}; it has to be computed again")
        self.key = key
        self.problem = problem

    def __reduce__(self) -> tuple[type[DamagedResult], tuple[str, str]]:
        return type(self), (self.key, self.problem)  # or it could not come back from a worker process


@dataclass(frozen=True)
class FileEntry:
    """The entry of one file in a manifest."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Artifact:
    """A committed set of files, as its manifest describes it; contents are checked when they are read.

    used: time of the last use, in seconds since the epoch, to the hour.
    """

    key: str
    folder: Path
    files: Mapping[str, FileEntry]
    meta: Mapping[str, Any]
    used: float
    _verified: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names, sorted."""
        return tuple(sorted(self.files))

    @property
    def size(self) -> int:
        """Bytes of all files together, without the manifest."""
        return sum(entry.size for entry in self.files.values())

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raises DamagedResult unless they have the manifest's checksum."""
        entry = self._entry(name)
        with _reading(self.key, name):
            data = read_regular(self.folder / name)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise DamagedResult(self.key, f"'{name}' does not match its checksum")
        return data

    def path(self, name: str) -> Path:
        """Return a file's path, to be read only; check it once and raise DamagedResult as `read` does."""
        entry, path = self._entry(name), self.folder / name
        if name not in self._verified:
            with _reading(self.key, name):
                sound = _regular_size(path) == entry.size and compute_sha256(path) == entry.sha256
            if not sound:
                raise DamagedResult(self.key, f"'{name}' does not match its checksum")
            self._verified.add(name)
        return path

    def verify(self) -> None:
        """Check every file against its checksum; raises DamagedResult at the first that differs."""
        self._verified.clear()
        for name in self.names:
            self.path(name)

    def _entry(self, name: str) -> FileEntry:
        try:
            return self.files[name]
        except KeyError:
            raise KeyError(f"artifact {self.key[:12]} has no file '{name}', only {', '.join(self.names)}") from None


def is_file_name(name: str) -> bool:
    """Return whether `name` is valid for a file of an artifact: one plain path component, not the manifest's name."""
    return bool(_NAME.fullmatch(name)) and name != MANIFEST


def manifest_bytes(key: str, files: Mapping[str, FileEntry], meta: Mapping[str, Any]) -> bytes:
    """Encode a manifest, its own checksum included."""
    entries = {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in files.items()}
    body = {"schema": SCHEMA, "key": key, "files": entries, "meta": dict(meta)}
    return json_to_bytes({"body": body, "sha256": _digest(body)})


def load_artifact(key: str, folder: Path) -> Artifact:
    """Read the artifact in `folder`, comparing names and sizes, not contents.

    Raises DamagedResult if it is missing, another's, or not as its manifest says.
    """
    with _reading(key, MANIFEST):
        files, meta = parse_manifest(key, read_regular(folder / MANIFEST))
        used = (folder / MANIFEST).lstat().st_mtime
        # File managers and NFS leave names that begin with a dot.
        found = {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}
    expected = {MANIFEST, *files}
    if found != expected:
        what, names = ("missing", expected - found) if expected - found else ("foreign", found - expected)
        raise DamagedResult(key, f"{what} file '{min(names)}'")
    for name, entry in files.items():
        with _reading(key, name):
            size = _regular_size(folder / name)
        if size != entry.size:
            raise DamagedResult(key, f"'{name}' has another size than it was written with")
    return Artifact(key, folder, files, meta, used)


def parse_manifest(key: str, data: bytes) -> tuple[dict[str, FileEntry], dict[str, Any]]:
    """Decode a manifest: its files and facts; raises DamagedResult unless it is sound and the key's own."""
    try:
        manifest = parse_json(data)
        body = manifest["body"]
        if manifest["sha256"] != _digest(body) or body["schema"] != SCHEMA or body["key"] != key:
            raise ValueError("its checksum, schema or key differs")
        if json_to_bytes(manifest) != data:  # the same facts in other characters, such as other escapes
            raise ValueError("it was changed after it was written")
        files = {name: FileEntry(str(entry["sha256"]), int(entry["size"])) for name, entry in body["files"].items()}
        if not all(map(is_file_name, files)):
            raise ValueError("impossible file names")
        return files, dict(body["meta"])
    except (BenchkitError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedResult(key, f"damaged manifest ({error})") from error


def _digest(body: Any) -> str:
    return hashlib.sha256(json_to_bytes(body)).hexdigest()


def _regular_size(path: Path) -> int:
    status = path.lstat()
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


@contextmanager
def _reading(key: str, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # A missing file counts as damage: another process may prune or discard between two looks.
        raise DamagedResult(key, f"'{name}' cannot be read ({error.strerror or error})") from error
