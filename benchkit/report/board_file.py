"""The columns of a board and their types; a board's JSON, which may be anybody's, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype

from benchkit.errors import BenchkitError, describe_error
from benchkit.metrics import PRIMARY
from benchkit.report.aggregate import DERIVED, KEY
from benchkit.report.columns import ACROSS_FIELDS, ACROSS_PLACES, COLUMNS, FLAGS, STATES, TEXTS
from benchkit.report.figure_checks import COUNTS, check_figures
from benchkit.report.format_values import known, short_reason
from benchkit.report.frames import get_columns, make_frame, to_objects
from benchkit.report.old_schemas import SCHEMA, upgraded
from benchkit.specs.cell import ROLES
from benchkit.store.columns import SETTINGS

#: Which part of the board a line belongs to, in this order.
TRAINED, TRIVIAL, MISSING_ROWS = GROUPS = ("trained", "trivial", "missing")

_LABELS = ("training_set", *(name for name in KEY if name not in ("detector", "test_set")), "detector", "test_set")
_SETTINGS_AS_NUMBERS = ("labelled", "source_images", "test_images", "validation_images", "num_inference_steps")
_SETTINGS_AS_TEXT = tuple(name for name in SETTINGS if name not in (*_SETTINGS_AS_NUMBERS, "paste_background"))
TEXT = ("group", *_LABELS, "state", "reason", "plugins", "curve", *TEXTS, *_SETTINGS_AS_TEXT, "resampling")
#: The first columns, in this order. A board must have those that `_OPTIONAL` does not name.
LEADING = (
    *("group", "rank", "rank_low", "rank_high", *_LABELS),
    *("state", "reason", "seeds", "planned_seeds", "seed_variance", "images"),
    *(PRIMARY, f"{PRIMARY}_std", f"{PRIMARY}_low", f"{PRIMARY}_high"),
    *(name for name in COLUMNS if not name.startswith(("rank", PRIMARY)) and name not in ("seed_variance", "images")),
)
_OPTIONAL = {*COLUMNS} - {
    "rank",
    "rank_low",
    "rank_high",
    "seed_variance",
    "images",
    f"{PRIMARY}_low",
    f"{PRIMARY}_high",
}

#: What a board's head contains, and of which kind.
HEAD: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("run", "title", "note"), lambda value: isinstance(value, str)),
    "level": lambda value: isinstance(value, int | float) and 0 < value < 1,
}
#: What it may contain besides: of earlier versions the number of bootstrap draws.
_MORE: Mapping[str, Callable[[Any], bool]] = {
    "replicates": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    **dict.fromkeys(("pairs", "resolution"), lambda value: _is_records(value)),
    "across": lambda value: value == {} or _is_across(value),
    "looks": lambda value: _is_looks(value),
}


#: Columns that every reading of a board needs: a board must have the first ones, and KEY tells its rows apart.
REQUIRED = ("group", "role", "training_set", "test_set", "state", "images", "seeds", "planned_seeds")
ALWAYS_READ = (*REQUIRED, *KEY)


def read_board(data: Mapping[str, Any], where: str, columns: Callable[[str], bool] | None = None) -> dict[str, Any]:
    """Return the fields of a Board from its JSON, checked; `where` names it in the BenchkitError for what is wrong.

    columns: which columns of the frame are needed, if not all.
    """
    found = _read_head(data, where)
    if not isinstance(data.get("rows"), list) or not all(isinstance(row, Mapping) for row in data["rows"]):
        raise BenchkitError(f"{where}: not a board: 'rows' is no list of records")
    rows = [upgraded(row) for row in data["rows"]]
    if "replicates" not in data and rows and rows[0].get("replicates"):
        found["replicates"] = rows[0]["replicates"]
    head = ("schema", "source", "paper", "shown", *HEAD, *_MORE)
    names = dict.fromkeys(name for row in rows for name in row if name not in head)
    needed = [name for name in names if columns is None or name in ALWAYS_READ or columns(name)]
    frame = pd.DataFrame({name: [row.get(name, np.nan) for row in rows] for name in needed})
    if lacking := [name for name in LEADING if name not in frame and name not in _OPTIONAL]:
        raise BenchkitError(f"{where}: not a board: its rows lack '{lacking[0]}'")
    return {**found, "frame": _check_frame(frame, where), "shown": _read_shown(rows, where)}


def read_board_columns(head: Any, frame: pd.DataFrame, where: str) -> dict[str, Any]:
    """Return the fields of a Board, without pairs, from what holds for all of it and from some or all of its columns.

    Columns of a board that are not given are undefined. `where` names it in the BenchkitError for what is wrong.
    """
    if not isinstance(head, Mapping) or head.get("schema") != SCHEMA:
        raise BenchkitError(f"{where}: not a board of schema {SCHEMA}")
    if lacking := [name for name in REQUIRED if name not in frame]:
        raise BenchkitError(f"{where}: not a board: its rows lack '{lacking[0]}'")
    fields, shown = _read_head(head, where), _read_shown([head], where)
    return {**fields, "frame": _check_frame(frame, where), "shown": shown}


def _read_head(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return what holds for a whole board, checked."""
    if missing := [name for name in HEAD if name not in data]:
        raise BenchkitError(f"{where}: not a board: '{missing[0]}' is missing")
    for name, fits in {**HEAD, **_MORE}.items():
        if name in data and not fits(data[name]):
            raise BenchkitError(f"{where}: not a board: '{name}' is {short_reason(repr(data[name]))}")
    return {name: data[name] for name in (*HEAD, *_MORE) if name in data} | {"paper": _read_paper(data, where)}


def _is_records(value: Any) -> bool:
    """Whether a value is a list of records of numbers, texts and nothing else."""
    return isinstance(value, list) and all(
        isinstance(record, Mapping)
        and all(v is None or isinstance(v, bool | int | float | str) or _is_numbers(v) for v in record.values())
        for record in value
    )


def _is_across(value: Any) -> bool:
    """Whether a value is what `compare_settings` returns."""
    if (
        not isinstance(value, Mapping)
        or value.keys() != ACROSS_FIELDS.keys()
        or not all(map(_is_records, value.values()))
    ):
        return False
    if not all(record.keys() >= set(ACROSS_FIELDS[name]) for name, records in value.items() for record in records):
        return False
    lists = (record[name] for record in value["shares"] for name in ("settings", "means"))
    if not all(map(_is_numbers, lists)):
        return False
    places = set(range(len(value["settings"])))
    given = (
        record[name] for records in value.values() for record in records for name in ACROSS_PLACES if name in record
    )
    return all(places.issuperset(own if isinstance(own, list) else [own]) for own in given)


def _is_looks(value: Any) -> bool:
    """Whether a value, which may be anybody's, has the form of `looks_as_json`."""
    if not isinstance(value, Mapping) or not isinstance(value.get("taken"), list):
        return False
    numbers = [*_list(value.get("planned")), *_list(value.get("seeds")), value.get("level"), value.get("margin")]
    counts = [
        look.get(n) if isinstance(look, Mapping) else None
        for look in value["taken"]
        for n in ("seeds", "rows", "pairs", *STATES)
    ]
    texts = [look.get(n) for look in value["taken"] if isinstance(look, Mapping) for n in ("stopped", "failed")]
    return (
        all(isinstance(number, int | float) and np.isfinite(number) for number in (*numbers, *counts))
        and all(isinstance(text, str) for text in texts)
        and bool(value.get("planned"))
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(v is None or isinstance(v, int | float) for v in value)


def _check_frame(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the frame with its types and all columns; raise BenchkitError for what is of another type."""
    for name, column in frame.loc[:, frame.dtypes.to_numpy() == np.dtype(object)].items():
        if infer_dtype(column) in ("string", "boolean", "empty"):
            continue
        if bad := [value for value in column if isinstance(value, Mapping | list)]:
            raise BenchkitError(f"{where}: not a board: a row's '{name}' is {short_reason(repr(bad[0]))}")
    for name, allowed in (("role", ROLES), ("group", GROUPS)):
        if not set(frame[name]) <= set(allowed):
            raise BenchkitError(f"{where}: not a board: a row's '{name}' is none of {', '.join(allowed)}")
    if lacking := [name for name in ("training_set", "role", "test_set", "state") if not frame[name].map(known).all()]:
        raise BenchkitError(f"{where}: not a board: a row without '{lacking[0]}'")
    label = ["training_set", *(name for name in KEY if name in frame)]
    if (twice := frame.duplicated(label)).any():
        first = frame.loc[twice, label].iloc[0]
        number = int((frame[label].fillna("") == first.fillna("")).all(axis=1).sum())
        raise BenchkitError(f"{where}: not a board: {number} lines are of the row {first['training_set']!r}")
    columns = get_columns(frame)
    check_figures(columns, where)
    undefined = np.full(len(frame), np.nan)
    columns |= {name: undefined for name in (*LEADING, *DERIVED) if name not in frame}
    try:
        typed = with_types(columns, len(frame))
    except (ValueError, TypeError, OverflowError) as error:
        raise BenchkitError(f"{where}: not a board: {describe_error(error)}") from None
    measured = typed.loc[typed["group"] != MISSING_ROWS, "images"]
    if not np.isfinite(measured).all():
        raise BenchkitError(f"{where}: not a board: a row with figures does not say of how many 'images'")
    return typed


def with_types(columns: Mapping[str, NDArray[Any]], lines: int) -> pd.DataFrame:
    """Return a frame with str or None in text columns, bool in flags, int in counts of seeds, float elsewhere."""
    typed: dict[str, NDArray[Any]] = {}
    for name, own in columns.items():
        if name in TEXT and infer_dtype(own) == "string":
            typed[name] = np.where(pd.notna(own), own, np.array(None))
        elif name in TEXT:
            typed[name] = to_objects([str(value) if known(value) else None for value in own])
        elif name in FLAGS:
            typed[name] = own if own.dtype == bool else np.array([bool(value) and known(value) for value in own], bool)
        elif name == "paste_background":
            typed[name] = to_objects([bool(value) if known(value) else None for value in own])
        elif name in COUNTS or own.dtype != float:
            found = pd.Series(pd.to_numeric(own, errors="coerce"))
            typed[name] = found.astype(int if name in COUNTS else float).to_numpy()
        else:
            typed[name] = own
    return make_frame(typed, lines)


def _read_paper(data: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    """Return a board's `paper`, see `benchkit.planning.paper_protocol.to_record`; raise BenchkitError for another."""
    paper = data.get("paper")
    if paper is None:
        return None
    kinds = {"table": int, "sources": Mapping, "differs": list}
    if not isinstance(paper, Mapping) or not all(isinstance(paper.get(name), kind) for name, kind in kinds.items()):
        raise BenchkitError(f"{where}: not a board: 'paper' lacks {', '.join(kinds)}")
    return paper


def _read_shown(rows: Sequence[Mapping[str, Any]], where: str) -> dict[str, str]:
    """Return the texts that people are shown in the place of the rows' complete ones."""
    found: dict[str, str] = {}
    for row in rows:
        shown = row.get("shown", {})
        if not isinstance(shown, Mapping) or not all(isinstance(text, str) for pair in shown.items() for text in pair):
            raise BenchkitError(f"{where}: not a board: 'shown' is {short_reason(repr(shown))}")
        found |= shown
    return found
