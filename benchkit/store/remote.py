"""The artifact store behind a URL: objects in a bucket, copies on this machine.

Under the URL: VERSION; objects/ab/cdef…/manifest.json and, beside it, one object a file, named by its SHA-256; leases/
and holders/ (see `leases`); runs/ (see `pins`). Object stores cannot rename, so the manifest commits a result: it is
written last, by one request, and files that no manifest lists are ignored. A file's name is its checksum, so two
writers of one key never overwrite each other's data.
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
from benchkit.store.artifacts import (
    ABANDONED_AFTER,
    TOUCH_AFTER,
    ArtifactStore,
    CacheUnwritable,
    check_key,
    explain_unwritable,
    is_key,
)
from benchkit.store.bucket import Bucket
from benchkit.store.leases import HOLDERS, LEASES, Leases
from benchkit.store.manifest import (
    MANIFEST,
    SCHEMA,
    Artifact,
    DamagedResult,
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
IN_USE = 600.0  # seconds for which a used copy is kept, because a stage may be about to open it
AT_ONCE = 500  # manifests of one request


@dataclass(frozen=True)
class RemoteArtifact(Artifact):
    """An artifact behind a URL. Its files are downloaded when they are first read."""

    store: RemoteStore | None = None

    def read(self, name: str) -> bytes:
        """Read as Artifact.read; raise DamagedResult if the object behind the URL is damaged."""
        self._entry(name)
        return self._store.use_copy(self, lambda copy: copy.read(name))

    def path(self, name: str) -> Path:
        """Return the path of the local copy, as Artifact.path."""
        self._entry(name)
        return self._store.use_copy(self, lambda copy: copy.path(name))

    def verify(self) -> None:
        """Check every object behind the URL, regardless of local copies."""
        self._store.fetch(self, keep=False)

    @property
    def _store(self) -> RemoteStore:
        assert self.store is not None
        return self.store


class RemoteStore(ArtifactStore):
    """An ArtifactStore behind a URL. Can be pickled.

    location: the URL. root: the folder on this machine for copies, scratch folders and locks.
    """

    def __init__(self, location: CacheUrl, *, create: bool = True) -> None:
        """Open the cache at `location`; `create` makes one if there is none.

        Raises BenchkitError for an unknown scheme, a missing package, a server that does not answer or refuses, and a
        cache that another version or another program wrote.
        """
        self.location = location
        self._bucket = Bucket(location)
        self._check_remote_version(create)
        self._local = ArtifactStore(location.copies, create=create)
        self.root = self._local.root
        self._loaded: dict[str, RemoteArtifact] = {}
        self._leases: Leases | None = None
        self._limit = _copies_limit()
        self._unmeasured = self._limit

    def __reduce__(self) -> tuple[type[RemoteStore], tuple[CacheUrl]]:
        return type(self), (self.location,)  # type: ignore[return-value]

    def open(self, key: str) -> Artifact:
        """Open as ArtifactStore.open; ask the server once for each committed key."""
        known = self._loaded.get(check_key(key))
        return known if known is not None and time.time() - known.used <= TOUCH_AFTER else super().open(key)

    def write(self, key: str, files: Mapping[str, bytes | Path], meta: Mapping[str, Any] | None = None) -> Artifact:
        """Write as ArtifactStore.write, to this machine first, so that a lost connection loses no work."""
        self._push(self._local.write(key, files, meta))
        self._limit_copies()
        return self.open(key)

    def discard(self, key: str) -> bool:
        """Delete what `key` holds, manifest first, and the local copy; return False if it held nothing."""
        self._loaded.pop(check_key(key), None)
        with suppress(CacheUnwritable):  # a folder of copies that nobody made yet
            self._local.discard(key)
        names = self._bucket.list_entries(_folder(key))
        for name in sorted(names, key=lambda name: name != MANIFEST):
            self._bucket.remove(f"{_folder(key)}/{name}")
        return MANIFEST in names

    @contextmanager
    def lease(self, key: str, *, timeout: float | None = None) -> Iterator[None]:
        """Lease as ArtifactStore.lease, among all machines; upload an artifact whose upload had failed."""
        if self._leases is None:
            self._leases = Leases(self._bucket, self._read_machine_name())
        with self._local.lease(key, timeout=timeout), self._leases.hold(key, timeout):
            with suppress(DamagedResult):
                copy = self._local.open(key)
                if not self.has(key):
                    self._push(copy)
            yield

    def keys(self) -> Iterator[str]:
        """Yield every key that has a manifest, sound or not, sorted."""
        yield from sorted(key for key, names in self._list_objects().items() if MANIFEST in names)

    def ls(self) -> Iterator[Artifact]:
        """List as ArtifactStore.ls, with few requests."""
        listed = self._list_objects()
        keys = sorted(key for key, names in listed.items() if MANIFEST in names)
        for start in range(0, len(keys), AT_ONCE):
            some = {f"{_folder(key)}/{MANIFEST}": key for key in keys[start : start + AT_ONCE]}
            for name, data in sorted(self._bucket.read_all(list(some)).items()):
                with suppress(DamagedResult):
                    yield self._parse_artifact(some[name], data, listed[some[name]])

    def use_copy(self, artifact: Artifact, use: Callable[[Artifact], T]) -> T:
        """Return what `use` returns for the local copy; download it if it is missing, damaged or has other files."""
        with suppress(DamagedResult):
            copy = self._local.open(artifact.key)
            if copy.files == artifact.files:
                os.utime(copy.folder / MANIFEST)  # mark it as used, so that it is not deleted meanwhile
                return use(copy)
        return use(self.fetch(artifact))

    def fetch(self, artifact: Artifact, *, keep: bool = True) -> Artifact:
        """Download every file and compare it with the manifest; keep: store and return it as the local copy.

        Raises DamagedResult for an object that is missing or has another checksum.
        """
        if not (self.root / "staging").is_dir():
            ArtifactStore(self.root)  # opened without `create`, and now there is something to store
        with TemporaryDirectory(dir=self.root / "staging") as folder:
            for name, entry in artifact.files.items():
                path = Path(folder) / name
                exists = self._bucket.fetch(_blob(artifact.key, entry), path)
                if not exists or compute_sha256(path) != entry.sha256:
                    self._loaded.pop(artifact.key, None)
                    problem = "does not match its checksum" if exists else "is missing"
                    raise DamagedResult(artifact.key, f"'{name}' {problem}")
            if not keep:
                return artifact
            self._local.discard(artifact.key)
            copy = self._local.write(
                artifact.key, {name: Path(folder) / name for name in artifact.files}, artifact.meta
            )
        self._unmeasured += artifact.size
        self._limit_copies()
        return copy

    def _push(self, copy: Artifact) -> None:
        """Upload a copy's files, then its manifest, which commits them; keep a sound artifact that is there already."""
        for name, entry in copy.files.items():
            self._bucket.send(_blob(copy.key, entry), copy.path(name))
        self._unmeasured += copy.size
        place, data = f"{_folder(copy.key)}/{MANIFEST}", manifest_bytes(copy.key, copy.files, copy.meta)
        self._loaded.pop(copy.key, None)
        if not self._bucket.create(place, data) and not self._is_sound(copy):
            self._bucket.write(place, data)

    def _is_sound(self, copy: Artifact) -> bool:
        """Return whether the stored result is undamaged; files equal to the copy's are, because it uploaded them."""
        try:
            theirs = self._load(copy.key)
            if theirs.files != copy.files:
                theirs.verify()
        except DamagedResult:
            return False
        return True

    def _load(self, key: str) -> Artifact:
        data = self._bucket.read(f"{_folder(check_key(key))}/{MANIFEST}")
        if data is None:
            raise DamagedResult(key, f"'{MANIFEST}' cannot be read (there is none)")
        found = self._parse_artifact(key, data, self._bucket.list_entries(_folder(key)))
        self._loaded[key] = found
        return found

    def _parse_artifact(self, key: str, data: bytes, names: Mapping[str, Entry]) -> RemoteArtifact:
        """Return the artifact of a manifest; raise DamagedResult unless its objects exist and have their sizes."""
        files, meta = parse_manifest(key, data)
        for name, entry in files.items():
            if entry.sha256 not in names:
                raise DamagedResult(key, f"missing file '{name}'")
            if names[entry.sha256].size != entry.size:
                raise DamagedResult(key, f"'{name}' has another size than it was written with")
        used = names[MANIFEST].changed if MANIFEST in names else time.time()
        return RemoteArtifact(key, self._local.folder(key), files, meta, used, store=self)

    def _touch(self, artifact: Artifact) -> None:
        with suppress(CacheUnwritable):  # a cache that can only be read keeps no record of use
            place = f"{_folder(artifact.key)}/{MANIFEST}"
            self._bucket.write(place, manifest_bytes(artifact.key, artifact.files, artifact.meta))
        if artifact.key in self._loaded:
            self._loaded[artifact.key] = replace(self._loaded[artifact.key], used=time.time())

    def _list_objects(self) -> dict[str, dict[str, Entry]]:
        """Return key -> the objects of its folder."""
        found: dict[str, dict[str, Entry]] = {}
        for path, entry in self._bucket.list_entries("objects").items():
            first, _, rest = path.partition("/")
            second, _, name = rest.partition("/")
            if is_key(first + second) and len(first) == 2:
                found.setdefault(first + second, {})[name] = entry
        return found

    def _sweep(self, older_than: float | None) -> None:
        """Delete what interrupted uploads and dead processes left behind, and old local copies."""
        before = time.time() - ABANDONED_AFTER
        leases = self._bucket.list_entries(LEASES)
        watch = self._leases or Leases(self._bucket, "")
        live = {key for key in leases if watch.is_live(key, ABANDONED_AFTER)}
        for room, spared in ((LEASES, live), (HOLDERS, set())):
            for name, entry in self._bucket.list_entries(room).items():
                if name not in spared and entry.changed < before:
                    self._bucket.remove(f"{room}/{name}")
        for key, names in self._list_objects().items():
            if key in live or all(entry.changed >= before for entry in names.values()):
                continue
            with suppress(DamagedResult):
                wanted = {e.sha256 for e in self._load(key).files.values()} | {MANIFEST} if MANIFEST in names else set()
                for name in names.keys() - wanted:
                    if names[name].changed < before:
                        self._bucket.remove(f"{_folder(key)}/{name}")
        self._local.prune(older_than=older_than)

    def _limit_copies(self) -> None:
        """Delete the least recently used copies beyond $BENCHKIT_COPIES_GIB, except those in use."""
        if self._unmeasured < self._limit / 20:
            return
        self._unmeasured = 0
        now = time.time()
        self._local.prune(keep={a.key for a in self._local.ls() if now - a.used < IN_USE}, max_size=self._limit)

    def _read_machine_name(self) -> str:
        """Return the name of the local folder of copies, whose locks the processes of this machine share."""
        file = self.root / "machine"
        with explain_unwritable(self.root):
            with suppress(FileExistsError):
                write_new(file, secrets.token_hex(8).encode())
            return read_regular(file).decode(errors="replace")

    def _check_remote_version(self, create: bool) -> None:
        found = self._bucket.read("VERSION")
        if found is None and create:
            self._bucket.create("VERSION", VERSION.encode())
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
