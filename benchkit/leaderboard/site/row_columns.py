"""The rows of a site by column: 100,000 rows take the memory of their columns, and a row is a view that reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.report.frames import to_objects

#: Name -> values, all of one length: numbers with NaN where undefined, whole numbers, or objects with None.
Columns = Mapping[str, NDArray[Any]]


class Row(Mapping[str, Any]):
    """One row: field -> value, None where undefined."""

    __slots__ = ("_columns", "_place")

    def __init__(self, columns: Columns, place: int) -> None:
        self._columns, self._place = columns, place

    def __getitem__(self, name: str) -> Any:
        value = self._columns[name].item(self._place)
        return None if value != value else value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field, or `default` where no row has it."""
        return self[name] if name in self._columns else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class Rows(Sequence[Row]):
    """Rows in an order. columns: of all rows of the site. places: those of these rows in the columns; None for all."""

    def __init__(self, columns: Columns, places: NDArray[np.intp] | None = None) -> None:
        self.columns = columns
        self._places = np.arange(len(next(iter(columns.values()), ()))) if places is None else places
        self._all = places is None

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Rows:
        """Return rows by column; rows that already are remain."""
        if isinstance(rows, Rows):
            return rows
        names = dict.fromkeys(name for row in rows for name in row)
        return cls({name: make_column([row.get(name) for row in rows]) for name in names})

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Rows: ...
    def __getitem__(self, at: int | slice) -> Row | Rows:
        return self.take(at) if isinstance(at, slice) else Row(self.columns, int(self._places[at]))

    def __iter__(self) -> Iterator[Row]:
        return (Row(self.columns, place) for place in self._places.tolist())

    def take(self, which: NDArray[Any] | slice) -> Rows:
        """Return the rows of a mask, of places among these rows, or of a slice."""
        return Rows(self.columns, self._places[which])

    def column(self, name: str) -> NDArray[Any]:
        """Return a field of these rows; None in all of them where no row has it."""
        if name not in self.columns:
            return np.full(len(self), None, object)
        return self.columns[name] if self._all else self.columns[name][self._places]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a field of numbers, NaN where undefined."""
        return self.column(name).astype(float, copy=False)

    def known(self, name: str) -> NDArray[np.bool_]:
        """Return in which rows a field is defined."""
        return np.asarray(~pd.isna(self.column(name)))

    def distinct(self, name: str) -> list[Any]:
        """Return the values of a field, each once, in the order of the rows; None where undefined."""
        return list(dict.fromkeys(None if value != value else value for value in self.column(name).tolist()))


def make_column(values: Sequence[Any]) -> NDArray[Any]:
    """Return values as a column: whole numbers, numbers with NaN where there is None, or objects."""
    kinds = {type(value) for value in values}
    if kinds == {int} or (kinds <= {int, float, type(None)} and kinds & {int, float}):
        return np.array(values, np.int64 if kinds == {int} else float)
    return to_objects([*values])


def stack_columns(parts: Sequence[tuple[int, Columns]]) -> dict[str, NDArray[Any]]:
    """Return columns one below the other; a column that a part does not have is undefined there.

    parts: (number of rows, own columns).
    """
    if len(parts) == 1:
        return dict(parts[0][1])
    stacked = {}
    for name in dict.fromkeys(name for _, own in parts for name in own):
        pieces = [None if _is_empty(own.get(name)) else own[name] for _, own in parts]
        kinds = {piece.dtype.kind for piece in pieces if piece is not None}
        missing = np.nan if kinds and kinds <= {"i", "f"} else None
        filled = (np.full(n, missing) if piece is None else piece for (n, _), piece in zip(parts, pieces, strict=True))
        stacked[name] = np.concatenate([*filled])
    return stacked


def _is_empty(column: NDArray[Any] | None) -> bool:
    return column is None or (column.dtype == object and bool(pd.isna(column).all()))
