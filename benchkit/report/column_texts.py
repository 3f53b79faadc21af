"""Columns as text, all values of a column at once: ten times as fast as value by value, and with the same digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandas.api.types import infer_dtype

#: Where the text of Arrow and of `repr` may have an exponent, but not at the same numbers.
_LEAST, _MOST = 1e-4, 1e12


def number_texts(values: NDArray[Any]) -> pa.Array:
    """Return the text of each number as `repr` gives it, the shortest that reads back the same; NaN is null."""
    if values.dtype != float:
        return pc.cast(pa.array(values), pa.string())
    texts = pc.cast(pa.array(values, from_pandas=True), pa.string())
    # Arrow writes 1.0 as 1, and has other limits for exponents.
    whole = values == np.rint(values)
    if whole.any():
        texts = pc.if_else(pa.array(whole), pc.binary_join_element_wise(texts, ".0", ""), texts)
    size = np.abs(values)
    other = (size < _LEAST) & (values != 0) | (size >= _MOST)
    if other.any():
        texts = pc.replace_with_mask(texts, pa.array(other), pa.array(list(map(repr, values[other].tolist()))))
    return texts


def map_texts(values: Sequence[Any] | NDArray[Any], function: Callable[[Any], str]) -> pa.Array:
    """Return `function` of each value of a column of objects; NaN is None. It is called once for each distinct text.

    What UTF-8 cannot encode becomes a question mark.
    """
    if infer_dtype(values, skipna=True) not in ("string", "empty"):
        return _encode([function(None if value != value else value) for value in values])
    try:
        found = pa.array(values, pa.string(), from_pandas=True).dictionary_encode()
    except UnicodeEncodeError:
        return map_texts(np.array(_encode([*values]).to_pylist(), object), function)
    words = _encode([*map(function, found.dictionary.to_pylist()), function(None)])
    return words.take(found.indices.fill_null(len(words) - 1))


def join_texts(texts: pa.Array, separator: str) -> str:
    """Return all texts as one."""
    return str(pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts), separator)[0])


def join_columns(columns: Iterable[pa.Array], separator: str) -> pa.Array:
    """Return the texts of several columns as one text for each line; null is empty."""
    return pc.binary_join_element_wise(*columns, separator, null_handling="replace", null_replacement="")


def _encode(texts: list[Any]) -> pa.Array:
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text if text is None else text.encode("utf-8", "replace").decode() for text in texts])
