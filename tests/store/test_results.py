"""The result store: states kept, rows found again, all text data."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.store.columns import ROW_COLUMNS
from benchkit.store.results import CellInfo, ResultStore
from benchkit.store.run_id_file import RunMark, write_mark
from tests.store.store_helpers import COUNTS, HISTOGRAMS, key_of, stored


def cell(name: object = "a", **changes) -> CellInfo:
    described = {
        "role": "corrupted",
        "method": "renoise",
        "detector": "upernet-swin",
        "seed": 0,
        "test_set": "portraits/test",
    }
    return CellInfo(key_of(name), **(described | changes))


METRICS = {"artifact_iou": 0.25, "images": 100, "note": "ok", "aupro": float("nan"), "psnr": np.float32("inf")}


def test_a_run_from_start_to_end(results: ResultStore) -> None:
    run = results.create_run({"title": "quick", "seeds": (0, 1)}, {"torch": "2.13"})
    cells = [cell("b"), cell("a", corruptor="gaussian", corruptor_params={"steps": 5}, selector="learned")]
    assert results.upsert_cells(run, cells) == {key_of("b"): "pending", key_of("a"): "pending"}
    results.set_state(run, key_of("b"), "running")
    results.set_state(run, key_of("b"), "failed", reason="out of memory", seconds=1.5)
    results.save_row(key_of("a"), METRICS, COUNTS, HISTOGRAMS, provenance={"device": "cpu"})
    results.set_state(run, key_of("a"), "done", seconds=2)
    results.set_status(run, "done")

    (info,) = results.runs()
    assert (info.id, info.status, info.cells) == (run, "done", {"done": 1, "failed": 1})
    assert info.config == {"title": "quick", "seeds": [0, 1]}
    assert info.environment == {"torch": "2.13"}
    assert [c.key for c in results.cells(run)] == [key_of("b"), key_of("a")]
    assert results.cells(run)[1] == CellInfo(**(vars(cells[1]) | {"state": "done", "seconds": 2.0}))

    frame = results.rows(run)
    assert tuple(frame.columns) == (*ROW_COLUMNS, *sorted(METRICS))
    assert list(frame["state"]) == ["failed", "done"]
    assert frame["reason"][0] == "out of memory"
    assert frame["corruptor_params"][1] == '{"steps":5}'
    assert frame["artifact_iou"].isna()[0]
    assert frame["artifact_iou"][1] == 0.25
    assert frame["aupro"].dtype == frame["psnr"].dtype == np.float64
    assert results.provenance(key_of("a")) == {"device": "cpu"}
    pd.testing.assert_frame_equal(results.counts(key_of("a")), COUNTS)
    back = results.histograms(key_of("a"))
    assert back.keys() == HISTOGRAMS.keys()
    for name, array in HISTOGRAMS.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def test_a_cell_computed_once_is_found_by_the_next_run(results: ResultStore) -> None:
    results.save_row(key_of("a"), {"artifact_iou": 0.5})
    run = results.create_run({}, {})
    assert results.upsert_cells(run, [cell("a"), cell("b")]) == {key_of("a"): "done", key_of("b"): "pending"}
    assert results.rows(run)["artifact_iou"][0] == 0.5
    assert stored(results, ["a", "b"]) == ["a"]


def test_planning_a_run_again_keeps_what_is_known(results: ResultStore) -> None:
    run = results.create_run({}, {})
    names = ["done", "failed", "running", "skipped", "new"]
    results.upsert_cells(run, [cell(name) for name in names[:4]])
    results.save_row(key_of("done"), {})
    results.set_state(run, key_of("done"), "done", seconds=9)
    results.set_state(run, key_of("failed"), "failed", reason="why", seconds=3)
    results.set_state(run, key_of("running"), "running")
    results.set_state(run, key_of("skipped"), "skipped", reason="needs a GPU")
    results.upsert_cells(run, [cell(name, detector="renamed") for name in names])
    by_key = {c.key: c for c in results.cells(run)}
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
    results.upsert_cells(run, [cell("new", state="skipped", reason="one")])
    results.upsert_cells(run, [cell("new", state="skipped", reason="two")])
    assert results.cells(run)[-1].reason == "two"


def test_no_cells_and_no_rows(results: ResultStore) -> None:
    run = results.create_run({}, {})
    assert results.upsert_cells(run, []) == {}
    assert results.rows(run).empty
    assert tuple(results.rows(run).columns) == ROW_COLUMNS
    results.upsert_cells(run, [cell(detector=None)])
    assert results.rows(run)["seconds"].dtype == np.float64


def test_run_ids_are_unique_and_readable(results: ResultStore) -> None:
    ids = [results.create_run({"same": 1}, {}) for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(len(run) == len("20250131-235959-abcdef") for run in ids)
    assert [run.id for run in results.runs()] == ids


def test_find_run(results: ResultStore, tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match=r"unknown run 'x': .* has 0 runs"):
        results.find_run("x")
    first, second = results.create_run({}, {}), results.create_run({}, {})
    assert results.find_run(first) == first
    assert results.find_run(second[:-1]) == second
    with pytest.raises(BenchkitError, match="ambiguous"):
        results.find_run("2")
    for nobody in ("", "%", "_", "nothing", "x" * 5000, "a\0b"):
        with pytest.raises(BenchkitError, match="has 2 runs, and none of that name"):
            results.find_run(nobody)
    with pytest.raises(BenchkitError, match=r"is a folder without a run \(no run.json\)"):
        results.find_run(tmp_path)
    write_mark(tmp_path, RunMark(second))
    assert results.find_run(tmp_path) == second
    for damaged in ("", "[]", "{}", "\xff"):
        (tmp_path / "run.json").write_bytes(damaged.encode("latin-1"))
        with pytest.raises(BenchkitError, match="does not say which run"):
            results.find_run(tmp_path)


def test_unknown_runs_cells_and_states(results: ResultStore) -> None:
    run = results.create_run({}, {})
    for use in (
        results.rows,
        results.cells,
        lambda r: results.upsert_cells(r, []),
        lambda r: results.set_status(r, "done"),
    ):
        with pytest.raises(UnknownNameError, match="did you mean"):
            use(run[:-1] + "x")
    with pytest.raises(KeyError):
        results.set_state(run, key_of("a"), "done")
    for use in (results.counts, results.histograms, results.provenance):
        with pytest.raises(BenchkitError, match="stored for cell"):
            use(key_of("a"))
    with pytest.raises(ValueError, match="state"):
        results.set_state(run, key_of("a"), "finished")
    with pytest.raises(ValueError, match="state"):
        results.upsert_cells(run, [cell(state="finished")])
    with pytest.raises(ValueError, match="status"):
        results.set_status(run, "finished")


def test_a_row_stored_again_replaces_all_of_the_first(results: ResultStore) -> None:
    results.save_row(key_of("a"), {"x": 1}, COUNTS, HISTOGRAMS)
    results.save_row(key_of("a"), {"y": 2}, COUNTS.head(1))
    run = results.create_run({}, {})
    results.upsert_cells(run, [cell("a")])
    assert "x" not in results.rows(run)
    assert len(results.counts(key_of("a"))) == 1
    with pytest.raises(BenchkitError, match="no histograms"):
        results.histograms(key_of("a"))


@pytest.mark.parametrize("metrics", [{"seed": 1}, {1: 2}, {"a": {"b": 1}}, {"a": [1]}, {"a": np.zeros(2)}])
def test_metrics_are_one_flat_dict(results: ResultStore, metrics) -> None:
    with pytest.raises(ValueError, match="metric"):
        results.save_row(key_of("a"), metrics)
    assert not stored(results, ["a"])


def test_counts_need_their_columns(results: ResultStore) -> None:
    with pytest.raises(ValueError, match="lack the columns image, fn"):
        results.save_row(key_of("a"), {}, COUNTS.drop(columns=["image", "fn"]))


def test_a_row_whose_parts_fail_is_not_stored(results: ResultStore, monkeypatch) -> None:
    real, calls = ResultStore._put, iter(range(9))

    def failing(self, session, table, values):
        if next(calls) == 1:
            raise RuntimeError("killed between the row and its counts")
        real(self, session, table, values)

    monkeypatch.setattr(ResultStore, "_put", failing)
    with pytest.raises(RuntimeError):
        results.save_row(key_of("a"), {"x": 1}, COUNTS)
    assert not stored(results, ["a"])


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    dumps = []
    for name in ("one", "two"):
        results = ResultStore(tmp_path / name)
        metrics = METRICS if name == "one" else dict(reversed(METRICS.items()))
        results.save_row(key_of("a"), metrics, COUNTS.copy(), dict(HISTOGRAMS))
        results.close()
        with sqlite3.connect(tmp_path / name) as raw:
            dumps.append([raw.execute(f"SELECT * FROM {table}").fetchall() for table in ("rows", "blobs")])
    assert dumps[0] == dumps[1]
    assert b"pandas" not in repr(dumps).encode(), "another version of pandas would write other bytes"


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
def test_all_text_is_data(results: ResultStore, text: str) -> None:
    run = results.create_run({text: text}, {"t": text})
    results.upsert_cells(run, [cell(method=text, corruptor=text, corruptor_params={text: text})])
    results.set_state(run, key_of("a"), "failed", reason=text)
    results.save_row(key_of("a"), {"note": text, f"metric {text}": 1})
    kept = text.replace("\0", "\\x00").replace("\ud800", "\\ud800")
    assert results.runs()[0].config == {text: text}
    (found,) = results.cells(run)
    assert (found.method, found.corruptor, found.reason) == (kept, kept, kept)
    assert found.corruptor_params == {text: text}
    assert results.rows(run)["note"][0] == kept
    assert results.rows(run)[f"metric {kept}"][0] == 1


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | TEXT
NAMES = TEXT.filter(lambda name: name not in ROW_COLUMNS)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(NAMES, SCALARS, max_size=5), st.integers())
def test_any_metrics_round_trip(tmp_path_factory, metrics, salt) -> None:
    results = ResultStore(tmp_path_factory.getbasetemp() / "any.sqlite")
    key = key_of((metrics, salt))
    results.save_row(key, metrics)
    run = results.create_run({}, {})
    results.upsert_cells(run, [CellInfo(key, "human", 0, "test")])
    (line,) = results.rows(run).to_dict("records")
    for name, value in metrics.items():
        if value is None or (isinstance(value, float) and not np.isfinite(value)):
            assert pd.isna(line[name])
        else:
            assert line[name] == value
    results.close()
