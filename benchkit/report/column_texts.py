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
#: Arrow may write numbers from here on with an exponent, where `repr` does not.
_EXPONENT = 1e10
#: The powers of ten that a float has exactly.
_POWERS = np.array([float(10**power) for power in range(23)])


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
    other = (size < _LEAST) & (values != 0) | (size >= _EXPONENT)
    if other.any():
        texts = pc.replace_with_mask(texts, pa.array(other), pa.array(list(map(repr, values[other].tolist()))))
    return texts


def short_texts(values: NDArray[Any], digits: int) -> pa.Array:
    """Return each number as JSON with so many significant digits; whole numbers have all, NaN is null.

    Whole numbers from 10^12 on are written as other numbers are.
    """
    if values.dtype != float:
        return number_texts(values)
    whole = (values == np.rint(values)) & (np.abs(values) < _MOST)
    rounded = values.copy()
    rounded[~whole] = _round(values[~whole], digits)
    texts = pc.fill_null(number_texts(rounded), "null")
    if not whole.any():
        return texts
    return pc.replace_with_mask(texts, pa.array(whole), number_texts(values[whole].astype(np.int64)))


def _round(values: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """Return the numbers with so many significant digits, exactly as their decimal text reads; NaN remains."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        places = np.nan_to_num(digits - 1 - np.floor(np.log10(np.abs(values))), nan=-1, posinf=-1, neginf=-1)
        scale = _POWERS[np.clip(places, 0, len(_POWERS) - 1).astype(int)]
        scaled = values * scale
        rounded = np.rint(scaled)
        # The quotient of two exact numbers is the nearest number to their decimal text. Where one of them is not exact,
        # and where the scaled number lies at the edge of rounding otherwise, only the text knows.
        size = np.abs(scaled)
        sure = (places >= 0) & (places < len(_POWERS)) & (np.abs(np.abs(scaled - rounded) - 0.5) > 1e-6)
        sure &= (size > _POWERS[digits - 1] + 1) & (size < _POWERS[digits] - 1)
        found = rounded / scale
    for place in np.flatnonzero(~sure):
        found[place] = float(f"{values[place]:.{digits}g}")
    return found


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
