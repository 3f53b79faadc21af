"""The artifact store under crashes, damage and folders it cannot use."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.store.artifacts import (
    ArtifactStore,
    DamagedResult,
    get_default_cache,
)
from tests.store.store_helpers import FILES, KEY, everything, key_of, python, read_line, read_words, write_line


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir", "scandir"])
@pytest.mark.parametrize("nth", range(6))
def test_a_failing_system_call_leaves_all_or_nothing(store, monkeypatch, call: str, nth: int) -> None:
    real, count = getattr(os, call), iter(range(1000))

    def failing(*args, **kwargs):
        if next(count) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        try:
            store.write(KEY, FILES)
            raised = None
        except BenchkitError as error:
            raised = str(error)
    if store.has(KEY):  # the fault came after the commit, or not at all
        store.open(KEY).verify()
    else:
        assert raised
        assert "\n" not in raised
        assert everything(store.root).keys() == {"VERSION"}
    store.write(KEY, FILES)
    store.open(KEY).verify()


def test_full_disk_says_so(store: ArtifactStore, monkeypatch) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchkitError, match="No space left on device; free some space"):
        store.write(KEY, FILES)


def test_interrupt_leaves_nothing(store: ArtifactStore, monkeypatch) -> None:
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.write(KEY, FILES)
    assert everything(store.root).keys() == {"VERSION"}


WRITER = """
import hashlib, os, sys
from benchkit.store.artifacts import ArtifactStore
start = int(sys.stdin.readline())
store = ArtifactStore(sys.argv[1])
for i in range(start, 10**9):
    key = hashlib.sha256(str(i).encode()).hexdigest()
    with store.workdir(key) as folder:
        (folder / "checkpoint").write_bytes(b"x" * 1000)
        store.write(key, {"one": os.urandom(200_000), "two": os.urandom(50_000), "three": folder / "checkpoint"})
    print(i, flush=True)
"""


def test_kill_nine_loses_nothing_and_leaves_no_part(tmp_path: Path) -> None:
    root, rng, done = tmp_path / "cache", random.Random(0), -1
    for process in [python(WRITER, root) for _ in range(5)]:
        write_line(process, done + 1)
        read_line(process)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        reported = [done + 1, *map(int, read_words(process))]
        assert process.wait() == -signal.SIGKILL
        store = ArtifactStore(root)
        assert all(store.has(key_of(i)) for i in reported)
        assert [damage for _, damage in store.verify() if damage] == []
        done = max(reported)
        with store.workdir(key_of(done + 1), timeout=5):  # the dead process's lock is free
            pass
    assert done > 5


def flip(path: Path, position: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("use", [lambda a: a.read("data.bin"), lambda a: a.path("data.bin"), lambda a: a.verify()])
def test_flipped_bit_is_found_on_read_and_mended(store: ArtifactStore, use) -> None:
    flip(store.write(KEY, FILES).folder / "data.bin", 7)
    with pytest.raises(DamagedResult, match=r"'data\.bin' does not match its checksum"):
        use(store.open(KEY))
    assert store.discard(KEY)
    assert not store.has(KEY)
    assert not store.discard(KEY)
    use(store.write(KEY, FILES))
    store.open(KEY).verify()


def test_write_replaces_damage_that_nobody_discarded(store: ArtifactStore) -> None:
    flip(store.write(KEY, FILES).folder / "data.bin")
    assert store.write(KEY, FILES).read("data.bin") == FILES["data.bin"]


def truncate(folder: Path) -> None:
    os.truncate(folder / "data.bin", 10)


def empty_manifest(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 0)


def foreign_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"body": {"files": {"../../x": {}}}, "sha256": ""}')


def deep_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[" * 100_000)


def moved_here(folder: Path) -> None:
    other = ArtifactStore(folder.parents[2]).write(key_of("other"), FILES).folder
    for path in other.iterdir():
        path.replace(folder / path.name)


def link(folder: Path) -> None:
    (folder / "data.bin").rename(folder.parents[2] / "elsewhere")
    (folder / "data.bin").symlink_to(folder.parents[2] / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def file_instead(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("a file")


DAMAGES = {
    "truncated": truncate,
    "missing": lambda folder: (folder / "data.bin").unlink(),
    "foreign": lambda folder: (folder / "foreign.txt").write_text("hello"),
    "no-manifest": lambda folder: (folder / "manifest.json").unlink(),
    "empty-manifest": empty_manifest,
    "foreign-manifest": foreign_manifest,
    "deep-manifest": deep_manifest,
    "another-key": moved_here,
    "link": link,
    "pipe": pipe,
    "file-instead": file_instead,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_visible_damage_is_no_artifact(store: ArtifactStore, damage) -> None:
    damage(store.write(KEY, FILES).folder)
    assert not store.has(KEY)
    with pytest.raises(DamagedResult) as caught:
        store.open(KEY)
    assert "\n" not in str(caught.value)
    assert [(key, bool(found)) for key, found in store.verify() if key == KEY] == [(KEY, True)]
    assert store.write(KEY, FILES).read("data.bin") == FILES["data.bin"]
    store.prune()
    store.open(KEY).verify()


def test_droppings_of_the_system_do_no_harm(store: ArtifactStore) -> None:
    (store.write(KEY, FILES).folder / ".nfs0001").write_text("")
    assert store.has(KEY)


def test_strangers_in_the_store_are_passed_over(store: ArtifactStore) -> None:
    (store.root / "objects" / "README").write_text("hello")
    (store.root / "objects" / "ab").mkdir()
    (store.root / "objects" / "ab" / "cd").mkdir()
    (store.root / "work" / "strange.lock").write_text("")
    assert list(store.ls()) == []
    store.prune()
    assert (store.root / "objects" / "README").exists()


def test_an_artifact_that_goes_while_it_is_read(store: ArtifactStore) -> None:
    artifact = store.write(KEY, FILES)
    store.discard(KEY)
    with pytest.raises(DamagedResult):
        artifact.read("data.bin")


def test_unknown_file_of_an_artifact_is_a_mistake_in_the_code(store: ArtifactStore) -> None:
    with pytest.raises(KeyError, match=r"only data\.bin, facts\.json"):
        store.write(KEY, FILES).read("nothing")


@pytest.mark.parametrize("version", [b"benchkit-cache 99\n", b"", b"\xff\xfe\n\n", b"x" * 10_000])
def test_another_version_is_refused_untouched(store: ArtifactStore, version: bytes) -> None:
    (store.root / "VERSION").write_bytes(version)
    before = everything(store.root)
    for create in (True, False):
        with pytest.raises(BenchkitError, match="another version") as caught:
            ArtifactStore(store.root, create=create)
        assert str(store.root) in str(caught.value)
        assert "BENCHKIT_CACHE" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert everything(store.root) == before


def test_a_store_without_version_is_refused(store: ArtifactStore) -> None:
    (store.root / "VERSION").unlink()
    with pytest.raises(BenchkitError, match="another version"):
        ArtifactStore(store.root)


def test_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/benchkit-cache")):
        with pytest.raises(BenchkitError, match="cannot write to the cache") as caught:
            ArtifactStore(root)
        assert "\n" not in str(caught.value)


def test_root_of_nobody() -> None:
    with pytest.raises(BenchkitError, match="is not a path"):
        ArtifactStore("~no such user/cache")


def test_version_that_is_a_folder(store: ArtifactStore) -> None:
    (store.root / "VERSION").unlink()
    (store.root / "VERSION").mkdir()
    with pytest.raises(BenchkitError, match="VERSION is not a regular file"):
        ArtifactStore(store.root)


def test_root_without_permission(store: ArtifactStore, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may do anything
    with pytest.raises(BenchkitError, match="Permission denied"):
        ArtifactStore(store.root)


def test_opening_without_creating_touches_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "none", create=False)
    assert not store.has(KEY)
    assert list(store.ls()) == []
    assert not list(store.ls())
    assert not (tmp_path / "none").exists()


def test_default_root(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path))
    assert get_default_cache() == tmp_path
    monkeypatch.delenv("BENCHKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert get_default_cache() == tmp_path / "benchkit"
