"""Arrays that may be larger than the memory: one row at a time, from several parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

import numpy as np


class Rows(Protocol):
    """What a training reads of a set of images or masks; a numpy array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of all rows together."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the values."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class MadeRows:
    """Rows that are made when they are asked for: row i of `make` of row i of each source.

    shape: of all rows together. dtype: of what `make` returns.
    """

    def __init__(
        self, make: Callable[..., np.ndarray], *sources: Rows, shape: tuple[int, ...], dtype: type[np.generic]
    ) -> None:
        self.make, self.sources, self.shape, self.dtype = make, sources, shape, np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        return self.make(*(rows[index] for rows in self.sources))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))


class Stack:
    """The rows of several parts, one after another, as one array of which a row is read when it is asked for.

    parts: of one row shape. kept: which of all rows belong to the stack, (N,) bool; None: all of them. The values have
    the type that numpy's concatenate would give them.
    """

    def __init__(self, parts: Sequence[Rows], kept: np.ndarray | None = None) -> None:
        self.parts, self.kept = tuple(parts), kept

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of all rows together."""
        return (len(self), *self.parts[0].shape[1:])

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the values."""
        return np.result_type(*(part.dtype for part in self.parts))

    @cached_property
    def _ends(self) -> np.ndarray:
        """Return for each part how many rows it and the parts before it have."""
        return np.array(list(accumulate(map(len, self.parts))))

    @cached_property
    def _places(self) -> np.ndarray:
        """Return for each row of the stack its place among the rows of all parts."""
        return np.arange(self._ends[-1]) if self.kept is None else np.flatnonzero(self.kept)

    def where(self, keep: np.ndarray) -> Stack:
        """Return the stack of the rows for which `keep`, (N,) bool, is true."""
        if self.kept is None:
            return Stack(self.parts, keep)
        kept = self.kept.copy()
        kept[kept] = keep
        return Stack(self.parts, kept)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return one row; raise IndexError outside of 0 … N - 1."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row = int(self._places[index])
        part = int(np.searchsorted(self._ends, row, side="right"))
        start = int(self._ends[part - 1]) if part else 0
        return np.asarray(self.parts[part][row - start]).astype(self.dtype, copy=False)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all rows in memory."""
        whole = np.empty(self.shape, self.dtype)
        for index, row in enumerate(self):
            whole[index] = row
        return whole if dtype is None else whole.astype(dtype, copy=False)
