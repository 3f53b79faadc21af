"""Rows of Parquet and Arrow files: any of them, in bounded memory and at a cost that no row group's size decides."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchkit.datasets.folder.records import Stamped
from benchkit.errors import BenchkitError

#: A row group of more bytes than this, unpacked, is copied to disk once instead of being kept in memory.
LARGE = 64 * 2**20
#: Groups that are kept in memory, and copies on disk.
KEPT, COPIES = 3, 64
#: Rows that are unpacked at once.
_BATCH = 16
#: Bytes of a Parquet file that are read ahead.
_BUFFER = 2**20


@lru_cache(maxsize=4096)
def group_sizes(part: Stamped) -> tuple[int, ...]:
    """Rows of every row group of a Parquet file, or of every batch of an Arrow file."""
    import pyarrow.parquet as parquet

    with _reading(part.path):
        if part.path.suffix != ".parquet":
            return tuple(batch.num_rows for batch in _batches(part.path))
        with parquet.ParquetFile(part.path) as file:
            return tuple(file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups))


@lru_cache(maxsize=4096)
def held_columns(part: Stamped) -> tuple[str, ...]:
    """The names of a file's columns."""
    import pyarrow.parquet as parquet
    from pyarrow import ipc, memory_map

    with _reading(part.path):
        if part.path.suffix == ".parquet":
            return tuple(parquet.read_schema(part.path).names)
        with memory_map(str(part.path)) as source, ipc.open_stream(source) as stream:
            return tuple(stream.schema.names)


def read_rows(part: Stamped, columns: Sequence[str], rows: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows at these places in the file, in rising order, as plain values; raises BenchkitError for a damaged file.

    A file of which every row is wanted is streamed; else the groups that hold the rows are kept.
    """
    if len(rows) == sum(group_sizes(part)):
        yield from enumerate(_streamed(part, columns))
        return
    wanted, start = sorted(rows), 0
    for group, size in enumerate(group_sizes(part)):
        inside = [row for row in wanted if start <= row < start + size]
        if inside:
            table = _table(part, group, tuple(columns))
            with _reading(part.path):
                yield from ((row, table.slice(row - start, 1).to_pylist()[0]) for row in inside)
        start += size


def _streamed(part: Stamped, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    if part.path.suffix == ".parquet":
        for batch in _parquet_batches(part.path, columns):
            yield from batch.to_pylist()
        return
    with _reading(part.path):
        for batch in _batches(part.path):
            for start in range(0, batch.num_rows, _BATCH):
                yield from batch.select(list(columns)).slice(start, _BATCH).to_pylist()


def _table(part: Stamped, group: int, columns: tuple[str, ...]) -> Any:
    import pyarrow
    import pyarrow.parquet as parquet

    if part.path.suffix != ".parquet":
        with _reading(part.path):
            batch = next(batch for number, batch in enumerate(_batches(part.path)) if number == group)
            return pyarrow.Table.from_batches([batch]).select(list(columns))
    with _reading(part.path), parquet.ParquetFile(part.path) as file:
        large = file.metadata.row_group(group).total_byte_size > LARGE
    return (_copied if large else _kept)(part, group, columns)


@lru_cache(maxsize=KEPT)
def _kept(part: Stamped, group: int, columns: tuple[str, ...]) -> Any:
    import pyarrow.parquet as parquet

    with _reading(part.path), parquet.ParquetFile(part.path) as file:
        return file.read_row_group(group, columns=list(columns))


@lru_cache(maxsize=COPIES)
def _copied(part: Stamped, group: int, columns: tuple[str, ...]) -> Any:
    """The group as an Arrow file without a name in the temporary folder, mapped: what is not looked at is not read.

    Parquet cannot be entered in the middle of a group: each row would cost all that stand before it.
    """
    from pyarrow import ArrowException, ipc, memory_map

    handle, name = tempfile.mkstemp(suffix=".arrow")
    os.close(handle)
    try:
        writer = None
        for batch in _parquet_batches(part.path, columns, [group]):
            writer = writer or ipc.new_file(name, batch.schema)
            writer.write_batch(batch)
        assert writer is not None, "a group that is large has rows"
        writer.close()
        return ipc.open_file(memory_map(name)).read_all()
    except (OSError, ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise BenchkitError(
            f"{part.path}: row group {group} cannot be copied to {tempfile.gettempdir()} ({reason}): set TMPDIR to a "
            "folder with room, or write the file again with row_group_size=100"
        ) from None
    finally:
        Path(name).unlink(missing_ok=True)  # what is mapped stays until the process ends


def _parquet_batches(path: Path, columns: Sequence[str], groups: Sequence[int] | None = None) -> Iterator[Any]:
    import pyarrow.parquet as parquet

    # A buffer: without one a whole column of a group is read at once.
    with _reading(path), parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
        yield from file.iter_batches(_BATCH, row_groups=groups, columns=list(columns), use_threads=False)


def _batches(path: Path) -> Iterator[Any]:
    """The batches of an Arrow stream, mapped: what is not looked at is not read."""
    from pyarrow import ipc, memory_map

    with ipc.open_stream(memory_map(str(path))) as stream:
        yield from stream


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """pyarrow's errors in one line that names the file."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BenchkitError(f"{path}: cannot be read ({reason}): write it again") from None
