"""A board as Parquet: its lines by column, so that a view of a large board reads only the columns it shows.

What holds for the whole board is JSON in the file's metadata. The paired differences have a file of their own, since
they are many more than the lines and few views need them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.report.board import Board
from benchkit.report.board_file import ALWAYS_READ, read_board_columns
from benchkit.report.old_schemas import SCHEMA
from benchkit.report.parquet_file import (
    describe_parquet,
    frame_to_table,
    read_columns,
    read_frame,
    read_parquet,
    write_parquet,
)
from benchkit.store.encoding import parse_json

#: Lines of one file: more than any board has.
MOST_LINES, MOST_PAIRS = 1_000_000, 20_000_000
_HEAD = b"benchkit.board"
#: A large board is written fast rather than small.
_LARGE, _FAST = 5_000, 3
_PAIR = ("metric", "first", "second", "difference", "low", "high", "p", "p_adjusted", "improvement", "verdict")


def board_to_parquet(board: Board) -> bytes:
    """Return a board without its pairs."""
    head = {"schema": SCHEMA, **board.head(), "shown": dict(board.shown)}
    table = frame_to_table(board.frame).replace_schema_metadata({_HEAD: json.dumps(head, allow_nan=False).encode()})
    return write_parquet(table, **({"level": _FAST} if len(board.frame) > _LARGE else {}))


def pairs_to_parquet(board: Board) -> bytes:
    """Return the pairs of a board."""
    frame = pd.DataFrame(list(board.pairs), columns=list(_PAIR))
    texts = {name: frame[name].astype(object).where(frame[name].notna(), None) for name in ("metric", "verdict")}
    kinds = {"first": "int64", "second": "int64"}
    numbers = {name: frame[name].astype(np.dtype(kinds.get(name, "float64"))) for name in _PAIR if name not in texts}
    return write_parquet(
        frame_to_table(pd.DataFrame({name: {**texts, **numbers}[name] for name in _PAIR})),
        **({"level": _FAST} if len(frame) > _LARGE else {}),
    )


def board_from_parquet(
    source: bytes | Path,
    where: str,
    columns: Callable[[str], bool] | None = None,
    pairs: Path | None = None,
    curves: int | None = None,
) -> Board:
    """Return the board that `board_to_parquet` wrote, and the pairs that lie in a file beside it.

    columns: which are needed, if not all. curves: of how many lines, if not all, learning curves are needed. Raises
    BenchkitError, naming `where`, for anything else.
    """
    needed = None if columns is None else lambda name: name in ALWAYS_READ or columns(name)
    first = None if curves is None else {"curve": curves}
    frame, metadata = read_frame(source, where, most_lines=MOST_LINES, columns=needed, first=first)
    if _HEAD not in metadata:
        raise BenchkitError(f"{where}: not a board")
    try:
        head = parse_json(metadata[_HEAD])
    except BenchkitError as error:
        raise BenchkitError(f"{where}: not a board: {error}") from None
    fields = read_board_columns(head, frame, where)
    return Board(**fields, pairs=() if pairs is None else _read_pairs(pairs, len(frame)))


def describe_board(file: Path) -> tuple[int, list[str]]:
    """Return the number of lines and the names of the columns of a board's file."""
    return describe_parquet(file, str(file), most_lines=MOST_LINES)


def read_board_file(file: Path, names: Collection[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield some columns of a board's file, one at a time."""
    return read_columns(file, str(file), names, most_lines=MOST_LINES)


def _read_pairs(file: Path, lines: int) -> list[dict[str, Any]]:
    table, _ = read_parquet(file, str(file), needed=_PAIR, most_lines=MOST_PAIRS)
    for name in _PAIR:
        kind = table.column(name).type
        fits = pa.types.is_dictionary(kind) if name in ("metric", "verdict") else pa.types.is_floating(kind)
        if name in ("first", "second"):
            fits = pa.types.is_integer(kind) and not table.column(name).null_count
        if not (fits or pa.types.is_null(kind)):
            raise BenchkitError(f"{file}: the column '{name}' is not of the expected type")
    values = {name: table.column(name).to_pylist() for name in _PAIR}
    if any(not 0 <= place < lines for name in ("first", "second") for place in values[name]):
        raise BenchkitError(f"{file}: a pair of lines that the board does not have")
    return [dict(zip(_PAIR, pair, strict=True)) for pair in zip(*values.values(), strict=True)]
