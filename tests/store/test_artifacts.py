"""The artifact store: what is written is what is read, one cache for many processes."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.store.artifacts import (
    ArtifactBusy,
    ArtifactStore,
    DamagedResult,
)
from tests.store.store_helpers import FILES, KEY, everything, key_of, python, read_line


def test_round_trip(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"from a file")
    assert not store.has(KEY)
    store.write(KEY, FILES | {"copied": source}, {"stage": "invert", "steps": 5})
    artifact = ArtifactStore(store.root).open(KEY)
    assert store.has(KEY)
    assert artifact.names == ("copied", "data.bin", "facts.json")
    assert artifact.read("data.bin") == FILES["data.bin"]
    assert artifact.read("copied") == artifact.path("copied").read_bytes() == b"from a file"
    assert artifact.meta == {"stage": "invert", "steps": 5}
    assert artifact.size == sum(map(len, FILES.values())) + 11
    assert [a.key for a in store.ls()] == [KEY]
    assert source.exists()
    assert not list((store.root / "staging").iterdir())


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    one, two = ArtifactStore(tmp_path / "one"), ArtifactStore(tmp_path / "two")
    one.write(KEY, FILES, {"a": 1, "b": 2})
    two.write(KEY, dict(reversed(FILES.items())), {"b": 2, "a": 1})
    assert everything(one.root) == everything(two.root)


def test_first_writer_wins(store: ArtifactStore) -> None:
    store.write(KEY, {"data": b"first"})
    assert store.write(KEY, {"data": b"second"}).read("data") == b"first"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/etc/passwd", "manifest.json", ".hidden", "a\n", "é", "x" * 201]
)
def test_impossible_file_names(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        store.write(KEY, {name: b""})
    assert not list(store.keys())


def test_a_source_that_is_not_there_is_no_fault_of_the_cache(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.write(KEY, {"data": tmp_path / "nothing"})


@given(st.text() | st.from_regex(r"[0-9a-fA-F]{60,66}\n?", fullmatch=True))
def test_only_hex_digests_are_keys(text: str) -> None:
    store = ArtifactStore("/nonexistent", create=False)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        assert store.folder(text).parts[-2:] == (text[:2], text[2:])
    else:
        for use in (store.folder, store.has, store.open, store.discard, lambda key: store.write(key, {})):
            with pytest.raises(ValueError, match="is not a key"):
                use(text)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9._-]{0,9}", fullmatch=True), st.binary(max_size=99), max_size=4),
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=4),
    st.binary(),
)
def test_any_files_and_facts_round_trip(tmp_path_factory, files, meta, seed) -> None:
    store = ArtifactStore(tmp_path_factory.getbasetemp() / "any")
    files = {name: data for name, data in files.items() if name != "manifest.json"}
    key = hashlib.sha256(repr((files, meta, seed)).encode()).hexdigest()
    store.write(key, files, meta)
    artifact = store.open(key)
    assert {name: artifact.read(name) for name in artifact.names} == files
    assert artifact.meta == meta


def test_store_and_errors_cross_process_borders(store: ArtifactStore) -> None:
    damage, root = DamagedResult(KEY, "torn"), store.root
    store, error = pickle.loads(pickle.dumps((store, damage)))  # noqa: S301  # as an executor does it, never a store
    assert store.root == root
    assert (error.key, error.problem) == (KEY, "torn")


def test_scratch_survives_a_crash_and_goes_with_the_commit(store: ArtifactStore) -> None:
    with pytest.raises(RuntimeError), store.workdir(KEY) as first:
        (first / "checkpoint").write_text("half")
        raise RuntimeError
    with store.workdir(KEY) as second:
        assert second == first
        assert (second / "checkpoint").read_text() == "half"
        store.write(KEY, {"result": second / "checkpoint"})
        assert not second.exists()
    assert store.open(KEY).read("result") == b"half"


def test_an_error_of_the_stage_stays_what_it_is(store: ArtifactStore) -> None:
    with pytest.raises(FileNotFoundError), store.workdir(KEY) as folder:
        (folder / "nothing").read_text()


HOLDER = """
import sys, time
from benchkit.store.artifacts import ArtifactStore
with ArtifactStore(sys.argv[1]).workdir(sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_scratch_is_lent_to_one_process_at_a_time(store: ArtifactStore) -> None:
    holder = python(HOLDER, store.root, KEY)
    assert read_line(holder) == "held\n"
    with pytest.raises(ArtifactBusy), store.workdir(KEY, timeout=0.1):
        pass
    store.prune(older_than=0)
    assert (store.root / "work" / KEY).exists(), "prune must leave a folder alone that is being worked in"
    holder.kill()
    holder.wait()
    with store.workdir(KEY, timeout=5):
        pass
    store.prune()
    assert (store.root / "work" / KEY).exists(), "a checkpoint is worth keeping unless its age is asked about"
    store.prune(older_than=0)
    assert not list((store.root / "work").iterdir())


RACER = """
import hashlib, os, sys, time
from pathlib import Path
from benchkit.store.artifacts import ArtifactStore
root, log = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
while not log.exists():
    time.sleep(0.001)
store = ArtifactStore(root)
for i in range(15):
    key = hashlib.sha256(f"raw{i}".encode()).hexdigest()
    mine = os.urandom(20_000)
    artifact = store.write(key, {"data": mine})
    print(key, hashlib.sha256(artifact.read("data")).hexdigest())
for i in range(15):
    key = hashlib.sha256(f"worked{i}".encode()).hexdigest()
    with store.workdir(key) as folder:
        if not store.has(key):
            with log.open("a") as file:
                file.write(f"{key}\\n")
            store.write(key, {"data": os.urandom(20_000)})
    print(key, hashlib.sha256(store.open(key).read("data")).hexdigest())
"""


def test_processes_racing_for_every_key(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    racers = [python(RACER, root, log) for _ in range(4)]
    for racer in racers:
        read_line(racer)
    log.touch()
    outputs = [racer.communicate()[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(set(outputs)) == 1, "all see the same winner"
    assert len(outputs[0].splitlines()) == 30
    assert len(log.read_text().splitlines()) == 15, "work under the lock is done once"
    assert not list((root / "staging").iterdir())
    assert [damage for _, damage in ArtifactStore(root).verify() if damage] == []


@pytest.fixture
def aged(store: ArtifactStore) -> tuple[ArtifactStore, list[str]]:
    keys = [key_of(i) for i in range(4)]
    for hours, key in enumerate(reversed(keys)):
        artifact = store.write(key, {"data": b"x" * 100})
        last = time.time() - 3600 * hours
        os.utime(artifact.folder / "manifest.json", (last, last))
    return store, keys  # oldest first


def remaining(store: ArtifactStore, keys: list[str]) -> list[int]:
    there = {artifact.key for artifact in store.ls()}
    return [i for i, key in enumerate(keys) if key in there]


def test_prune_by_age_size_and_what_to_keep(aged) -> None:
    store, keys = aged
    assert store.prune().keys == ()
    assert store.prune(max_size=250, dry_run=True).keys == (keys[0], keys[1])
    assert remaining(store, keys) == [0, 1, 2, 3]
    assert store.prune(older_than=2.5 * 3600).keys == (keys[0],)
    assert store.prune(max_size=250, keep={keys[1]}).size == 100
    assert remaining(store, keys) == [1, 3]
    store.prune(keep={keys[3]})
    assert remaining(store, keys) == [3]
    store.prune(max_size=0)
    assert remaining(store, keys) == []
    assert not list((store.root / "discarded").iterdir())


def test_use_keeps_an_artifact_young(aged) -> None:
    store, keys = aged
    assert store.has(keys[0])
    assert store.prune(max_size=300).keys == (keys[1],)


def test_abandoned_staging_is_swept(store: ArtifactStore) -> None:
    old, young = store.root / "staging" / "old", store.root / "staging" / "young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "part").write_text("half")
    for path in (old / "part", old):
        os.utime(path, (0, 0))
    ArtifactStore(store.root)
    assert not old.exists()
    assert young.exists()
