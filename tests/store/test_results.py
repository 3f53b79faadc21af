"""The result store: rows found again, states kept, nothing half-written, many readers, clear refusals."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import benchkit
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.store.results import ROW_COLUMNS, CellInfo, ResultStore, mark_folder


def key_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def cell(name: object = "a", **changes) -> CellInfo:
    described = {"training_set": "renoise", "detector": "upernet-swin", "seed": 0, "test_set": "portraits/test"}
    return CellInfo(key_of(name), **(described | changes))


METRICS = {"artifact_iou": 0.25, "images": 100, "note": "ok", "aupro": float("nan"), "psnr": np.float32("inf")}
COUNTS = pd.DataFrame(
    {
        "image": ["portraits/test/0", "a\0b", "ü"],
        "tp": [1, 2, 3],
        "fp": [0, 0, 2**40],
        "fn": [4, 5, 6],
        "tn": [7, 8, 9],
        "cc": [0.5, float("nan"), -1.0],
    }
)
HISTOGRAMS = {"histograms": np.arange(3 * 2 * 16, dtype=np.int64).reshape(3, 2, 16), "kind:hand": np.zeros((3, 16))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


@pytest.fixture
def store(path: Path):
    store = ResultStore(path)
    yield store
    store.close()


def python(code: str, *args: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(benchkit.__file__).parents[1])}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def refused(location: str | Path, message: str, **options) -> None:
    with pytest.raises(BenchkitError, match=message) as caught:
        ResultStore(location, **options)
    assert "\n" not in str(caught.value)


# --- runs and cells --------------------------------------------------------------------------------------------


def test_a_run_from_start_to_end(store: ResultStore) -> None:
    run = store.create_run({"title": "quick", "seeds": (0, 1)}, {"torch": "2.13"})
    cells = [cell("b"), cell("a", corruptor="gaussian", corruptor_params={"steps": 5}, selector="learned")]
    assert store.upsert_cells(run, cells) == {key_of("b"): "pending", key_of("a"): "pending"}
    store.set_state(run, key_of("b"), "running")
    store.set_state(run, key_of("b"), "failed", reason="out of memory", seconds=1.5)
    store.save_row(key_of("a"), METRICS, COUNTS, HISTOGRAMS, provenance={"device": "cpu"})
    store.set_state(run, key_of("a"), "done", seconds=2)
    store.set_status(run, "done")

    (info,) = store.runs()
    assert (info.id, info.status, info.cells) == (run, "done", {"done": 1, "failed": 1})
    assert info.config == {"title": "quick", "seeds": [0, 1]}
    assert info.environment == {"torch": "2.13"}
    assert [c.key for c in store.cells(run)] == [key_of("b"), key_of("a")]
    assert store.cells(run)[1] == CellInfo(**(vars(cells[1]) | {"state": "done", "seconds": 2.0}))

    frame = store.rows(run)
    assert tuple(frame.columns) == (*ROW_COLUMNS, *sorted(METRICS))
    assert list(frame["state"]) == ["failed", "done"]
    assert list(frame["reason"])[0] == "out of memory"
    assert frame["corruptor_params"][1] == '{"steps":5}'
    assert frame["artifact_iou"].isna()[0]
    assert frame["artifact_iou"][1] == 0.25
    assert frame["aupro"].dtype == frame["psnr"].dtype == np.float64
    assert store.provenance(key_of("a")) == {"device": "cpu"}
    pd.testing.assert_frame_equal(store.counts(key_of("a")), COUNTS)
    back = store.histograms(key_of("a"))
    assert back.keys() == HISTOGRAMS.keys()
    for name, array in HISTOGRAMS.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def test_a_cell_computed_once_is_found_by_the_next_run(store: ResultStore) -> None:
    store.save_row(key_of("a"), {"artifact_iou": 0.5})
    run = store.create_run({}, {})
    assert store.upsert_cells(run, [cell("a"), cell("b")]) == {key_of("a"): "done", key_of("b"): "pending"}
    assert store.rows(run)["artifact_iou"][0] == 0.5
    assert store.has_rows([key_of("a"), key_of("b")]) == {key_of("a")}


def test_planning_a_run_again_keeps_what_is_known(store: ResultStore) -> None:
    run = store.create_run({}, {})
    names = ["done", "failed", "running", "skipped", "new"]
    store.upsert_cells(run, [cell(name) for name in names[:4]])
    store.save_row(key_of("done"), {})
    store.set_state(run, key_of("done"), "done", seconds=9)
    store.set_state(run, key_of("failed"), "failed", reason="why", seconds=3)
    store.set_state(run, key_of("running"), "running")
    store.set_state(run, key_of("skipped"), "skipped", reason="needs a GPU")
    store.upsert_cells(run, [cell(name, detector="renamed") for name in names])
    by_key = {c.key: c for c in store.cells(run)}
    found = {name: (by_key[key_of(name)].state, by_key[key_of(name)].reason) for name in names}
    assert found == {
        "done": ("done", None),
        "failed": ("failed", "why"),
        "running": ("pending", None),
        "skipped": ("pending", None),
        "new": ("pending", None),
    }
    assert by_key[key_of("done")].seconds == 9
    assert {c.detector for c in by_key.values()} == {"renamed"}
    store.upsert_cells(run, [cell("new", state="skipped", reason="one")])
    store.upsert_cells(run, [cell("new", state="skipped", reason="two")])
    assert store.cells(run)[-1].reason == "two"


def test_no_cells_and_no_rows(store: ResultStore) -> None:
    run = store.create_run({}, {})
    assert store.upsert_cells(run, []) == {}
    assert store.rows(run).empty
    assert tuple(store.rows(run).columns) == ROW_COLUMNS
    store.upsert_cells(run, [cell(detector=None)])
    assert store.rows(run)["seconds"].dtype == np.float64


def test_run_ids_are_unique_and_readable(store: ResultStore) -> None:
    ids = [store.create_run({"same": 1}, {}) for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(len(run) == len("20250131-235959-abcdef") for run in ids)
    assert [run.id for run in store.runs()] == ids


def test_find_run(store: ResultStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="known: none"):
        store.find_run("x")
    first, second = store.create_run({}, {}), store.create_run({}, {})
    assert store.find_run(first) == first
    assert store.find_run(second[:-1]) == second
    with pytest.raises(BenchkitError, match="ambiguous"):
        store.find_run("2")
    for nobody in ("", "%", "_", "nothing", "x" * 5000, "a\0b"):
        with pytest.raises(UnknownNameError):
            store.find_run(nobody)
    with pytest.raises(UnknownNameError):
        store.find_run(tmp_path)
    mark_folder(tmp_path, second)
    assert store.find_run(tmp_path) == second
    for damaged in ("", "[]", "{}", "\xff"):
        (tmp_path / "run.json").write_bytes(damaged.encode("latin-1"))
        with pytest.raises(BenchkitError, match="does not say which run"):
            store.find_run(tmp_path)


def test_unknown_runs_cells_and_states(store: ResultStore) -> None:
    run = store.create_run({}, {})
    for use in (store.rows, store.cells, lambda r: store.upsert_cells(r, []), lambda r: store.set_status(r, "done")):
        with pytest.raises(UnknownNameError, match="did you mean"):
            use(run[:-1] + "x")
    with pytest.raises(KeyError):
        store.set_state(run, key_of("a"), "done")
    for use in (store.counts, store.histograms, store.provenance):
        with pytest.raises(BenchkitError, match="stored for cell"):
            use(key_of("a"))
    with pytest.raises(ValueError, match="state"):
        store.set_state(run, key_of("a"), "finished")
    with pytest.raises(ValueError, match="state"):
        store.upsert_cells(run, [cell(state="finished")])
    with pytest.raises(ValueError, match="status"):
        store.set_status(run, "finished")


# --- rows ------------------------------------------------------------------------------------------------------


def test_a_row_stored_again_replaces_all_of_the_first(store: ResultStore) -> None:
    store.save_row(key_of("a"), {"x": 1}, COUNTS, HISTOGRAMS)
    store.save_row(key_of("a"), {"y": 2}, COUNTS.head(1))
    run = store.create_run({}, {})
    store.upsert_cells(run, [cell("a")])
    assert "x" not in store.rows(run)
    assert len(store.counts(key_of("a"))) == 1
    with pytest.raises(BenchkitError, match="no histograms"):
        store.histograms(key_of("a"))


@pytest.mark.parametrize("metrics", [{"seed": 1}, {1: 2}, {"a": {"b": 1}}, {"a": [1]}, {"a": np.zeros(2)}])
def test_metrics_are_one_flat_dict(store: ResultStore, metrics) -> None:
    with pytest.raises(ValueError, match="metric"):
        store.save_row(key_of("a"), metrics)
    assert not store.has_rows([key_of("a")])


def test_counts_need_their_columns(store: ResultStore) -> None:
    with pytest.raises(ValueError, match="lack the columns image, fn"):
        store.save_row(key_of("a"), {}, COUNTS.drop(columns=["image", "fn"]))


def test_a_row_whose_parts_fail_is_not_stored(store: ResultStore, monkeypatch) -> None:
    real, calls = ResultStore._put, iter(range(9))

    def failing(self, session, table, values):
        if next(calls) == 1:
            raise RuntimeError("killed between the row and its counts")
        real(self, session, table, values)

    monkeypatch.setattr(ResultStore, "_put", failing)
    with pytest.raises(RuntimeError):
        store.save_row(key_of("a"), {"x": 1}, COUNTS)
    assert not store.has_rows([key_of("a")])


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    dumps = []
    for name in ("one", "two"):
        store = ResultStore(tmp_path / name)
        metrics = METRICS if name == "one" else dict(reversed(METRICS.items()))
        store.save_row(key_of("a"), metrics, COUNTS.copy(), dict(HISTOGRAMS))
        store.close()
        with sqlite3.connect(tmp_path / name) as raw:
            dumps.append([raw.execute(f"SELECT * FROM {table}").fetchall() for table in ("rows", "blobs")])
    assert dumps[0] == dumps[1]


NASTY = [
    "'; DROP TABLE rows; --",
    "=cmd|' /C calc'!A0",
    "<script>",
    "%s {} \\",
    "a\0b",
    "\ud800",
    "\n\r\t",
    "ü漢🙂",
    "",
]


@pytest.mark.parametrize("text", NASTY)
def test_all_text_is_data(store: ResultStore, text: str) -> None:
    run = store.create_run({text: text}, {"t": text})
    store.upsert_cells(run, [cell(training_set=text, corruptor=text, corruptor_params={text: text})])
    store.set_state(run, key_of("a"), "failed", reason=text)
    store.save_row(key_of("a"), {"note": text, f"metric {text}": 1})
    kept = text.replace("\0", "\\x00").replace("\ud800", "\\ud800")
    assert store.runs()[0].config == {text: text}
    (found,) = store.cells(run)
    assert (found.training_set, found.corruptor, found.reason) == (kept, kept, kept)
    assert found.corruptor_params == {text: text}
    assert store.rows(run)["note"][0] == kept
    assert store.rows(run)[f"metric {kept}"][0] == 1


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | TEXT
NAMES = TEXT.filter(lambda name: name not in ROW_COLUMNS)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, SCALARS, max_size=5), st.integers())
def test_any_metrics_round_trip(tmp_path_factory, metrics, salt) -> None:
    store = ResultStore(tmp_path_factory.getbasetemp() / "any.sqlite")
    key = key_of((metrics, salt))
    store.save_row(key, metrics)
    run = store.create_run({}, {})
    store.upsert_cells(run, [CellInfo(key, "human", 0, "test")])
    (line,) = store.rows(run).to_dict("records")
    for name, value in metrics.items():
        if value is None or (isinstance(value, float) and not np.isfinite(value)):
            assert pd.isna(line[name])
        else:
            assert line[name] == value
    store.close()


# --- the database ----------------------------------------------------------------------------------------------


def test_wal_foreign_keys_and_a_patient_lock(store: ResultStore) -> None:
    with store._database.reading() as session:
        pragmas = {p: session.connection().exec_driver_sql(f"PRAGMA {p}").scalar() for p in PRAGMAS}
    assert pragmas == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000}


def test_the_store_is_one_file_that_any_sqlite_reads(store: ResultStore, path: Path) -> None:
    store.save_row(key_of("a"), {"x": 1})
    store.close()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT metrics FROM rows").fetchall() == [('{"x":1}',)]
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_opened_by_url(path: Path) -> None:
    store = ResultStore(f"sqlite:///{path}")
    store.save_row(key_of("a"), {})
    store.close()
    assert ResultStore(path, create=False).has_rows([key_of("a")])


def test_readers_see_one_state_while_a_writer_is_at_work(store: ResultStore, path: Path) -> None:
    run = store.create_run({}, {})
    reader = ResultStore(path, busy_seconds=0.1)
    with store._database.writing() as session:
        session.connection().exec_driver_sql("UPDATE runs SET status = 'done'")
        assert reader.runs()[0].status == "running"
    assert reader.runs()[0].status == "done"
    with reader._database.reading() as session:
        session.connection().exec_driver_sql("SELECT count(*) FROM runs").scalar()
        store.set_status(run, "failed")
        assert session.connection().exec_driver_sql("SELECT status FROM runs").scalar() == "done"
    reader.close()


def test_another_schema_version_is_refused_untouched(store: ResultStore, path: Path) -> None:
    store.close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE meta SET value = '99'")
    raw.close()
    before = path.read_bytes()
    refused(path, "schema version 99, this benchkit reads 1: choose another file")
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


def test_torn_database(store: ResultStore, path: Path) -> None:
    for i in range(50):
        store.save_row(key_of(i), {"x": i}, COUNTS)
    run = store.create_run({}, {})
    store.close()
    size = path.stat().st_size
    os.truncate(path, size // 2)
    with pytest.raises(BenchkitError, match="malformed; choose another file") as caught:
        torn = ResultStore(path)
        torn.counts(key_of(49))
        torn.rows(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["counts", "histograms"])
def test_damaged_blobs(store: ResultStore, path: Path, name: str) -> None:
    store.save_row(key_of("a"), {}, COUNTS, HISTOGRAMS)
    with sqlite3.connect(path) as raw:
        (sound,) = raw.execute("SELECT data FROM blobs WHERE name = ?", (name,)).fetchone()
        for damaged in (b"", b"x" * 100, sound[:-9], sound[:20] + b"\0\0" + sound[22:]):
            raw.execute("UPDATE blobs SET data = ? WHERE name = ?", (damaged, name))
            raw.commit()
            with pytest.raises(BenchkitError, match=f"damaged {name}"):
                getattr(store, name)(key_of("a"))


def test_damaged_json(store: ResultStore, path: Path) -> None:
    store.create_run({}, {})
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE runs SET config = '{'")
    with pytest.raises(BenchkitError, match="not readable JSON"):
        store.runs()


def test_locked(store: ResultStore, path: Path) -> None:
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
    refused("~no such user/results.sqlite", "is nowhere")
    refused("/proc/results.sqlite", "unable to open database file; choose a place")
    refused(tmp_path / "none" / "results.sqlite", "there is no result store", create=False)
    assert not (tmp_path / "none").exists()
    refused(tmp_path / "file", "is empty", create=False)


def test_a_store_that_may_not_be_written(store: ResultStore, path: Path) -> None:
    store.create_run({}, {})
    readonly = ResultStore(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert len(readonly.runs()) == 1
    with pytest.raises(BenchkitError, match="readonly database; choose a place"):
        readonly.create_run({}, {})


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@h/d", "://", "x://y", "postgresql+nodriver://u:secret@h/d", "sqlite://h:x/y"]
)
def test_urls_that_lead_nowhere(url: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        ResultStore(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


# --- many processes --------------------------------------------------------------------------------------------

WRITER = """
import hashlib, sys
import numpy as np, pandas as pd
from benchkit.store.results import CellInfo, ResultStore
start = int(sys.argv[2])
store = ResultStore(sys.argv[1])
print("ready", flush=True)
for i in range(start, start + int(sys.argv[3])):
    key = hashlib.sha256(str(i).encode()).hexdigest()
    run = store.create_run({}, {})
    store.upsert_cells(run, [CellInfo(key, "human", i, "test")])
    counts = pd.DataFrame({name: np.arange(100) for name in ("image", "tp", "fp", "fn", "tn")})
    store.save_row(key, {"i": i}, counts, {"h": np.zeros((100, 64), np.int64)})
    store.set_state(run, key, "done")
    print(i, flush=True)
"""


def test_processes_that_create_one_store_and_write_the_same_rows(path: Path) -> None:
    writers = [python(WRITER, path, 0, 10) for _ in range(3)]
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    store = ResultStore(path)
    runs = store.runs()
    assert len(runs) == 30
    assert all(run.cells == {"done": 1} for run in runs)
    assert len(store.has_rows([key_of(i) for i in range(10)])) == 10
    assert len(store.counts(key_of(3))) == 100


def test_kill_nine_loses_no_committed_row(path: Path) -> None:
    done = -1
    for kill in range(3):
        process = python(WRITER, path, done + 1, 10**9)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdout.readline()
        time.sleep(0.05 * kill)
        process.kill()
        reported = [done + 1, *map(int, process.stdout.read().split())]
        assert process.wait() == -signal.SIGKILL
        store = ResultStore(path)
        assert len(store.has_rows([key_of(i) for i in reported])) == len(reported)
        for i in range(max(reported) + 2):  # a row without its parts would be a half-written one
            if store.has_rows([key_of(i)]):
                assert len(store.counts(key_of(i))) == len(store.histograms(key_of(i))["h"]) == 100
        store.close()
        done = max(reported)
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
