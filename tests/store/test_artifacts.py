"""The artifact store: whole or not at all, damage found, one cache for many processes."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import benchkit
from benchkit.errors import BenchkitError
from benchkit.store.artifacts import (
    ArtifactBusy,
    ArtifactStore,
    CorruptArtifact,
    arrays_from_bytes,
    arrays_to_bytes,
    default_root,
    json_from_bytes,
    json_to_bytes,
)
from benchkit.store.files import write_atomic


def key_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


KEY = key_of("a")
FILES = {"data.bin": b"0123456789" * 100, "facts.json": b"{}\n"}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "cache")


def everything(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def python(code: str, *args: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(benchkit.__file__).parents[1])}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


# --- what is written is what is read ---------------------------------------------------------------------------


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
    assert artifact.size == store.size() == sum(map(len, FILES.values())) + 11
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
            with pytest.raises(ValueError, match="no artifact key"):
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
    assert pickle.loads(pickle.dumps(store)).root == store.root
    error = pickle.loads(pickle.dumps(CorruptArtifact(KEY, "torn")))
    assert (error.key, error.problem) == (KEY, "torn")


# --- a crash at any moment -------------------------------------------------------------------------------------


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
store = ArtifactStore(sys.argv[1])
for i in range(int(sys.argv[2]), 10**9):
    key = hashlib.sha256(str(i).encode()).hexdigest()
    with store.workdir(key) as folder:
        (folder / "checkpoint").write_bytes(b"x" * 1000)
        store.write(key, {"one": os.urandom(200_000), "two": os.urandom(50_000), "three": folder / "checkpoint"})
    print(i, flush=True)
"""


def test_kill_nine_loses_nothing_and_leaves_no_part(tmp_path: Path) -> None:
    root, rng, done = tmp_path / "cache", random.Random(0), -1
    for _ in range(5):
        process = python(WRITER, root, done + 1)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        reported = [done + 1, *map(int, process.stdout.read().split())]
        assert process.wait() == -signal.SIGKILL
        store = ArtifactStore(root)
        assert all(store.has(key_of(i)) for i in reported)
        assert [damage for _, damage in store.verify() if damage] == []
        done = max(reported)
        with store.workdir(key_of(done + 1), timeout=5):  # the dead process's lock is free
            pass
    assert done > 5


# --- damage ----------------------------------------------------------------------------------------------------


def flip(path: Path, position: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_every_flipped_bit_is_found(store: ArtifactStore) -> None:
    folder = store.write(KEY, FILES, {"steps": 5}).folder
    rng = random.Random(0)
    for path in sorted(folder.iterdir()):
        sound = path.read_bytes()
        for _ in range(25):
            path.write_bytes(sound)
            flip(path, rng.randrange(len(sound)))
            with pytest.raises(CorruptArtifact):
                store.open(KEY).verify()
        path.write_bytes(sound)
    store.open(KEY).verify()


@pytest.mark.parametrize("use", [lambda a: a.read("data.bin"), lambda a: a.path("data.bin"), lambda a: a.verify()])
def test_flipped_bit_is_found_on_read_and_mended(store: ArtifactStore, use) -> None:
    flip(store.write(KEY, FILES).folder / "data.bin", 7)
    with pytest.raises(CorruptArtifact, match=r"'data\.bin' does not match its checksum"):
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
    with pytest.raises(CorruptArtifact) as caught:
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
    with pytest.raises(CorruptArtifact):
        artifact.read("data.bin")


def test_unknown_file_of_an_artifact_is_a_mistake_in_the_code(store: ArtifactStore) -> None:
    with pytest.raises(KeyError, match=r"only data\.bin, facts\.json"):
        store.write(KEY, FILES).read("nothing")


# --- the folder itself -----------------------------------------------------------------------------------------


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
    with pytest.raises(BenchkitError, match="is nowhere"):
        ArtifactStore("~no such user/cache")


def test_version_that_is_a_folder(store: ArtifactStore) -> None:
    (store.root / "VERSION").unlink()
    (store.root / "VERSION").mkdir()
    with pytest.raises(BenchkitError, match="VERSION is no regular file"):
        ArtifactStore(store.root)


def test_root_without_permission(store: ArtifactStore, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may do anything
    with pytest.raises(BenchkitError, match="Permission denied"):
        ArtifactStore(store.root)


def test_opening_without_creating_touches_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "none", create=False)
    assert not store.has(KEY)
    assert list(store.ls()) == []
    assert store.size() == 0
    assert not (tmp_path / "none").exists()


def test_default_root(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("BENCHKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "benchkit"


# --- scratch folders -------------------------------------------------------------------------------------------


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
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
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
        assert racer.stdout is not None
        racer.stdout.readline()
    log.touch()
    outputs = [racer.communicate()[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(set(outputs)) == 1, "all see the same winner"
    assert len(outputs[0].splitlines()) == 30
    assert len(log.read_text().splitlines()) == 15, "work under the lock is done once"
    assert not list((root / "staging").iterdir())
    assert [damage for _, damage in ArtifactStore(root).verify() if damage] == []


# --- pruning ---------------------------------------------------------------------------------------------------


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


# --- encodings -------------------------------------------------------------------------------------------------

DTYPES = st.sampled_from([np.bool_, np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64])
ARRAYS = DTYPES.flatmap(lambda t: st_numpy.arrays(t, st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0)))


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), ARRAYS, max_size=4))
def test_arrays_round_trip(arrays: dict[str, np.ndarray]) -> None:
    arrays.pop("__metadata__", None)
    data = arrays_to_bytes(arrays)
    back = arrays_from_bytes(data)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
        assert back[name].flags.writeable
    assert arrays_to_bytes(dict(reversed(arrays.items()))) == data


def test_views_are_stored_as_they_look() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    views = {
        "transposed": array.T,
        "strided": array[:, ::2],
        "reversed": array[::-1],
        "fortran": np.asfortranarray(array),
    }
    for name, view in arrays_from_bytes(arrays_to_bytes(views)).items():
        np.testing.assert_array_equal(view, views[name])


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()]), np.array([1], "datetime64[s]")])
def test_arrays_of_other_things_are_refused(array: np.ndarray) -> None:
    with pytest.raises(TypeError):
        arrays_to_bytes({"a": array})


@given(st.binary(max_size=200))
def test_any_bytes_are_arrays_or_one_clear_error(data: bytes) -> None:
    try:
        arrays_from_bytes(data)
    except BenchkitError as error:
        assert "safetensors" in str(error)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_json_round_trips(value: object) -> None:
    data = json_to_bytes(value)
    assert json_from_bytes(data) == value
    assert json_to_bytes(json_from_bytes(data)) == data


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), np.float64("-inf")])
def test_numbers_that_json_lacks_become_null(value: float) -> None:
    assert json_to_bytes({"b": [value], "a": np.int64(1)}) == b'{"a":1,"b":[null]}\n'


@pytest.mark.parametrize("value", [{1: 2}, {"a": object()}, b"bytes", {1, 2}, np.zeros(2)])
def test_only_plain_data_are_json(value: object) -> None:
    with pytest.raises(TypeError):
        json_to_bytes(value)


@pytest.mark.parametrize("data", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(BenchkitError, match="not readable JSON"):
        json_from_bytes(data)


def test_write_atomic_keeps_the_old_file_when_it_fails(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def failing(*_):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="broken disk"):
        write_atomic(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_the_stores_need_no_torch_and_no_pickle() -> None:
    code = "import sys, benchkit.store.artifacts, benchkit.store.results; sys.exit('torch' in sys.modules)"
    assert python(code).wait() == 0
    folder = Path(benchkit.__file__).parent / "store"
    assert not [path.name for path in folder.glob("*.py") if "import pickle" in path.read_text()]
