"""Columns as text: the digits of `repr` for every number, the fields of the csv module for every text."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.report.column_texts import number_texts, short_texts
from benchkit.report.render_board import csv_blocks, csv_text


@given(st.lists(st.floats()))
def test_numbers_have_the_digits_of_repr(values):
    texts = number_texts(np.array(values, float)).to_pylist()
    assert texts == [None if math.isnan(value) else repr(value) for value in values]


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-5, 9.999e-5, 1e-4, 999999999999999.0, 1e15, 1e16, 5e-324, 1.8e308])
def test_the_limits_of_exponents_are_those_of_repr(value):
    assert number_texts(np.array([value, 0.1, -value])).to_pylist() == [repr(value), "0.1", repr(-value)]


@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()), min_size=1))
def test_csv_reads_back_the_same_fields(values):
    frame = pd.DataFrame({"a": pd.Series(values, dtype=object), "b": range(len(values))})
    read = list(csv.reader(io.StringIO(csv_text(frame), newline="")))
    assert read[0] == ["a", "b"] and len(read) == len(values) + 1
    for value, (field, place) in zip(values, read[1:], strict=True):
        missing = value is None or value != value
        text = "" if missing else str(value).encode("utf-8", "replace").decode()
        assert field == (f"'{text}" if isinstance(value, str) and field.startswith("'") and text[:1] != "'" else text)
        assert values[int(place)] is value


def test_csv_keeps_all_digits_quotes_and_shows_no_lone_surrogate():
    frame = pd.DataFrame({"x": [0.1, 1 / 3, np.nan, 3.0], "n": [1, 2, 3, 4], "ok": [True, False, True, True]})
    frame["name"] = pd.Series(['a,"b"', None, "=1+1", "\ud800"], dtype=object)
    assert csv_text(frame).splitlines() == [
        *("x,n,ok,name", '0.1,1,True,"a,""b"""', "0.3333333333333333,2,False,", ",3,True,'=1+1", "3.0,4,True,?"),
    ]


def test_a_single_column_has_no_empty_line():
    assert csv_text(pd.DataFrame({"a": pd.Series([None, "x"], dtype=object)})) == 'a\n""\nx\n'
    assert csv_text(pd.DataFrame({"a": [np.nan, 0.5]})) == 'a\n""\n0.5\n'


def test_a_frame_without_lines_has_its_header():
    assert csv_text(pd.DataFrame({"a": [], "b": []})) == "a,b\n"


def test_a_long_frame_comes_in_blocks_that_join_to_its_text():
    frame = pd.DataFrame({"a": np.arange(100_100), "b": np.linspace(0, 1, 100_100)})
    blocks = list(csv_blocks(frame))
    assert len(blocks) > 2
    assert "".join(blocks) == "a,b\n" + "".join(
        f"{a},{b!r}\n" for a, b in zip(*map(list, (frame["a"], frame["b"].tolist())), strict=True)
    )


@given(st.lists(st.one_of(st.floats(allow_infinity=False), st.integers(-(10**8), 10**8).map(lambda n: n / 2e6))))
def test_short_numbers_are_rounded_as_their_decimal_text(values):
    def expected(value):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e12 else float(f"{value:.6g}")

    texts = short_texts(np.array(values, float), 6).to_pylist()
    assert texts == [json.dumps(expected(value)) for value in values]
