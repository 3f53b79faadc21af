"""Encode values as bytes and decode them: JSON with sorted keys, arrays as safetensors. No decoder executes code.

Equal values give equal bytes, so that bytes can be compared and hashed instead of values.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of a compressed record, unpacked: histograms of a row and plans of a run take kilobytes to some megabytes.
INFLATED_LIMIT = 2**28


def arrays_to_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Encode named arrays (bool, integers, float16 to float64, of any shape) as safetensors.

    Raises TypeError for a dtype or a name that the format cannot hold.
    """
    # safetensors writes the raw buffer: a transposed view would be scrambled, without an error.
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    if "__metadata__" in plain:
        raise TypeError("an array cannot be named '__metadata__': safetensors reserves that name")
    try:
        data: bytes = save_safetensors(plain)
    except (SafetensorError, UnicodeEncodeError) as error:
        raise TypeError(f"arrays that safetensors cannot hold: {error}") from error
    return data


def arrays_from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """Decode what `arrays_to_bytes` wrote; raises BenchkitError for bytes that are no safetensors file."""
    try:
        arrays: dict[str, np.ndarray] = load_safetensors(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise BenchkitError(f"not a readable safetensors file: {error}") from error
    return arrays


def decompress(data: bytes) -> bytes:
    """Decompress zlib data; raise BenchkitError for other bytes, and for more than INFLATED_LIMIT.

    A store may come from anybody, and some kilobytes can expand to gigabytes.
    """
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, INFLATED_LIMIT)
    except zlib.error as error:
        raise BenchkitError(f"not a readable record: {error}") from None
    if stream.unconsumed_tail or not stream.eof:
        raise BenchkitError(f"a record of more than {INFLATED_LIMIT} bytes, or only a part of one")
    return found


def json_to_text(value: Any) -> str:
    """Encode plain data as one line of ASCII JSON with sorted keys; a float that is not finite becomes null.

    Raises TypeError for anything that is not plain data (numpy scalars count as plain), or a key that is not a string.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_json(text: str | bytes) -> Any:
    """Decode JSON from text or UTF-8 bytes; raise BenchkitError for anything else, and for NaN and Infinity."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BenchkitError(f"not readable JSON: {error}") from error


def json_to_bytes(value: Any) -> bytes:
    """Encode plain data as `json_to_text` does, with a newline at the end."""
    return json_to_text(value).encode("ascii") + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON cannot express them. JavaScript's JSON.stringify writes null too, and pandas reads it as NaN.
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"JSON keys are strings, not {[key for key in value if not isinstance(key, str)]}")
        return {key: _plain(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} is not plain data")


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")
