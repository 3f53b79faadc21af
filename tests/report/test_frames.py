"""Frames of many columns keep the types of their arrays, and give the same records as pandas does."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchkit.report.frames import line_records, make_frame, to_objects

COLUMNS = {
    "text": to_objects(["a", None, "c"]),
    "flag": np.array([True, False, True]),
    "known": to_objects([True, None, False]),
    "number": np.array([0.5, np.nan, -np.inf]),
    "count": np.array([1, 2, 3]),
}


def test_a_frame_keeps_types_and_order() -> None:
    frame = make_frame(COLUMNS, 3)
    assert list(frame) == list(COLUMNS) and frame.index.equals(pd.RangeIndex(3))
    assert [str(kind) for kind in frame.dtypes] == ["object", "bool", "object", "float64", "int64"]
    assert frame["text"].tolist() == ["a", None, "c"]


def test_records_are_those_of_pandas() -> None:
    frame = make_frame(COLUMNS, 3)
    found, wanted = line_records(frame), frame.to_dict("records")
    assert repr(found) == repr(wanted)
    assert [type(value) for value in found[0].values()] == [str, bool, bool, float, int]
    assert line_records(make_frame({name: own[:0] for name, own in COLUMNS.items()}, 0)) == []
