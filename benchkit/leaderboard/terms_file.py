"""The terms of all cells of a submission as Parquet: columns that are read by name, without anything executable.

images.parquet: a line per cell and test image. curves.parquet: a line per cell and score bin. sums.parquet: a line per
cell and mean. test_images.parquet: a line per test set and image. `cell` and `test_set` are texts.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchkit.errors import BenchkitError, describe_error
from benchkit.leaderboard.terms import ScoredImages, Terms

IMAGES, CURVES, SUMS, TEST_IMAGES = "images.parquet", "curves.parquet", "sums.parquet", "test_images.parquet"
_KIND = "kind:"
#: Of one file: the official board has some 100,000 lines of images and 200,000 of bins.
MOST_LINES = 5_000_000
_LEVEL = 19
#: Columns that have another type than whole numbers.
_TEXTS, _FLOATS = ("cell", "test_set", "image", "figure"), ("without", "edge", "regions", "sum")

Columns = dict[str, NDArray[Any]]


def terms_to_files(terms: Mapping[str, Terms], images: Mapping[str, ScoredImages]) -> dict[str, bytes]:
    """Return file name -> contents. terms: cell -> terms. images: test set -> its images."""
    per_image, per_bin, sums, tested = [], [], [], []
    for cell, own in terms.items():
        counts = {"tp": own.tp, "fp": own.fp, "without": own.without}
        per_image.append(_with_kinds(cell, counts, own.hits))
        curve = {"edge": own.edges, "clean": own.clean, "artifact": own.artifact}
        curve |= {} if own.regions is None else {"regions": own.regions}
        per_bin.append(_with_kinds(cell, curve, own.kinds))
        total, number = zip(*own.sums.values(), strict=True)
        figures = {"figure": np.array([*own.sums], object), "sum": np.array(total), "images": np.array(number)}
        sums.append(_with_kinds(cell, figures, {}))
    for test_set, them in images.items():
        pixels = {"image": np.array(them.ids, object), "clean": them.clean, "artifact": them.artifact}
        tested.append(_with_kinds(test_set, pixels, them.kinds, "test_set"))
    return {
        IMAGES: _to_parquet(per_image),
        CURVES: _to_parquet(per_bin),
        SUMS: _to_parquet(sums),
        TEST_IMAGES: _to_parquet(tested),
    }


def terms_from_files(files: Mapping[str, bytes], where: str) -> tuple[dict[str, Terms], dict[str, ScoredImages]]:
    """Return cell -> terms, and test set -> images; `where` names the submission in messages."""
    tested = {}
    for test_set, own in _each(
        files[TEST_IMAGES], "test_set", ("image", "clean", "artifact"), f"{where}/{TEST_IMAGES}"
    ):
        tested[test_set] = ScoredImages(tuple(own["image"]), own["clean"], own["artifact"], _kinds(own))
    curves = dict(_each(files[CURVES], "cell", ("edge", "clean", "artifact"), f"{where}/{CURVES}"))
    sums = dict(_each(files[SUMS], "cell", ("figure", "sum", "images"), f"{where}/{SUMS}"))
    terms = {}
    for cell, own in _each(files[IMAGES], "cell", ("tp", "fp", "without"), f"{where}/{IMAGES}"):
        for name, other in ((CURVES, curves), (SUMS, sums)):
            if cell not in other:
                raise BenchkitError(f"{where}/{name}: the cell {cell[:12]}, which {IMAGES} has, is missing")
        curve, means = curves.pop(cell), sums.pop(cell)
        pairs = zip(means["sum"].tolist(), means["images"].tolist(), strict=True)
        terms[cell] = Terms(
            own["tp"],
            own["fp"],
            _kinds(own),
            own["without"],
            curve["edge"],
            curve["clean"],
            curve["artifact"],
            curve.get("regions"),
            _kinds(curve),
            dict(zip(means["figure"].tolist(), pairs, strict=True)),
        )
    if others := [*curves, *sums]:
        raise BenchkitError(f"{where}/{IMAGES}: the cell {others[0][:12]}, which other files have, is missing")
    return terms, tested


def _with_kinds(key: str, columns: Columns, kinds: Mapping[str, NDArray[Any]], name: str = "cell") -> Columns:
    lines = len(next(iter(columns.values())))
    return {name: np.array([key] * lines, object), **columns, **{_KIND + kind: own for kind, own in kinds.items()}}


def _kinds(columns: Columns) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(_KIND): own for name, own in columns.items() if name.startswith(_KIND)}


def _to_parquet(parts: Sequence[Columns]) -> bytes:
    """Return parts, each a cell's, one after another; a column that a part lacks is undefined there."""
    names = list(dict.fromkeys(name for part in parts for name in part))
    columns = {}
    for name in names:
        kind = pa.string() if name in _TEXTS else pa.float64() if name in _FLOATS else pa.int64()
        chunks = []
        for part in parts:
            lines = len(next(iter(part.values())))
            chunks.append(pa.array(part[name], kind) if name in part else pa.nulls(lines, kind))
        columns[name] = pa.chunked_array(chunks, kind)
    sink = io.BytesIO()
    split = [name for name in names if name in _FLOATS]
    repeated = [name for name in names if name not in _FLOATS]
    pq.write_table(
        pa.table(columns).combine_chunks(),
        sink,
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=repeated,
        use_byte_stream_split=split,
        write_statistics=False,
    )
    return sink.getvalue()


def read_columns(data: bytes, needed: Sequence[str], where: str) -> Columns:
    """Return the columns of a Parquet file as arrays; undefined texts are None, undefined numbers NaN.

    Raises BenchkitError for other bytes, more than MOST_LINES lines, or a column that is missing or of another type.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        if file.metadata.num_rows > MOST_LINES:
            raise BenchkitError(f"{where}: {file.metadata.num_rows} lines, the limit is {MOST_LINES}")
        table = file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BenchkitError(f"{where}: not a readable Parquet file: {describe_error(error)}") from None
    if missing := [name for name in needed if name not in table.column_names]:
        raise BenchkitError(f"{where}: the column '{missing[0]}' is missing")
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _each(data: bytes, key: str, needed: Sequence[str], where: str) -> Iterator[tuple[str, Columns]]:
    """Yield the parts of a file with their keys; the columns that are undefined in all of a part are left out of it."""
    columns = read_columns(data, (key, *needed), where)
    keys = columns.pop(key)
    for name, values in columns.items():
        wanted = "O" if name in _TEXTS else "f" if name in _FLOATS else "if"
        if values.dtype.kind not in wanted:
            raise BenchkitError(f"{where}: the column '{name}' is not of the expected type")
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.empty(0, int)
    seen = set()
    for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
        if not isinstance(keys[start], str) or keys[start] in seen:
            raise BenchkitError(f"{where}: the lines of '{str(keys[start])[:12]}' are not together")
        seen.add(keys[start])
        part = {}
        for name, values in columns.items():
            own = values[start:end]
            if name in _TEXTS or name in _FLOATS:
                if name != "regions" or not np.isnan(own).all():
                    part[name] = own
            elif own.dtype.kind == "i":
                part[name] = own
            elif not np.isnan(own).any():
                part[name] = own.astype(np.int64)
            elif name in needed or not np.isnan(own).all():
                raise BenchkitError(f"{where}: the column '{name}' has undefined numbers")
        yield keys[start], part
