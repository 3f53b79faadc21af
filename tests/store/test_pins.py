"""Which artifacts a run rests on."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.store.artifacts import ArtifactStore, CacheUnwritable
from benchkit.store.pins import describe_pins, list_pinned_runs, pin, read_pins
from tests.store.store_helpers import FILES, key_of

RUN, OTHER = "20260101-000000-aaaaaa", "20260101-000001-bbbbbb"


def test_what_is_noted_is_found_by_the_start_of_a_name(store: ArtifactStore) -> None:
    assert list_pinned_runs(store.root) == [] and describe_pins(store.root) == {}
    pin(store.root, RUN, {key_of(1): "work ü", key_of(2): "b"})
    pin(store.root, OTHER, {key_of(3): "c"})
    assert list_pinned_runs(store.root) == [RUN, OTHER]
    assert read_pins(store.root, RUN[:-3]) == {key_of(1): "work ü", key_of(2): "b"}
    assert set(describe_pins(store.root)) == {key_of(1), key_of(2), key_of(3)}
    pin(store.root, RUN, {key_of(4): "d"})
    assert list(read_pins(store.root, RUN)) == [key_of(4)]
    ArtifactStore(store.root)  # a cache with notes is a cache


def test_unknown_ambiguous_and_damaged_notes(store: ArtifactStore) -> None:
    pin(store.root, RUN, {})
    pin(store.root, OTHER, {key_of(3): "c"})
    for name, message in (
        ("2027", "run '2027' is none of the 2 runs in the cache"),
        ("2026", "is ambiguous"),
        ("", "run '' is none"),
    ):
        with pytest.raises(BenchkitError, match=message):
            read_pins(store.root, name)
    for damaged in (b"", b"{}", b"\xff", b'{"stages": 3}'):
        (store.root / "runs" / f"{RUN}.json").write_bytes(damaged)
        with pytest.raises(BenchkitError, match="does not list the run's stages: run its command again"):
            read_pins(store.root, RUN)
        assert list(describe_pins(store.root)) == [key_of(3)]


def test_a_note_that_cannot_be_written(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CacheUnwritable, match="No space left on device; free some space there"):
        pin(store.root, RUN, {})
    assert list_pinned_runs(store.root) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_really_fills_up(small_disk: Path) -> None:
    store, kept = ArtifactStore(small_disk / "cache"), []
    with pytest.raises(CacheUnwritable, match=r"No space left on device; free some space there$"):
        for i in range(100):
            store.write(key_of(i), {"data": os.urandom(60_000)})
            kept.append(key_of(i))
    assert 3 <= len(kept) <= 9
    assert [key for key, damage in store.verify() if damage is None] == sorted(kept)
    assert not list((store.root / "staging").iterdir())
    store.discard(kept[0])
    store.prune()
    store.write(key_of("after"), FILES)
    store.open(key_of("after")).verify()
