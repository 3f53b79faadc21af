"""The result store on a real PostgreSQL server, started for these tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest

from benchkit.errors import BenchkitError
from benchkit.store.results import CellInfo, ResultStore
from tests.store.store_helpers import COUNTS, HISTOGRAMS, key_of, stored

pytestmark = pytest.mark.slow


def program(name: str) -> Path:
    """Where PostgreSQL's program lies; skips where there is none."""
    found = shutil.which(name)
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not places:
        pytest.skip(f"no PostgreSQL here: '{name}' is not installed")
    return places[-1].resolve()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a fresh server, without the database's name."""
    pytest.importorskip("psycopg", reason="needs artifact-benchkit[postgres]")
    initdb, postgres = program("initdb"), program("postgres")
    # PostgreSQL does not run as root, and pytest's folders are for their owner alone.
    with TemporaryDirectory(prefix="postgres-") as made:
        owner = None if os.getuid() else pwd.getpwnam("nobody").pw_uid
        if owner is not None:
            os.chown(made, owner, -1)
        yield from running(initdb, postgres, Path(made), owner)


def running(initdb: Path, postgres: Path, folder: Path, owner: int | None) -> Iterator[str]:
    """The URL of a server with its files in this folder, run by this user; it ends when the generator does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    made = [str(initdb), "-D", str(data), "-U", "tester", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, user=owner, cwd=folder)
    options = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-c", "fsync=off"]
    process = subprocess.Popen([str(postgres), *options], stderr=subprocess.DEVNULL, user=owner, cwd=folder)
    url = f"postgresql://tester@127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                ResultStore(f"{url}/template1", create=False)
            except BenchkitError as error:
                if "is empty" in str(error):
                    break
                assert time.monotonic() < deadline and process.poll() is None, str(error)
                time.sleep(0.2)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # "fast": without waiting for whoever is still connected
        process.wait(60)


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of this test's own."""
    import psycopg

    name = f"t{abs(hash(request.node.name)) % 10**9}"
    with psycopg.connect(f"{server}/template1", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return f"{server}/{name}"


def filled(location: str | Path) -> ResultStore:
    """A store with a run of three cells, of which two have rows, one of them stored twice."""
    results = ResultStore(location)
    run = results.create_run({"title": "ü \0"}, {"device": "cpu"})
    labels = {"selector": "s", "corruptor": "c", "corruptor_params": {"steps": 5}, "detector": "d"}
    cells = [CellInfo(key_of(i), f"row {i}", i, "t/test[4]", **labels) for i in range(3)]  # type: ignore[arg-type]
    assert set(results.upsert_cells(run, cells).values()) == {"pending"}
    results.save_row(key_of(0), {"iou": 0.1}, COUNTS)
    results.save_row(key_of(0), {"iou": 0.25, "text": "a\0b", "none": None, "nan": float("nan")}, COUNTS, HISTOGRAMS)
    results.save_row(key_of(1), {"iou": 1e-300, "big": 2**60}, provenance={"device": "cpu"})
    results.set_state(run, key_of(0), "done", seconds=1.5)
    results.set_state(run, key_of(2), "failed", reason="line 1\nline 2 \ud800")
    assert results.upsert_cells(run, cells) == {key_of(0): "done", key_of(1): "done", key_of(2): "failed"}
    results.set_status(run, "failed")
    return results


def test_it_keeps_what_sqlite_keeps(url: str, tmp_path: Path) -> None:
    stores = filled(url), filled(tmp_path / "results.sqlite")
    runs = [store.runs()[0] for store in stores]
    assert [run.cells for run in runs] == [{"done": 2, "failed": 1}] * 2
    assert runs[0].config == runs[1].config
    frames = [store.rows(run.id).drop(columns="run") for store, run in zip(stores, runs, strict=True)]
    pd.testing.assert_frame_equal(*frames)
    for store in stores:
        pd.testing.assert_frame_equal(store.counts(key_of(0)), COUNTS)
        found = store.histograms(key_of(0))
        assert {name: array.tobytes() for name, array in found.items()} == {
            name: array.tobytes() for name, array in HISTOGRAMS.items()
        }
        assert store.provenance(key_of(1)) == {"device": "cpu"}
        assert store.find_run(runs[0].id if store is stores[0] else runs[1].id)
        with pytest.raises(BenchkitError, match="no counts are stored"):
            store.counts(key_of(1))
        store.close()


def test_a_reader_sees_one_state(url: str) -> None:
    results = filled(url)
    run = results.runs()[0].id
    with results._database.reading() as session:
        assert session.connection().exec_driver_sql("SELECT status FROM runs").scalar() == "failed"
        ResultStore(url).set_status(run, "done")
        assert session.connection().exec_driver_sql("SELECT status FROM runs").scalar() == "failed"
    assert results.runs()[0].status == "done"


def test_a_transaction_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    results = ResultStore(url)

    def broken(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("benchkit.store.results.BlobRecord", broken)
        with pytest.raises(Exception):  # noqa: B017  # whatever it is, nothing may stay
            results.save_row(key_of(0), {"x": 1}, COUNTS)
    assert stored(results, [0]) == []


def test_many_create_and_write_at_once(url: str) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            store = ResultStore(url)
            for i in range(5):
                store.save_row(key_of(i), {"i": i}, COUNTS)
                store.upsert_cells(store.create_run({}, {}), [CellInfo(key_of(i), "human", i, "t")])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    results = ResultStore(url)
    assert len(results.runs()) == 20
    assert len(stored(results, range(5))) == 5


def test_another_schema_version_is_refused_with_the_way_out(url: str) -> None:
    import psycopg

    ResultStore(url).close()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE meta SET value = '99'")
    with pytest.raises(BenchkitError, match="schema version 99, this benchkit reads 2: choose another"):
        ResultStore(url)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE meta SET value = '1'")
    with pytest.raises(BenchkitError, match="schema version 1, this benchkit reads 2: choose another"):
        ResultStore(url)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE meta SET value = '2'")
    results = ResultStore(url)
    results.save_row(key_of(0), {})
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE rows SET schema_version = 7")
    with pytest.raises(BenchkitError, match="a row of schema version 7, this benchkit reads 1: choose another"):
        ResultStore(url)
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE meta")
    with pytest.raises(BenchkitError, match="another program's database"):
        ResultStore(url)


def test_a_server_that_drops_an_idle_connection(url: str) -> None:
    import psycopg

    results = filled(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert len(results.runs()) == 1


def test_no_server_and_no_database_are_one_line_without_the_password(server: str) -> None:
    nobody = server.replace("tester@", "tester:secret@")
    for location in (f"{nobody}/nothing", "postgresql://u:secret@127.0.0.1:1/d"):
        with pytest.raises(BenchkitError) as caught:
            ResultStore(location)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
