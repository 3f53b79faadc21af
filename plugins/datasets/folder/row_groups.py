"""Read any rows of Parquet and Arrow files in bounded memory, at a cost independent of the size of row groups."""

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

#: A row group with more unpacked bytes is copied to disk once; smaller ones are cached in memory.
LARGE = 16 * 2**20
#: Number of groups cached in memory, and of copies on disk.
KEPT, COPIES = 16, 1024
#: Number of rows that are unpacked at once.
_BATCH = 16
#: Number of bytes of a Parquet file that are read ahead.
_BUFFER = 2**20


def group_sizes(part: Stamped) -> tuple[int, ...]:
    """Return the number of rows of each row group of a Parquet file, or of each batch of an Arrow file."""
    return tuple(rows for rows, _ in _groups(part))


@lru_cache(maxsize=4096)
def _groups(part: Stamped) -> tuple[tuple[int, int], ...]:
    """Return rows and unpacked bytes of each group (0 bytes for an Arrow file, which is mapped)."""
    import pyarrow.parquet as parquet

    with _explain_errors(part.path):
        if part.path.suffix != ".parquet":
            return tuple((batch.num_rows, 0) for batch in _batches(part.path))
        with parquet.ParquetFile(part.path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            return tuple((group.num_rows, group.total_byte_size) for group in groups)


@lru_cache(maxsize=4096)
def read_columns(part: Stamped) -> tuple[str, ...]:
    """Return the names of a file's columns."""
    import pyarrow.parquet as parquet
    from pyarrow import ipc, memory_map

    with _explain_errors(part.path):
        if part.path.suffix == ".parquet":
            return tuple(parquet.read_schema(part.path).names)
        with memory_map(str(part.path)) as source, ipc.open_stream(source) as stream:
            return tuple(stream.schema.names)


def read_rows(part: Stamped, columns: Sequence[str], rows: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows with these numbers, sorted, as plain values; raise BenchkitError for a damaged file.

    Reading of a Parquet group always starts at its beginning, so each row would cost all rows before it. Therefore a
    group is cached, in memory or on disk, unless all rows of the file are wanted, or the disk is full.
    """
    if len(rows) == sum(group_sizes(part)):
        yield from enumerate(_stream_rows(part, columns))
        return
    wanted, start = sorted(rows), 0
    for group, (size, unpacked) in enumerate(_groups(part)):
        inside = [row - start for row in wanted if start <= row < start + size]
        if inside:
            large = unpacked > LARGE
            table = (_map_copy if large else _load_group)(part, group, tuple(columns))
            found = _pick_rows(table, inside) if table is not None else _scan_rows(part, group, columns, inside)
            yield from ((start + row, values) for row, values in found)
        start += size


def _pick_rows(table: Any, rows: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    yield from ((row, table.slice(row, 1).to_pylist()[0]) for row in rows)


def _scan_rows(
    part: Stamped, group: int, columns: Sequence[str], rows: Sequence[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield rows of a group, which is unpacked from its beginning."""
    start, wanted = 0, set(rows)
    for batch in _parquet_batches(part.path, columns, [group]):
        yield from ((start + i, batch.slice(i, 1).to_pylist()[0]) for i in range(batch.num_rows) if start + i in wanted)
        start += batch.num_rows


def _stream_rows(part: Stamped, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    if part.path.suffix == ".parquet":
        for batch in _parquet_batches(part.path, columns):
            yield from batch.to_pylist()
        return
    with _explain_errors(part.path):
        for batch in _batches(part.path):
            for start in range(0, batch.num_rows, _BATCH):
                yield from batch.select(list(columns)).slice(start, _BATCH).to_pylist()


@lru_cache(maxsize=KEPT)
def _load_group(part: Stamped, group: int, columns: tuple[str, ...]) -> Any:
    import pyarrow
    import pyarrow.parquet as parquet

    with _explain_errors(part.path):
        if part.path.suffix != ".parquet":
            batch = next(batch for number, batch in enumerate(_batches(part.path)) if number == group)
            return pyarrow.Table.from_batches([batch]).select(list(columns))
        with parquet.ParquetFile(part.path) as file:
            return file.read_row_group(group, columns=list(columns))


@lru_cache(maxsize=COPIES)
def _map_copy(part: Stamped, group: int, columns: tuple[str, ...]) -> Any | None:
    """Return the group, mapped from an unlinked Arrow file, so only used rows are read; None without disk space."""
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
        Path(name).unlink(missing_ok=True)  # the mapped file stays until the process ends


def scratch_folder() -> str:
    """Return a folder for large temporary files: $TMPDIR, or /var/tmp, because /tmp may be in memory."""
    usual = Path("/var/tmp")
    return str(usual) if "TMPDIR" not in os.environ and os.access(usual, os.W_OK) else tempfile.gettempdir()


def _parquet_batches(path: Path, columns: Sequence[str], groups: Sequence[int] | None = None) -> Iterator[Any]:
    import pyarrow.parquet as parquet

    # Without a buffer, a whole column of a group is read at once.
    with _explain_errors(path), parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
        yield from file.iter_batches(_BATCH, row_groups=groups, columns=list(columns), use_threads=False)


def _batches(path: Path) -> Iterator[Any]:
    """Yield the batches of a mapped Arrow stream; only used rows are read."""
    from pyarrow import ipc, memory_map

    with ipc.open_stream(memory_map(str(path))) as stream:
        yield from stream


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    """Turn errors of pyarrow into one line that names the file."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BenchkitError(f"{path}: cannot be read ({reason}): write it again") from None
