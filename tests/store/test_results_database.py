"""The result store's database: refusals in one line, many readers and writers, kills."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.store.results import ResultStore
from tests.store.store_helpers import COUNTS, HISTOGRAMS, key_of, python, read_line, read_words, stored, write_line


def refused(location: str | Path, message: str, **options) -> None:
    with pytest.raises(BenchkitError, match=message) as caught:
        ResultStore(location, **options)
    assert "\n" not in str(caught.value)


def test_wal_foreign_keys_and_a_patient_lock(results: ResultStore) -> None:
    with results._database.reading() as session:
        pragmas = {p: session.connection().exec_driver_sql(f"PRAGMA {p}").scalar() for p in PRAGMAS}
    assert pragmas == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000}


def test_the_store_is_one_file_that_any_sqlite_reads(results: ResultStore, path: Path) -> None:
    results.save_row(key_of("a"), {"x": 1})
    results.close()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT metrics FROM rows").fetchall() == [('{"x":1}',)]
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_opened_by_url(path: Path) -> None:
    results = ResultStore(f"sqlite:///{path}")
    results.save_row(key_of("a"), {})
    results.close()
    assert stored(ResultStore(path, create=False), ["a"])


def test_readers_see_one_state_while_a_writer_is_at_work(results: ResultStore, path: Path) -> None:
    run = results.create_run({}, {})
    reader = ResultStore(path, busy_seconds=0.1)
    with results._database.writing() as session:
        session.connection().exec_driver_sql("UPDATE runs SET status = 'done'")
        assert reader.runs()[0].status == "running"
    assert reader.runs()[0].status == "done"
    with reader._database.reading() as session:
        session.connection().exec_driver_sql("SELECT count(*) FROM runs").scalar()
        results.set_status(run, "failed")
        assert session.connection().exec_driver_sql("SELECT status FROM runs").scalar() == "done"
    reader.close()


def test_another_schema_version_is_refused_untouched(results: ResultStore, path: Path) -> None:
    results.close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE meta SET value = '99'")
    raw.close()
    before = path.read_bytes()
    refused(path, "schema version 99, this benchkit reads 2: choose another file")
    assert path.read_bytes() == before
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM meta")
    refused(path, "schema version None")


@pytest.mark.parametrize("table", ["users (id)", "meta (id)"])
def test_another_programs_database_is_refused_untouched(path: Path, table: str) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute(f"CREATE TABLE {table}")
    raw.close()
    before = path.read_bytes()
    refused(path, "another program's database")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"hello, this is no database at all" * 40, b"SQLite format 3\0" + b"\xff" * 4096])
def test_not_a_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path, "choose another file|malformed|not a database")
    assert path.read_bytes() == content


def test_torn_database(results: ResultStore, path: Path) -> None:
    for i in range(50):
        results.save_row(key_of(i), {"x": i}, COUNTS)
    run = results.create_run({}, {})
    results.close()
    size = path.stat().st_size
    os.truncate(path, size // 2)
    with pytest.raises(BenchkitError, match="malformed; choose another file") as caught:
        torn = ResultStore(path)
        torn.counts(key_of(49))
        torn.rows(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["counts", "histograms"])
def test_damaged_blobs(results: ResultStore, path: Path, name: str) -> None:
    results.save_row(key_of("a"), {}, COUNTS, HISTOGRAMS)
    with sqlite3.connect(path) as raw:
        (sound,) = raw.execute("SELECT data FROM blobs WHERE name = ?", (name,)).fetchone()
        flipped = (sound[:i] + bytes([sound[i] ^ 1]) + sound[i + 1 :] for i in range(0, len(sound), 97))
        for damaged in (b"", b"x" * 100, sound[:-9], *flipped):
            raw.execute("UPDATE blobs SET data = ? WHERE name = ?", (damaged, name))
            raw.commit()
            with pytest.raises(BenchkitError, match=f"damaged {name}"):
                getattr(results, name)(key_of("a"))


def test_damaged_json(results: ResultStore, path: Path) -> None:
    results.create_run({}, {})
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE runs SET config = '{'")
    with pytest.raises(BenchkitError, match="not readable JSON"):
        results.runs()


def test_locked(results: ResultStore, path: Path) -> None:
    hurried = ResultStore(path, busy_seconds=0.05)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BenchkitError, match="database is locked; another process"):
            hurried.create_run({}, {})
        other.execute("ROLLBACK")
    hurried.create_run({}, {})


def test_created_as_soon_as_another_lets_go(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    release.start()
    ResultStore(path).create_run({}, {})
    release.join()
    other.close()


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path, "unable to open database file; choose a place")
    refused(tmp_path / "file" / "results.sqlite", "cannot be created")
    refused("~no such user/results.sqlite", "is not a path")
    refused("/proc/results.sqlite", "unable to open database file; choose a place")
    refused(tmp_path / "none" / "results.sqlite", "there is no result store", create=False)
    assert not (tmp_path / "none").exists()
    refused(tmp_path / "file", "is empty", create=False)


def test_a_store_that_may_not_be_written(
    results: ResultStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.create_run({}, {})
    monkeypatch.chdir(tmp_path)
    readonly = ResultStore(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert len(readonly.runs()) == 1
    with pytest.raises(BenchkitError, match="readonly database; choose a place"):
        readonly.create_run({}, {})
    assert not list(tmp_path.glob("file:*")), "a URI taken for a path"


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@h/d", "://", "x://y", "postgresql+nodriver://u:secret@h/d", "sqlite://h:x/y"]
)
def test_urls_that_lead_nowhere(url: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        ResultStore(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


WRITER = """
import hashlib, sys
import numpy as np, pandas as pd
from benchkit.store.results import CellInfo, ResultStore
start = int(sys.stdin.readline())
results = ResultStore(sys.argv[1])
for i in range(start, start + int(sys.argv[2])):
    key = hashlib.sha256(str(i).encode()).hexdigest()
    run = results.create_run({}, {})
    results.upsert_cells(run, [CellInfo(key, "human", i, "test")])
    counts = pd.DataFrame({name: np.arange(100) for name in ("image", "tp", "fp", "fn", "tn")})
    results.save_row(key, {"i": i}, counts, {"h": np.zeros((100, 64), np.int64)})
    results.set_state(run, key, "done")
    print(i, flush=True)
"""


def test_processes_that_create_one_store_and_write_the_same_rows(path: Path) -> None:
    writers = [python(WRITER, path, 10) for _ in range(3)]
    for writer in writers:
        write_line(writer, 0)
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    results = ResultStore(path)
    runs = results.runs()
    assert len(runs) == 30
    assert all(run.cells == {"done": 1} for run in runs)
    assert len(stored(results, range(10))) == 10
    assert len(results.counts(key_of(3))) == 100


def test_kill_nine_loses_no_committed_row(path: Path) -> None:
    done = -1
    for kill, process in enumerate([python(WRITER, path, 10**9) for _ in range(3)]):
        write_line(process, done + 1)
        read_line(process)
        time.sleep(0.05 * kill)
        process.kill()
        reported = [done + 1, *map(int, read_words(process))]
        assert process.wait() == -signal.SIGKILL
        results = ResultStore(path)
        assert len(stored(results, reported)) == len(reported)
        for i in range(max(reported) + 2):  # a row without its parts would be a half-written one
            if stored(results, [i]):
                assert len(results.counts(key_of(i))) == len(results.histograms(key_of(i))["h"]) == 100
        results.close()
        done = max(reported)
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
