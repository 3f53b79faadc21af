"""The artifact store behind a URL: objects there, copies on this machine.

Under the URL: VERSION; objects/ab/cdef…/manifest.json and, beside it, one object a file, named by its SHA-256; leases/
and holders/ (see `leases`); runs/ (see `pins`). An object store knows no rename, so the manifest commits: it is put
last, by one request, and what no manifest lists does not exist. Since a file's name is its checksum, two writers of
one key never overwrite each other's bytes.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from benchkit.errors import BenchkitError
from benchkit.store.artifacts import ABANDONED_AFTER, TOUCH_AFTER, ArtifactStore, CacheUnwritable, check_key, is_key
from benchkit.store.bucket import Bucket
from benchkit.store.leases import HOLDERS, LEASES, Leases
from benchkit.store.manifest import (
    MANIFEST,
    SCHEMA,
    Artifact,
    CorruptArtifact,
    FileEntry,
    manifest_bytes,
    parse_manifest,
)
from benchkit.system.files import compute_sha256, read_regular, write_new

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchkit.store.bucket import Entry
    from benchkit.store.location import CacheUrl

T = TypeVar("T")

VERSION = f"benchkit-cache {SCHEMA} behind a URL\n"
COPIES_GIB = 20.0
IN_USE = 600.0  # seconds that a copy is spared for, since a stage may be about to open it
AT_ONCE = 500  # manifests that are asked for together


@dataclass(frozen=True)
class RemoteArtifact(Artifact):
    """An artifact behind a URL, of which the files are fetched when they are first read."""

    store: RemoteStore | None = None

    def read(self, name: str) -> bytes:
        """As Artifact.read; raises CorruptArtifact if what lies behind the URL is damaged."""
        self._entry(name)
        return self._store.of_copy(self, lambda copy: copy.read(name))

    def path(self, name: str) -> Path:
        """As Artifact.path: the place of the copy."""
        self._entry(name)
        return self._store.of_copy(self, lambda copy: copy.path(name))

    def verify(self) -> None:
        """Check every object behind the URL, whatever copies there are."""
        self._store.fetched(self, keep=False)

    @property
    def _store(self) -> RemoteStore:
        assert self.store is not None
        return self.store


class RemoteStore(ArtifactStore):
    """ArtifactStore behind a URL. Picklable: it is its URL.

    location: the URL. root: the folder of copies, scratch and local locks on this machine.
    """

    def __init__(self, location: CacheUrl, *, create: bool = True) -> None:
        """Open the cache at `location`, and make it a cache unless told not to.

        Raises BenchkitError for a scheme nobody knows, a package that is missing, a store that does not answer or
        refuses, and a place that was written by another version or another program.
        """
        self.location = location
        self._far = Bucket(location)
        self._check_far_version(create)
        self._near = ArtifactStore(location.copies, create=create)
        self.root = self._near.root
        self._loaded: dict[str, RemoteArtifact] = {}
        self._leases: Leases | None = None
        self._limit = _copies_limit()
        self._unmeasured = self._limit

    def __reduce__(self) -> tuple[type[RemoteStore], tuple[CacheUrl]]:
        return type(self), (self.location,)  # type: ignore[return-value]

    def open(self, key: str) -> Artifact:
        """As ArtifactStore.open; what this process has seen committed it does not look for again."""
        known = self._loaded.get(check_key(key))
        return known if known is not None and time.time() - known.used <= TOUCH_AFTER else super().open(key)

    def write(self, key: str, files: Mapping[str, bytes | Path], meta: Mapping[str, Any] | None = None) -> Artifact:
        """As ArtifactStore.write: committed on this machine first, so that a lost connection costs no work."""
        self._push(self._near.write(key, files, meta))
        self._bound()
        return self.open(key)

    def discard(self, key: str) -> bool:
        """Delete whatever `key` holds, manifest first, and this machine's copy; False if it held nothing."""
        self._loaded.pop(check_key(key), None)
        with suppress(CacheUnwritable):  # a folder of copies that nobody made yet
            self._near.discard(key)
        names = self._far.entries(_folder(key))
        for name in sorted(names, key=lambda name: name != MANIFEST):
            self._far.remove(f"{_folder(key)}/{name}")
        return MANIFEST in names

    @contextmanager
    def lease(self, key: str, *, timeout: float | None = None) -> Iterator[None]:
        """As ArtifactStore.lease, among all machines; what this one has finished but could not send is sent now."""
        if self._leases is None:
            self._leases = Leases(self._far, self._machine())
        with self._near.lease(key, timeout=timeout), self._leases.held(key, timeout):
            with suppress(CorruptArtifact):
                copy = self._near.open(key)
                if not self.has(key):
                    self._push(copy)
            yield

    def keys(self) -> Iterator[str]:
        """Yield every key that has a manifest, sound or not, sorted."""
        yield from sorted(key for key, names in self._listed().items() if MANIFEST in names)

    def ls(self) -> Iterator[Artifact]:
        """As ArtifactStore.ls, a few requests for many artifacts."""
        listed = self._listed()
        keys = sorted(key for key, names in listed.items() if MANIFEST in names)
        for start in range(0, len(keys), AT_ONCE):
            some = {f"{_folder(key)}/{MANIFEST}": key for key in keys[start : start + AT_ONCE]}
            for name, data in sorted(self._far.read_all(list(some)).items()):
                with suppress(CorruptArtifact):
                    yield self._artifact(some[name], data, listed[some[name]])

    def of_copy(self, artifact: Artifact, use: Callable[[Artifact], T]) -> T:
        """What `use` makes of this machine's copy, which is fetched if it is missing, damaged or of other files."""
        with suppress(CorruptArtifact):
            copy = self._near.open(artifact.key)
            if copy.files == artifact.files:
                os.utime(copy.folder / MANIFEST)  # in use: not to be cleared away meanwhile
                return use(copy)
        return use(self.fetched(artifact))

    def fetched(self, artifact: Artifact, *, keep: bool = True) -> Artifact:
        """Fetch every file and compare it with the manifest; keep: as this machine's copy, which is returned.

        Raises CorruptArtifact for what is missing behind the URL or has another checksum.
        """
        if not (self.root / "staging").is_dir():
            ArtifactStore(self.root)  # opened to look only, and now there is something to keep
        with TemporaryDirectory(dir=self.root / "staging") as folder:
            for name, entry in artifact.files.items():
                path = Path(folder) / name
                there = self._far.fetch(_blob(artifact.key, entry), path)
                if not there or compute_sha256(path) != entry.sha256:
                    self._loaded.pop(artifact.key, None)
                    problem = "does not match its checksum" if there else "is missing"
                    raise CorruptArtifact(artifact.key, f"'{name}' {problem}")
            if not keep:
                return artifact
            self._near.discard(artifact.key)
            copy = self._near.write(artifact.key, {name: Path(folder) / name for name in artifact.files}, artifact.meta)
        self._unmeasured += artifact.size
        self._bound()
        return copy

    def _push(self, copy: Artifact) -> None:
        """Send a copy's files, and then its manifest, which commits them; a sound artifact that is there stays."""
        for name, entry in copy.files.items():
            self._far.send(_blob(copy.key, entry), copy.path(name))
        self._unmeasured += copy.size
        place, data = f"{_folder(copy.key)}/{MANIFEST}", manifest_bytes(copy.key, copy.files, copy.meta)
        self._loaded.pop(copy.key, None)
        if not self._far.create(place, data) and not self._stands(copy):
            self._far.write(place, data)

    def _stands(self, copy: Artifact) -> bool:
        """Whether what another process committed is sound; of equal files it is, since they have just been sent."""
        try:
            theirs = self._load(copy.key)
            if theirs.files != copy.files:
                theirs.verify()
        except CorruptArtifact:
            return False
        return True

    def _load(self, key: str) -> Artifact:
        data = self._far.read(f"{_folder(check_key(key))}/{MANIFEST}")
        if data is None:
            raise CorruptArtifact(key, f"'{MANIFEST}' cannot be read (there is none)")
        found = self._artifact(key, data, self._far.entries(_folder(key)))
        self._loaded[key] = found
        return found

    def _artifact(self, key: str, data: bytes, names: Mapping[str, Entry]) -> RemoteArtifact:
        """What a manifest says; raises CorruptArtifact unless the objects that it lists are there in full length."""
        files, meta = parse_manifest(key, data)
        for name, entry in files.items():
            if entry.sha256 not in names:
                raise CorruptArtifact(key, f"missing file '{name}'")
            if names[entry.sha256].size != entry.size:
                raise CorruptArtifact(key, f"'{name}' has another size than it was written with")
        used = names[MANIFEST].changed if MANIFEST in names else time.time()
        return RemoteArtifact(key, self._near.folder(key), files, meta, used, store=self)

    def _touch(self, artifact: Artifact) -> None:
        with suppress(CacheUnwritable):  # a cache that can only be read keeps no record of use
            place = f"{_folder(artifact.key)}/{MANIFEST}"
            self._far.write(place, manifest_bytes(artifact.key, artifact.files, artifact.meta))
        if artifact.key in self._loaded:
            self._loaded[artifact.key] = replace(self._loaded[artifact.key], used=time.time())

    def _listed(self) -> dict[str, dict[str, Entry]]:
        """Key -> the objects of its folder."""
        found: dict[str, dict[str, Entry]] = {}
        for path, entry in self._far.entries("objects").items():
            first, _, rest = path.partition("/")
            second, _, name = rest.partition("/")
            if is_key(first + second) and len(first) == 2:
                found.setdefault(first + second, {})[name] = entry
        return found

    def _sweep(self, older_than: float | None) -> None:
        """Delete what uploads that were broken off and processes that died left behind; and old copies here."""
        before = time.time() - ABANDONED_AFTER
        leases = self._far.entries(LEASES)
        watch = self._leases or Leases(self._far, "")
        live = {key for key in leases if watch.is_live(key, ABANDONED_AFTER)}
        for room, spared in ((LEASES, live), (HOLDERS, set())):
            for name, entry in self._far.entries(room).items():
                if name not in spared and entry.changed < before:
                    self._far.remove(f"{room}/{name}")
        for key, names in self._listed().items():
            if key in live or all(entry.changed >= before for entry in names.values()):
                continue
            with suppress(CorruptArtifact):
                wanted = {e.sha256 for e in self._load(key).files.values()} | {MANIFEST} if MANIFEST in names else set()
                for name in names.keys() - wanted:
                    if names[name].changed < before:
                        self._far.remove(f"{_folder(key)}/{name}")
        self._near.prune(older_than=older_than)

    def _bound(self) -> None:
        """Delete the copies least recently used beyond $BENCHKIT_COPIES_GIB, those in use excepted."""
        if self._unmeasured < self._limit / 20:
            return
        self._unmeasured = 0
        now = time.time()
        self._near.prune(keep={a.key for a in self._near.ls() if now - a.used < IN_USE}, max_size=self._limit)

    def _machine(self) -> str:
        """The name of this machine's folder of copies, whose locks its processes share."""
        file = self.root / "machine"
        with self._writing():
            with suppress(FileExistsError):
                write_new(file, secrets.token_hex(8).encode())
            return read_regular(file).decode(errors="replace")

    def _check_far_version(self, create: bool) -> None:
        found = self._far.read("VERSION")
        if found is None and create:
            self._far.create("VERSION", VERSION.encode())
        elif found not in (None, VERSION.encode()):
            first = (found or b"")[:40].decode(errors="replace").splitlines() or [""]
            raise BenchkitError(
                f"the cache {self.location} was written by another version (its VERSION: {first[0]!r}, needed: "
                f"{VERSION.strip()!r}): set BENCHKIT_CACHE to another place"
            )


def _folder(key: str) -> str:
    return f"objects/{key[:2]}/{key[2:]}"


def _blob(key: str, entry: FileEntry) -> str:
    return f"{_folder(key)}/{entry.sha256}"


def _copies_limit() -> int:
    text = os.environ.get("BENCHKIT_COPIES_GIB", "")
    try:
        return int(float(text or COPIES_GIB) * (1 << 30))
    except (ValueError, OverflowError):
        raise BenchkitError(f"BENCHKIT_COPIES_GIB is '{text}': give a number of GiB, such as 20") from None
