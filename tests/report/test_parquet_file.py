"""Parquet files from anybody: what is too large, cut or of another kind is refused in one line before it is read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchkit.errors import BenchkitError
from benchkit.report import parquet_file
from benchkit.report.board import Board
from benchkit.report.board_parquet import board_from_parquet, board_to_parquet, pairs_to_parquet
from benchkit.report.load_board import load_board
from benchkit.report.parquet_file import frame_to_table, read_parquet, table_to_frame, write_parquet
from tests.report.conftest import standard


def test_a_frame_comes_back() -> None:
    frame = pd.DataFrame(
        {
            "text": pd.Series(["a", None, "b"], dtype=object),
            "flag": pd.Series([True, None, False], dtype=object),
            "sure": [True, False, True],
            "whole": [1, 2, 3],
            "number": [0.1, np.nan, 0.3],
        }
    )
    table, _ = read_parquet(write_parquet(frame_to_table(frame)), "here", most_lines=3)
    pd.testing.assert_frame_equal(table_to_frame(table), frame)


def packed(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


MANY = packed(pa.table({"a": np.zeros(100_000)}), compression="zstd")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (MANY[:-40], "not a readable Parquet file"),
        (MANY[: len(MANY) // 2] + MANY[-200:], "not a readable Parquet file"),
        (b"PAR1", "not a readable Parquet file"),
        (b"PK\x03\x04", "not a readable Parquet file"),
        (MANY, "100000 lines, the limit is 1000"),
        (packed(pa.table({"a": [[1], [2]]})), "is a list"),
        (packed(pa.table({"b": [1]})), "the column 'a' is missing"),
    ],
)
def test_one_line_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(BenchkitError, match=f"^here: .*{message}") as caught:
        read_parquet(data, "here", needed=("a",), most_lines=1000)
    assert "\n" not in str(caught.value)


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes of Parquet can stand for gigabytes: their number is in the file's end."""
    bomb = packed(pa.table({"a": np.zeros(100_000)}), compression="zstd", use_dictionary=False)
    assert len(bomb) < 2000
    monkeypatch.setattr(parquet_file, "MOST_UNPACKED", 700_000)
    with pytest.raises(BenchkitError, match=r"here: 8\d{5} bytes when decompressed, the limit is 700000"):
        read_parquet(bomb, "here", most_lines=10**6)
    monkeypatch.setattr(parquet_file, "MOST_VALUES", 50_000)
    with pytest.raises(BenchkitError, match="here: 100000 lines of 1 columns, more than any board has"):
        read_parquet(bomb, "here", most_lines=10**6)


@pytest.fixture(scope="module")
def board() -> Board:
    return Board.of(standard(seeds=(0, 1, 2)).run())


@pytest.fixture
def folder(board: Board, tmp_path: Path) -> Path:
    (tmp_path / "board.parquet").write_bytes(board_to_parquet(board))
    (tmp_path / "pairs.parquet").write_bytes(pairs_to_parquet(board))
    return tmp_path


def test_a_board_comes_back(board: Board, folder: Path) -> None:
    assert load_board(folder).as_json() == load_board(folder / "board.parquet").as_json() == board.as_json()


def test_only_the_columns_that_are_needed_are_read(board: Board, folder: Path) -> None:
    found = load_board(folder, columns="artifact_iou".__eq__, pairs=False)
    pd.testing.assert_series_equal(found.frame["artifact_iou"], board.frame["artifact_iou"])
    assert found.frame["auroc"].isna().all() if "auroc" in found.frame else True
    assert board.frame["average_precision_rank"].notna().any()
    assert found.frame["average_precision_rank"].isna().all() and found.pairs == ()


@pytest.mark.parametrize("damage", ["cut", "rows", "pairs", "pair", "head", "column"])
def test_a_damaged_board_is_one_line(board: Board, folder: Path, damage: str) -> None:
    file, pairs = folder / "board.parquet", folder / "pairs.parquet"
    table = pq.read_table(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "rows":
        pq.write_table(table.drop_columns(["state"]), file)
    elif damage == "head":
        pq.write_table(table.replace_schema_metadata({b"benchkit.board": b'{"schema": 9}'}), file)
    elif damage == "column":
        place = table.column_names.index("role")
        pq.write_table(table.set_column(place, "role", pa.array(range(len(table)))), file)
    elif damage == "pairs":
        pairs.write_bytes(pairs.read_bytes()[:-100])
    else:
        own = pq.read_table(pairs)
        far = pa.array([10**6] * len(own))
        pq.write_table(own.set_column(own.column_names.index("first"), "first", far), pairs)
    with pytest.raises(BenchkitError, match="parquet") as caught:
        load_board(folder)
    assert "\n" not in str(caught.value)


def test_other_parquet_is_no_board() -> None:
    with pytest.raises(BenchkitError, match="here: not a board"):
        board_from_parquet(MANY, "here")
