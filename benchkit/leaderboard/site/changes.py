"""What is new since an earlier version of the site: rows and seasons that came, went or changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchkit.errors import BenchkitError
from benchkit.leaderboard.site.fields import plain_column
from benchkit.leaderboard.site.row_columns import Row, Rows
from benchkit.report.board_parquet import MOST_LINES
from benchkit.report.format_values import bare, known, numeric, one_line, percent
from benchkit.report.parquet_file import read_frame

_DOWNLOADS, ROWS, LONG_ROWS, SEASONS = Path("downloads"), "rows.json", "rows.parquet", "seasons.json"
#: Fields that are compared, and how a value is shown. The first five digits of a figure decide.
_FIGURES = {"iou": "artifact IoU", "ap": "AP"}
_PLACES = {"rank": "rank by IoU", "rank_ap": "rank by AP"}
_DIGITS = 5
_READ = {"id", "name", "detector", "board", "badge", "state", *_FIGURES, *_PLACES}
#: The same of a row in a season.
_FRESH = {"fresh": "fresh IoU", "fresh_ap": "fresh AP"}
_FRESH_PLACES = {"rank_fresh": "fresh rank by IoU", "rank_fresh_ap": "fresh rank by AP"}


class Change(NamedTuple):
    """One row or season that changed: its labels, the kind of change, and what changed in words."""

    kind: str
    name: str
    detector: str
    board: str
    words: str


class Earlier(NamedTuple):
    """An earlier site. rows: its rows. seasons: what it said of each season. scored: a record per row and season.

    seasons and scored are None where the earlier site was built by a version that did not write them.
    """

    rows: Sequence[Mapping[str, Any]]
    seasons: Sequence[Mapping[str, Any]] | None = None
    scored: Sequence[Mapping[str, Any]] | None = None


def load_earlier(site: Path) -> Earlier:
    """Return an earlier site, from its folder or its downloads/rows.json, beside which seasons.json may stand.

    A site of very many rows has rows.parquet alone. Raises BenchkitError where there are no rows, or where a file is
    another one.
    """
    file = site
    if site.is_dir():
        files = (site / _DOWNLOADS / name for name in (ROWS, LONG_ROWS))
        file = next((one for one in files if one.is_file()), site / _DOWNLOADS / ROWS)
    try:
        rows = _read_long(file) if file.suffix == ".parquet" else _read_rows(file)
        if not (beside := file.with_name(SEASONS)).is_file():
            return Earlier(rows)
        found = json.loads(beside.read_text("utf-8"))
        scored = [dict(row) | {"id": str(row["id"]), "season": str(row["season"])} for row in found["rows"]]
        if "seasons" not in found:
            return Earlier(rows)
        return Earlier(rows, [dict(one) | {"name": str(one["name"])} for one in found["seasons"]], scored)
    except (OSError, ValueError, KeyError, TypeError):
        raise BenchkitError(
            f"'{site}' has no rows of an earlier site: name its folder or its {_DOWNLOADS / ROWS}"
        ) from None


def _read_rows(file: Path) -> Sequence[Mapping[str, Any]]:
    return [dict(row) | {"id": str(row["id"])} for row in json.loads(file.read_text("utf-8"))["rows"]]


def _read_long(file: Path) -> Sequence[Mapping[str, Any]]:
    frame, _ = read_frame(file, str(file), most_lines=MOST_LINES, columns=lambda name: name in _READ)
    return Rows({str(name): plain_column(column) for name, column in frame.astype({"id": str}).items()})


def find_changes(earlier: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> list[Change]:
    """Return which rows changed, in their order; rows that are gone come last."""
    before = {row["id"]: row for row in earlier}
    now = {row["id"] for row in rows}
    found = [_change(before.get(row["id"]), row) for row in rows]
    gone = [_named("gone", row, "no longer on the board") for row in earlier if row["id"] not in now]
    return [*(change for change in found if change), *gone]


def find_season_changes(
    earlier: Earlier, seasons: Sequence[Mapping[str, Any]], scored: Sequence[Mapping[str, Any]]
) -> list[Change]:
    """Return which seasons were opened, revealed, scored or removed, and the fresh figures that changed.

    seasons, scored: as `season_records` and `scored_records` of `downloads` give them.
    """
    before = {one["name"]: one for one in earlier.seasons or ()}
    known_before = {(row["season"], row["id"]): row for row in earlier.scored or ()}
    found = []
    for season in seasons:
        own = [row for row in scored if row["season"] == season["name"]]
        new = sum((row["season"], row["id"]) not in known_before for row in own)
        old = before.get(season["name"])
        words = (
            [] if old is None or old.get("state") == season["state"] else [f"{old.get('state')} → {season['state']}"]
        )
        words += [f"{new} rows scored for the first time"] if new else []
        if old is None:
            words.insert(0, f"{season['state']}: {season['count']} images of {bare(season['dataset'])}")
        if words:
            found.append(_named_season("new" if old is None else "changed", season, "; ".join(words)))
        for row in own:
            if (earlier_row := known_before.get((row["season"], row["id"]))) is not None:
                figures = _differing(earlier_row, row, _FRESH, _FRESH_PLACES)
                found += [_named("changed", row, f"season {season['name']}: {', '.join(figures)}")] if figures else []
    now = {season["name"] for season in seasons}
    return found + [_named_season("gone", one, "no longer listed") for name, one in before.items() if name not in now]


def _named_season(kind: str, season: Mapping[str, Any], words: str) -> Change:
    return Change(kind, f"season {one_line(season['name'])}", "–", "–", one_line(words))


def _differing(
    before: Mapping[str, Any], row: Mapping[str, Any], names: Mapping[str, str], places: Mapping[str, str]
) -> list[str]:
    """Return the figures and places that differ, in words."""
    words = []
    for key, name in names.items():
        a, b = numeric(before.get(key)), numeric(row.get(key))
        if f"{a:.{_DIGITS}g}" != f"{b:.{_DIGITS}g}":
            words.append(f"{name} {percent(a)} → {percent(b)} %")
    for key, name in places.items():
        a, b = numeric(before.get(key)), numeric(row.get(key))
        if f"{a:g}" != f"{b:g}":
            words.append(f"{name} {a:g} → {b:g}".replace("nan", "none"))
    return words


def _change(before: Mapping[str, Any] | None, row: Row) -> Change | None:
    if before is None:
        figures = [
            f"{words} {percent(numeric(row.get(key)))} %" for key, words in _FIGURES.items() if known(row.get(key))
        ]
        return _named("new", row, ", ".join(figures) or str(row.get("state")))
    words = _differing(before, row, _FIGURES, _PLACES)
    if before.get("badge") != row.get("badge"):
        words.append(f"badge {one_line(before.get('badge'))} → {one_line(row.get('badge'))}")
    return _named("changed", row, ", ".join(words)) if words else None


def _named(kind: str, row: Mapping[str, Any], words: str) -> Change:
    name, detector, board = (one_line(row.get(key) or "–") for key in ("name", "detector", "board"))
    return Change(kind, name, detector, board, words)
