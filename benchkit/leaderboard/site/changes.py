"""What is new since an earlier version of the site: rows that came or went, figures, places and badges that changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchkit.errors import BenchkitError
from benchkit.leaderboard.site.rows import Row
from benchkit.report.text import known, numeric, one_line, percent

_ROWS = Path("downloads") / "rows.json"
#: Fields that are compared, and how a value is shown. The first five digits of a figure decide.
_FIGURES = {"iou": "artifact IoU", "ap": "AP"}
_PLACES = {"rank": "rank by IoU", "rank_ap": "rank by AP"}
_DIGITS = 5


class Change(NamedTuple):
    """One row that changed: its labels, the kind of change, and what changed in words."""

    kind: str
    name: str
    detector: str
    board: str
    words: str


def load_earlier_rows(site: Path) -> list[dict[str, Any]]:
    """Return the rows of an earlier site, or of its downloads/rows.json.

    Raises BenchkitError where there are none.
    """
    file = site / _ROWS if site.is_dir() else site
    try:
        rows = json.loads(file.read_text("utf-8"))["rows"]
        return [dict(row) | {"id": str(row["id"])} for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        raise BenchkitError(f"'{site}' has no rows of an earlier site: name its folder or its {_ROWS}") from None


def find_changes(earlier: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> list[Change]:
    """Return what changed, in the order of the rows; rows that are gone come last."""
    before = {row["id"]: row for row in earlier}
    now = {row["id"] for row in rows}
    found = [_change(before.get(row["id"]), row) for row in rows]
    gone = [_named("gone", row, "no longer on the board") for row in earlier if row["id"] not in now]
    return [*(change for change in found if change), *gone]


def _change(before: Mapping[str, Any] | None, row: Row) -> Change | None:
    if before is None:
        figures = [
            f"{words} {percent(numeric(row.get(key)))}" for key, words in _FIGURES.items() if known(row.get(key))
        ]
        return _named("new", row, ", ".join(figures) or str(row.get("state")))
    words = []
    for key, name in _FIGURES.items():
        a, b = numeric(before.get(key)), numeric(row.get(key))
        if f"{a:.{_DIGITS}g}" != f"{b:.{_DIGITS}g}":
            words.append(f"{name} {percent(a)} → {percent(b)}")
    for key, name in _PLACES.items():
        a, b = numeric(before.get(key)), numeric(row.get(key))
        if f"{a:g}" != f"{b:g}":
            words.append(f"{name} {a:g} → {b:g}".replace("nan", "none"))
    if before.get("badge") != row.get("badge"):
        words.append(f"badge {one_line(before.get('badge'))} → {one_line(row.get('badge'))}")
    return _named("changed", row, ", ".join(words)) if words else None


def _named(kind: str, row: Mapping[str, Any], words: str) -> Change:
    name, detector, board = (one_line(row.get(key) or "–") for key in ("name", "detector", "board"))
    return Change(kind, name, detector, board, words)
