"""The artifact store behind a URL: in memory, and on a real S3 server of this machine."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchkit.errors import BenchkitError
from benchkit.store import leases
from benchkit.store.artifacts import ArtifactBusy, ArtifactStore, CacheUnwritable, DamagedResult
from benchkit.store.bucket import Bucket
from benchkit.store.location import CacheUrl, parse_location
from benchkit.store.opening import open_store
from benchkit.store.pins import list_pinned_runs, pin, read_pins
from tests.helpers.s3_server import new_bucket, serving
from tests.store.store_helpers import FILES, KEY, key_of, python, read_line


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A running S3 server."""
    with serving() as running:
        yield running


@pytest.fixture
def s3(server: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket."""
    return new_bucket(server, monkeypatch)


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BENCHKIT_COPIES", str(tmp_path / "copies"))
    return request.getfixturevalue("s3") if request.param == "s3" else f"memory://{tmp_path.name}-{time.time_ns()}/c"


def elsewhere(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """The same cache, on another machine."""
    monkeypatch.setenv("BENCHKIT_COPIES", str(tmp_path / f"copies-{time.time_ns()}"))
    return open_store(url)


def bucket(url: str) -> Bucket:
    place = parse_location(url)
    assert isinstance(place, CacheUrl)
    return Bucket(place)


def objects(url: str) -> dict[str, int]:
    return {name: entry.size for name, entry in bucket(url).list_entries("objects").items()}


def test_what_one_machine_writes_another_reads(url: str, tmp_path: Path, monkeypatch) -> None:
    store = open_store(url)
    assert not store.has(KEY) and not list(store.keys())
    store.write(KEY, FILES, {"steps": 5})
    other = pickle.loads(pickle.dumps(elsewhere(url, tmp_path, monkeypatch)))  # noqa: S301  # as an executor does it
    assert other.has(KEY) and other.root != store.root
    artifact = other.open(KEY)
    assert artifact.meta == {"steps": 5}
    assert {name: artifact.read(name) for name in artifact.names} == FILES
    assert artifact.path("data.bin").read_bytes() == FILES["data.bin"]
    assert sum(artifact.size for artifact in other.ls()) == sum(map(len, FILES.values()))
    assert [a.key for a in other.ls()] == list(other.keys()) == [KEY]
    near = [ArtifactStore(one.root).folder(KEY) for one in (store, other)]
    local = ArtifactStore(tmp_path / "local").write(KEY, FILES, {"steps": 5}).folder
    for path in local.iterdir():
        assert [(folder / path.name).read_bytes() for folder in near] == [path.read_bytes()] * 2


def test_first_writer_wins_and_the_copy_follows(url: str, tmp_path: Path, monkeypatch) -> None:
    one, two = open_store(url), elsewhere(url, tmp_path, monkeypatch)
    one.write(KEY, {"data": b"first"})
    assert two.write(KEY, {"data": b"second"}).read("data") == b"first"
    assert one.open(KEY).read("data") == b"first"


def test_a_flipped_byte_there_is_found_and_mended(url: str, tmp_path: Path, monkeypatch) -> None:
    artifact = open_store(url).write(KEY, FILES)
    blob = f"objects/{KEY[:2]}/{KEY[2:]}/{artifact.files['data.bin'].sha256}"
    bucket(url).write(blob, b"X" + FILES["data.bin"][1:])
    other = elsewhere(url, tmp_path, monkeypatch)
    assert other.has(KEY)
    with pytest.raises(DamagedResult, match="does not match its checksum"):
        other.open(KEY).read("data.bin")
    assert [damage is not None for _, damage in other.verify()] == [True]
    assert other.discard(KEY) and not other.discard(KEY) and not other.has(KEY)
    other.write(KEY, FILES)
    assert [damage for _, damage in elsewhere(url, tmp_path, monkeypatch).verify()] == [None]


def test_a_flipped_byte_in_the_copy_is_fetched_again(url: str) -> None:
    store = open_store(url)
    store.write(KEY, FILES)
    path = ArtifactStore(store.root).folder(KEY) / "data.bin"
    path.write_bytes(b"X" + FILES["data.bin"][1:])
    assert store.open(KEY).read("data.bin") == FILES["data.bin"]


def test_an_upload_broken_off_is_not_believed(url: str, tmp_path: Path, monkeypatch) -> None:
    store = open_store(url)

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "create", killed)
        with pytest.raises(KeyboardInterrupt):
            store.write(KEY, FILES)
    assert len(objects(url)) == 2  # the files are there, the manifest is not
    assert not store.has(KEY) and not list(store.keys()) and not list(store.verify())
    other = elsewhere(url, tmp_path, monkeypatch)
    assert not other.has(KEY)
    with store.lease(KEY):  # this machine has the work done, and sends it
        assert store.has(KEY)
    assert other.open(KEY).read("data.bin") == FILES["data.bin"]


def test_claims_among_machines(url: str, tmp_path: Path, monkeypatch) -> None:
    one, two = open_store(url), elsewhere(url, tmp_path, monkeypatch)
    with one.lease(KEY), one.lease(KEY), pytest.raises(ArtifactBusy), two.lease(KEY, timeout=0):
        pass
    with two.lease(KEY, timeout=0):
        pass
    assert not bucket(url).list_entries("leases") and not bucket(url).list_entries("holders")


def test_the_claim_of_a_dead_holder_expires(url: str, monkeypatch) -> None:
    monkeypatch.setattr(leases, "DEAD_AFTER", 0.3)
    monkeypatch.setattr(leases, "POLL", 0.05)
    store = open_store(url)
    bucket(url).write(f"leases/{KEY}", b'["another machine","dead"]')
    bucket(url).write("holders/dead", b"1")
    with pytest.raises(ArtifactBusy), store.lease(KEY, timeout=0):
        pass
    with store.lease(KEY, timeout=5):
        pass


def test_prune_and_notes(url: str) -> None:
    store = open_store(url)
    for i in range(3):
        store.write(key_of(i), {"data": b"x" * 100})
    pin(store.location, "20260101-a", {key_of(1): "work"})
    assert list_pinned_runs(store.location) == ["20260101-a"]
    assert store.prune(keep=read_pins(store.location, "2026"), dry_run=True).size == 200
    assert len(store.prune(keep=read_pins(store.location, "2026")).keys) == 2
    assert list(store.keys()) == [key_of(1)]
    assert len(objects(url)) == 2


def test_another_version_is_refused(url: str) -> None:
    open_store(url)
    bucket(url).write("VERSION", b"benchkit-cache 1\n")
    with pytest.raises(BenchkitError, match="another version"):
        open_store(url)


RACER = """
import os, sys, time
from benchkit.store.opening import open_store
store = open_store(sys.argv[1])
for key in sys.argv[2:]:
    with store.lease(key):
        if not store.has(key):
            print("computed", key)
            store.write(key, {"data": os.urandom(1000)})
"""


def test_two_processes_share_the_work(s3: str, tmp_path: Path, monkeypatch) -> None:
    keys = [key_of(i) for i in range(4)]
    racers = []
    for i in range(2):  # as on two machines
        monkeypatch.setenv("BENCHKIT_COPIES", str(tmp_path / f"copies-{i}"))
        racers.append(python(RACER, s3, *keys))
    outputs = [racer.communicate()[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert sorted(word for output in outputs for word in output if word != "computed") == sorted(keys)
    assert [damage for _, damage in open_store(s3).verify()] == [None] * 4


HOLDER = """
import sys, time
from benchkit.store.opening import open_store
with open_store(sys.argv[1]).lease(sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_after_a_kill_the_same_machine_waits_for_nobody(s3: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BENCHKIT_COPIES", str(tmp_path / "copies"))
    holder = python(HOLDER, s3, KEY)
    assert read_line(holder) == "held\n"
    holder.kill()
    holder.wait()
    with open_store(s3).lease(KEY, timeout=5):
        pass


def test_no_bucket_is_one_line_and_makes_none(s3: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BENCHKIT_COPIES", str(tmp_path / "copies"))
    for _ in range(2):
        with pytest.raises(CacheUnwritable, match="create the bucket") as caught:
            open_store("s3://nobody-made-this/cache")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["s3://", "s3://a?b=secret", "simplecache::s3://a/b", "s3://a/*"])
def test_a_url_that_is_none(text: str) -> None:
    with pytest.raises(BenchkitError, match="a cache's URL is") as caught:
        parse_location(text)
    assert "secret" not in str(caught.value)


def test_passwords_are_never_shown() -> None:
    with pytest.raises(BenchkitError) as caught:
        open_store("nosuch://me:se%2Fcret@host/folder")
    for secret in ("se%2Fcret", "se/cret"):
        assert secret not in str(caught.value)
        assert secret not in str(parse_location("nosuch://me:se%2Fcret@host/folder"))
        assert secret not in repr(parse_location("nosuch://me:se%2Fcret@host/folder"))
    assert "\n" not in str(caught.value)


def test_file_urls_are_folders(tmp_path: Path) -> None:
    assert open_store(f"file://{tmp_path / 'c'}").root == tmp_path / "c"
