"""Values as bytes and back, and files written whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import benchkit
from benchkit.errors import BenchkitError
from benchkit.store.artifacts import (
    arrays_from_bytes,
    arrays_to_bytes,
    json_to_bytes,
    parse_json,
)
from benchkit.system.files import write_atomic
from tests.store.store_helpers import python

DTYPES = st.sampled_from([np.bool_, np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64])
ARRAYS = DTYPES.flatmap(lambda t: st_numpy.arrays(t, st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0)))


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), ARRAYS, max_size=4))
def test_arrays_round_trip(arrays: dict[str, np.ndarray]) -> None:
    arrays.pop("__metadata__", None)
    data = arrays_to_bytes(arrays)
    back = arrays_from_bytes(data)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
        assert back[name].flags.writeable
    assert arrays_to_bytes(dict(reversed(arrays.items()))) == data


def test_views_are_stored_as_they_look() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    views = {
        "transposed": array.T,
        "strided": array[:, ::2],
        "reversed": array[::-1],
        "fortran": np.asfortranarray(array),
    }
    for name, view in arrays_from_bytes(arrays_to_bytes(views)).items():
        np.testing.assert_array_equal(view, views[name])


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()]), np.array([1], "datetime64[s]")])
def test_arrays_of_other_things_are_refused(array: np.ndarray) -> None:
    with pytest.raises(TypeError):
        arrays_to_bytes({"a": array})


@given(st.binary(max_size=200))
def test_any_bytes_are_arrays_or_one_clear_error(data: bytes) -> None:
    try:
        arrays_from_bytes(data)
    except BenchkitError as error:
        assert "safetensors" in str(error)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_json_round_trips(value: object) -> None:
    data = json_to_bytes(value)
    assert parse_json(data) == value
    assert json_to_bytes(parse_json(data)) == data


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), np.float64("-inf")])
def test_numbers_that_json_lacks_become_null(value: float) -> None:
    assert json_to_bytes({"b": [value], "a": np.int64(1)}) == b'{"a":1,"b":[null]}\n'


@pytest.mark.parametrize("value", [{1: 2}, {"a": object()}, b"bytes", {1, 2}, np.zeros(2)])
def test_only_plain_data_are_json(value: object) -> None:
    with pytest.raises(TypeError):
        json_to_bytes(value)


@pytest.mark.parametrize("data", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(BenchkitError, match="not readable JSON"):
        parse_json(data)


def test_write_atomic_keeps_the_old_file_when_it_fails(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def failing(*_):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="broken disk"):
        write_atomic(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_the_stores_need_no_torch_and_no_pickle() -> None:
    code = "import sys, benchkit.store.artifacts, benchkit.store.results; sys.exit('torch' in sys.modules)"
    assert python(code).wait() == 0
    folder = Path(benchkit.__file__).parent / "store"
    assert not [path.name for path in folder.glob("*.py") if "import pickle" in path.read_text()]
