"""The terms of all cells of a submission as Parquet: columns that are read by name, without anything executable.

images.parquet: a line per cell and test image. curves.parquet: a line per cell and score bin. groups.parquet: a line
per cell and group of bins. sums.parquet: a line per cell and mean. test_images.parquet: a line per test set and image.
`cell` and `test_set` are texts. `bin` says of a score bin which of _SEVERAL, _ABOVE and _CHOSEN hold, added up.
Schema 1 has no groups; its score bins have their edges, regions and kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.leaderboard.bin_groups import group_bins, make_edges
from benchkit.leaderboard.terms import ScoredImages, Terms
from benchkit.metrics.bins import BINS, THRESHOLD, edge_index, is_spread
from benchkit.report.parquet_file import get_texts, read_parquet, write_parquet

IMAGES, CURVES, GROUPS = "images.parquet", "curves.parquet", "groups.parquet"
SUMS, TEST_IMAGES = "sums.parquet", "test_images.parquet"
#: Of one file: the official board has some 200,000 lines of images and 300,000 of bins.
MOST_LINES = 5_000_000
_KIND = "kind:"
#: Columns that have another type than whole numbers.
_TEXTS, _FLOATS = ("cell", "test_set", "image", "figure"), ("without", "edge", "regions", "sum")
#: Of a score bin: it holds several scores; it begins at 0.5; it begins at the threshold of the validation images.
_SEVERAL, _ABOVE, _CHOSEN = 1, 2, 4

Columns = dict[str, NDArray[Any]]


def terms_to_files(terms: Mapping[str, Terms], images: Mapping[str, ScoredImages]) -> dict[str, bytes]:
    """Return file name -> contents. terms: cell -> terms. images: test set -> its images."""
    parts: dict[str, list[Columns]] = {name: [] for name in (IMAGES, CURVES, GROUPS, SUMS, TEST_IMAGES)}
    for cell, own in terms.items():
        counts = {"tp": own.tp, "fp": own.fp, "without": own.without}
        parts[IMAGES].append(_with_kinds(cell, counts, own.hits))
        parts[CURVES].append(
            _with_kinds(cell, {"bin": _describe_bins(own), "clean": own.clean, "artifact": own.artifact}, {})
        )
        regions = np.full(len(own.groups), np.nan) if own.regions is None else own.regions
        parts[GROUPS].append(_with_kinds(cell, {"regions": regions}, own.kinds))
        total, number = zip(*own.sums.values(), strict=True)
        figures = {"figure": np.array([*own.sums], object), "sum": np.array(total), "images": np.array(number)}
        parts[SUMS].append(_with_kinds(cell, figures, {}))
    for test_set, them in images.items():
        pixels = {"image": np.array(them.ids, object), "clean": them.clean, "artifact": them.artifact}
        parts[TEST_IMAGES].append(_with_kinds(test_set, pixels, them.kinds, "test_set"))
    return {name: _to_parquet(own) for name, own in parts.items()}


def terms_from_files(
    files: Mapping[str, bytes], where: str, thresholds: Mapping[str, float] | None = None
) -> tuple[dict[str, Terms], dict[str, ScoredImages]]:
    """Return cell -> terms, and test set -> images; `where` names the submission in messages.

    thresholds: cell -> that of its validation images, where it has one.
    """
    thresholds = thresholds or {}
    tested = {}
    for test_set, own in _each(files, TEST_IMAGES, "test_set", ("image", "clean", "artifact"), where):
        tested[test_set] = ScoredImages(tuple(own["image"]), own["clean"], own["artifact"], _kinds(own))
    first = GROUPS not in files
    curves = dict(_each(files, CURVES, "cell", ("edge" if first else "bin", "clean", "artifact"), where))
    groups = {} if first else dict(_each(files, GROUPS, "cell", ("regions",), where))
    sums = dict(_each(files, SUMS, "cell", ("figure", "sum", "images"), where))
    terms = {}
    for cell, own in _each(files, IMAGES, "cell", ("tp", "fp", "without"), where):
        for name, other in ((CURVES, curves), (SUMS, sums), *(() if first else ((GROUPS, groups),))):
            if cell not in other:
                raise BenchkitError(f"{where}/{name}: the cell {cell[:12]}, which {IMAGES} has, is missing")
        curve, means = curves.pop(cell), sums.pop(cell)
        pairs = zip(means["sum"].tolist(), means["images"].tolist(), strict=True)
        counts: dict[str, Any] = {"tp": own["tp"], "fp": own["fp"], "hits": _kinds(own), "without": own["without"]}
        threshold = thresholds.get(cell)
        try:
            bins = _read_bins(curve, None if first else groups.pop(cell), threshold)
        except BenchkitError as error:
            raise BenchkitError(f"{where}/{CURVES}: the cell {cell[:12]} has {error}") from None
        terms[cell] = Terms(
            **counts,
            **bins,
            clean=curve["clean"],
            artifact=curve["artifact"],
            sums=dict(zip(means["figure"].tolist(), pairs, strict=True)),
            threshold=threshold,
        )
    if others := [*curves, *groups, *sums]:
        raise BenchkitError(f"{where}/{IMAGES}: the cell {others[0][:12]}, which other files have, is missing")
    return terms, tested


def _describe_bins(terms: Terms) -> NDArray[np.int64]:
    """Return what `make_edges` needs of every bin."""
    found = np.where(is_spread(terms.edges), _SEVERAL, 0)
    found[edge_index(THRESHOLD, terms.edges)] += _ABOVE
    if terms.threshold is not None:
        found[edge_index(terms.threshold, terms.edges)] += _CHOSEN
    return found


def _read_bins(curve: Columns, grouped: Columns | None, threshold: float | None) -> dict[str, Any]:
    """Return the fields of `Terms` that follow from its bins: edges, groups, and the histograms over the groups."""
    if grouped is None:
        every = np.arange(len(curve["edge"]))
        return {"edges": curve["edge"], "groups": every, "regions": curve.get("regions"), "kinds": _kinds(curve)}
    above, chosen = (np.flatnonzero(curve["bin"] & flag) for flag in (_ABOVE, _CHOSEN))
    if len(above) != 1 or len(chosen) != (threshold is not None) or len(curve["bin"]) > BINS:
        raise BenchkitError(f"score bins that do not rise from 0 through {THRESHOLD} and the row's threshold")
    several = (curve["bin"] & _SEVERAL) > 0
    edges = make_edges(several, int(above[0]), int(chosen[0]) if len(chosen) else None, threshold)
    number = len(grouped["regions"]) if "regions" in grouped else len(next(iter(_kinds(grouped).values()), ()))
    groups = group_bins(edges, curve["clean"], curve["artifact"], threshold)
    if number == len(edges):
        groups = np.arange(number)
    return {"edges": edges, "groups": groups, "regions": grouped.get("regions"), "kinds": _kinds(grouped)}


def _with_kinds(key: str, columns: Columns, kinds: Mapping[str, NDArray[Any]], name: str = "cell") -> Columns:
    return {name: np.array([key], object), **columns, **{_KIND + kind: own for kind, own in kinds.items()}}


def _kinds(columns: Columns) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(_KIND): own for name, own in columns.items() if name.startswith(_KIND)}


def _to_parquet(parts: Sequence[Columns]) -> bytes:
    """Return parts, each a cell's, one after another; a column that a part lacks is undefined there."""
    lengths = [max(map(len, part.values())) for part in parts]
    columns = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        kind = _type_of(name, [part[name] for part in parts if name in part])
        chunks = []
        for part, lines in zip(parts, lengths, strict=True):
            own = part.get(name)
            repeated = own is not None and len(own) < lines  # the key of a part
            chunks.append(
                pa.nulls(lines, kind) if own is None else pa.repeat(own[0], lines) if repeated else pa.array(own, kind)
            )
        columns[name] = pa.chunked_array(chunks, kind)
    return write_parquet(pa.table(columns).combine_chunks())


def _type_of(name: str, arrays: Sequence[NDArray[Any]]) -> pa.DataType:
    if name in _TEXTS:
        return pa.string()
    if name in _FLOATS:
        short = all(np.array_equal(own, own.astype(np.float32), equal_nan=True) for own in arrays)
        return pa.float32() if short else pa.float64()
    return pa.int32() if all(own.max(initial=0) < 2**31 for own in arrays) else pa.int64()


def _each(
    files: Mapping[str, bytes], name: str, key: str, needed: Sequence[str], where: str
) -> Iterator[tuple[str, Columns]]:
    """Yield the parts of a file with their keys; the columns that are undefined in all of a part are left out of it."""
    where = f"{where}/{name}"
    table, _ = read_parquet(files[name], where, needed=(key, *needed), most_lines=MOST_LINES)
    columns = {
        column: _to_numpy(table.column(column), f"{where}: the column '{column}'", column)
        for column in table.column_names
        if column != key
    }
    keys = table.column(key).combine_chunks()
    if not pa.types.is_dictionary(keys.type) or keys.null_count:
        raise BenchkitError(f"{where}: the column '{key}' is not of the expected type")
    codes, texts = keys.indices.to_numpy(), keys.dictionary.to_pylist()
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])) if len(codes) else np.empty(0, int)
    seen = set()
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        text = texts[codes[start]]
        if text in seen:
            raise BenchkitError(f"{where}: the lines of '{text[:12]}' are not together")
        seen.add(text)
        part = {}
        for column, values in columns.items():
            own = values[start:end]
            if column in _TEXTS or own.dtype.kind == "i" or (column in _FLOATS and column != "regions"):
                part[column] = own
            elif column == "regions":
                if not np.isnan(own).all():
                    part[column] = own
            elif not np.isnan(own).any():
                part[column] = own.astype(np.int64)
            elif column in needed or not np.isnan(own).all():
                raise BenchkitError(f"{where}: the column '{column}' has undefined numbers")
        yield text, part


def _to_numpy(column: pa.ChunkedArray, what: str, name: str) -> NDArray[Any]:
    """Return a column's texts, floats, or whole numbers; whole numbers of which some are undefined are floats."""
    kind = column.type
    fits = pa.types.is_dictionary(kind) if name in _TEXTS else pa.types.is_floating(kind) if name in _FLOATS else None
    if fits is None:
        fits = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not fits:
        raise BenchkitError(f"{what} is not of the expected type")
    if name in _TEXTS:
        return get_texts(column)
    values = column.to_numpy()
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)
