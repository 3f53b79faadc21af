"""Rows of Parquet and Arrow files: any of them, in bounded memory and at a cost that no row group's size decides."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from benchkit.api import BenchkitError
from benchkit_plugins.datasets.folder.records import Stamped

#: A row group of more bytes than this, unpacked, is copied to disk once; smaller ones are kept in memory.
LARGE = 16 * 2**20
#: Groups that are kept in memory, and copies on disk.
KEPT, COPIES = 16, 1024
#: Rows that are unpacked at once.
_BATCH = 16
#: Bytes of a Parquet file that are read ahead.
_BUFFER = 2**20


def group_sizes(part: Stamped) -> tuple[int, ...]:
    """Rows of every row group of a Parquet file, or of every batch of an Arrow file."""
    return tuple(rows for rows, _ in _groups(part))


@lru_cache(maxsize=4096)
def _groups(part: Stamped) -> tuple[tuple[int, int], ...]:
    """Rows of every group, and its bytes when it is unpacked (0 of an Arrow file, which is mapped)."""
    import pyarrow.parquet as parquet

    with _reading(part.path):
        if part.path.suffix != ".parquet":
            return tuple((batch.num_rows, 0) for batch in _batches(part.path))
        with parquet.ParquetFile(part.path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            return tuple((group.num_rows, group.total_byte_size) for group in groups)


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

    Parquet cannot be entered in the middle of a group: each row would cost all that stand before it. So a group is
    kept, in memory or on disk, unless every row of the file is wanted, or the disk has no room.
    """
    if len(rows) == sum(group_sizes(part)):
        yield from enumerate(_streamed(part, columns))
        return
    wanted, start = sorted(rows), 0
    for group, (size, unpacked) in enumerate(_groups(part)):
        inside = [row - start for row in wanted if start <= row < start + size]
        if inside:
            large = unpacked > LARGE
            table = (_copied if large else _kept)(part, group, tuple(columns))
            found = _picked(table, inside) if table is not None else _skimmed(part, group, columns, inside)
            yield from ((start + row, values) for row, values in found)
        start += size


def _picked(table: Any, rows: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    yield from ((row, table.slice(row, 1).to_pylist()[0]) for row in rows)


def _skimmed(
    part: Stamped, group: int, columns: Sequence[str], rows: Sequence[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows out of a group that is unpacked from its beginning."""
    start, wanted = 0, set(rows)
    for batch in _parquet_batches(part.path, columns, [group]):
        yield from ((start + i, batch.slice(i, 1).to_pylist()[0]) for i in range(batch.num_rows) if start + i in wanted)
        start += batch.num_rows


def _streamed(part: Stamped, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    if part.path.suffix == ".parquet":
        for batch in _parquet_batches(part.path, columns):
            yield from batch.to_pylist()
        return
    with _reading(part.path):
        for batch in _batches(part.path):
            for start in range(0, batch.num_rows, _BATCH):
                yield from batch.select(list(columns)).slice(start, _BATCH).to_pylist()


@lru_cache(maxsize=KEPT)
def _kept(part: Stamped, group: int, columns: tuple[str, ...]) -> Any:
    import pyarrow
    import pyarrow.parquet as parquet

    with _reading(part.path):
        if part.path.suffix != ".parquet":
            batch = next(batch for number, batch in enumerate(_batches(part.path)) if number == group)
            return pyarrow.Table.from_batches([batch]).select(list(columns))
        with parquet.ParquetFile(part.path) as file:
            return file.read_row_group(group, columns=list(columns))


@lru_cache(maxsize=COPIES)
def _copied(part: Stamped, group: int, columns: tuple[str, ...]) -> Any | None:
    """The group as an Arrow file without a name, mapped: what is not looked at is not read. None: there is no room."""
    from pyarrow import ArrowException, ipc, memory_map

    folder = scratch_folder()
    if shutil.disk_usage(folder).free < 2 * _groups(part)[group][1]:
        return None
    handle, name = tempfile.mkstemp(suffix=".arrow", dir=folder)
    os.close(handle)
    batches = _parquet_batches(part.path, columns, [group])
    first = next(batches)
    try:
        with ipc.new_file(name, first.schema) as writer:
            for batch in chain([first], batches):
                writer.write_batch(batch)
        return ipc.open_file(memory_map(name)).read_all()
    except (OSError, ArrowException):
        return None
    finally:
        Path(name).unlink(missing_ok=True)  # what is mapped stays until the process ends


def scratch_folder() -> str:
    """Where large files may lie for a while: $TMPDIR, or /var/tmp, which is a disk where /tmp may be memory."""
    usual = Path("/var/tmp")
    return str(usual) if "TMPDIR" not in os.environ and os.access(usual, os.W_OK) else tempfile.gettempdir()


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
