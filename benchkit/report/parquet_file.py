"""Parquet files that may be anybody's: written small, and read only after their size has been checked."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api.types import infer_dtype

from benchkit.errors import BenchkitError, describe_error
from benchkit.report.frames import make_frame, to_objects

#: Values (lines times columns) and bytes of a file after decompression. A board of 100,000 rows has 30 million values,
#: the official board's submission 4 million.
MOST_VALUES, MOST_UNPACKED = 100_000_000, 2**30
_LEVEL = 19


def write_parquet(table: pa.Table, *, level: int = _LEVEL, lines: int | None = None) -> bytes:
    """Return a table as Parquet: numbers split into their bytes, which compress better so, texts as dictionaries.

    level: of zstd. lines: of a row group, if not all.
    """
    types = dict(zip(table.column_names, table.schema.types, strict=True))
    split = [name for name, kind in types.items() if pa.types.is_floating(kind) or pa.types.is_integer(kind)]
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        row_group_size=lines,
        compression="zstd",
        compression_level=level,
        use_dictionary=[name for name in types if name not in split],
        use_byte_stream_split=split,
        write_statistics=False,
    )
    return sink.getvalue()


def read_parquet(
    source: bytes | Path,
    where: str,
    *,
    needed: Sequence[str] = (),
    most_lines: int,
    columns: Callable[[str], bool] | None = None,
) -> tuple[pa.Table, Mapping[bytes, bytes]]:
    """Return a file's table, texts as dictionaries, and the metadata that its writer added.

    needed: columns that must be there. columns: which to read, if not all; the others are not even decompressed.
    Raises BenchkitError, in one line that begins with `where`, for other bytes, and for a file that is too large.
    """
    with _as_faults(where):
        file, wanted = _open(source, where, needed, most_lines, columns)
        return _read_columns(file, wanted, where), file.metadata.metadata or {}


def read_frame(
    source: bytes | Path,
    where: str,
    *,
    most_lines: int,
    columns: Callable[[str], bool] | None = None,
    first: Mapping[str, int] | None = None,
) -> tuple[pd.DataFrame, Mapping[bytes, bytes]]:
    """Return the same as a frame, see `table_to_frame`. The columns are read one at a time, so none is there twice.

    first: column of texts -> of how many lines they are needed; they are None in all lines after these.
    """
    with _as_faults(where):
        file, wanted = _open(source, where, (), most_lines, columns)
        found = dict(_each_column(file, wanted, where, first or {}))
    return make_frame(found, file.metadata.num_rows), file.metadata.metadata or {}


def read_columns(
    source: Path, where: str, names: Collection[str], *, most_lines: int
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield some columns of a file one at a time, so that a long file's never are in memory together."""
    with _as_faults(where):
        file, wanted = _open(source, where, tuple(names), most_lines, lambda name: name in names)
        yield from _each_column(file, wanted, where, {})


def describe_parquet(source: Path, where: str, *, most_lines: int) -> tuple[int, list[str]]:
    """Return the number of lines and the names of the columns of a file, of which nothing else is read."""
    with _as_faults(where):
        file, names = _open(source, where, (), most_lines, None)
        return int(file.metadata.num_rows), names


def _each_column(
    file: pq.ParquetFile, names: Iterable[str], where: str, first: Mapping[str, int]
) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in names:
        yield name, _from_arrow(_read_columns(file, [name], where).column(name), first.get(name))


@contextmanager
def _as_faults(where: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise BenchkitError(f"{where}: not a readable Parquet file: {describe_error(error)}") from None


def _open(
    source: bytes | Path, where: str, needed: Sequence[str], most_lines: int, columns: Callable[[str], bool] | None
) -> tuple[pq.ParquetFile, list[str]]:
    """Return a file whose size has been checked, and the columns to read; texts are read as dictionaries."""

    def reader() -> pa.NativeFile | Path:
        return pa.BufferReader(source) if isinstance(source, bytes) else source

    file = pq.ParquetFile(reader())
    _check_size(file.metadata, where, most_lines)
    schema = file.schema_arrow
    if missing := [name for name in needed if name not in schema.names]:
        raise BenchkitError(f"{where}: the column '{missing[0]}' is missing")
    if len(set(schema.names)) < len(schema.names) or any(map(pa.types.is_nested, schema.types)):
        raise BenchkitError(f"{where}: a column is there twice, or is a list")
    texts = [name for name, kind in zip(schema.names, schema.types, strict=True) if pa.types.is_string(kind)]
    wanted = [name for name in schema.names if columns is None or columns(name)]
    return pq.ParquetFile(reader(), metadata=file.metadata, read_dictionary=texts, memory_map=False), wanted


def _read_columns(file: pq.ParquetFile, names: list[str], where: str) -> pa.Table:
    table = file.read(names, use_threads=False)
    table.validate()
    if table.num_rows != file.metadata.num_rows:
        raise BenchkitError(f"{where}: {table.num_rows} lines, where its end says {file.metadata.num_rows}")
    for i, kind in enumerate(table.schema.types):
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            table = table.set_column(i, table.column_names[i], table.column(i).dictionary_encode())
    return table


def _check_size(metadata: pq.FileMetaData, where: str, most_lines: int) -> None:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    lines = max([metadata.num_rows, sum(group.num_rows for group in groups), *(chunk.num_values for chunk in chunks)])
    if metadata.num_rows < 0 or lines > most_lines:
        raise BenchkitError(f"{where}: {lines} lines, the limit is {most_lines}")
    if lines * metadata.num_columns > MOST_VALUES:
        raise BenchkitError(f"{where}: {lines} lines of {metadata.num_columns} columns, more than any board has")
    if (unpacked := sum(chunk.total_uncompressed_size for chunk in chunks)) > MOST_UNPACKED:
        raise BenchkitError(f"{where}: {unpacked} bytes when decompressed, the limit is {MOST_UNPACKED}")


def frame_to_table(frame: pd.DataFrame) -> pa.Table:
    """Return a frame of texts or flags with None, whole numbers, and numbers with NaN as a table."""
    return pa.table({str(name): _to_arrow(column) for name, column in frame.items()})


def table_to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame: texts and flags with None, whole numbers, numbers with NaN."""
    return make_frame({name: _from_arrow(table.column(name)) for name in table.column_names}, len(table))


def _to_arrow(column: pd.Series) -> pa.Array:
    if column.dtype != object:
        return pa.array(column.to_numpy(), from_pandas=column.dtype == float)
    flags = infer_dtype(column, skipna=True) == "boolean"
    return pa.array(column.tolist(), pa.bool_() if flags else pa.string())


def _from_arrow(column: pa.ChunkedArray, first: int | None = None) -> NDArray[Any]:
    if first is not None and first < len(column) and pa.types.is_dictionary(column.type):
        values = np.full(len(column), None, object)
        values[:first] = get_texts(column.slice(0, first))
        return values
    if pa.types.is_boolean(column.type) and column.null_count:
        return to_objects(column.to_pylist())
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return np.array(column.to_numpy())  # a copy: Arrow's own memory is half as large again
    return get_texts(column) if pa.types.is_dictionary(column.type) else to_objects(column.to_pylist())


def get_texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return a column of texts that `read_parquet` gave, None where undefined; equal texts are one object."""
    whole = column.unify_dictionaries().combine_chunks()
    texts = np.array([*whole.dictionary.to_pylist(), None], object)
    return np.asarray(texts[whole.indices.fill_null(len(texts) - 1).to_numpy()], object)
