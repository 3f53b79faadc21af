"""The board's data as scripts: a page that was opened as a file may not read other files, but it may load scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from benchkit.leaderboard.site.columns import COLUMNS, column_records
from benchkit.leaderboard.site.rows import PAPER, Group, Tables, resolved_neighbours
from benchkit.leaderboard.site.sources import BADGES
from benchkit.report.column_texts import join_texts, number_texts, short_texts
from benchkit.report.columns import RANKINGS
from benchkit.report.format_values import known, numeric, percent
from benchkit.report.notes import NAMES

#: Beside the columns' own fields, what the script needs of a row.
_FIELDS = (
    *("id", "group", "kind", "state", "unstable", "reordered", "planned_seeds", "sd"),
    *("method_slug", "detector_slug", "dataset_slug", "board_slug"),
)
_ENDS = {"interval": ("_low", "_high"), "rank": ("_low", "_high"), "delta": ("_low", "_high", "_verdict")}
#: Digits of the numbers that the table shows; the downloads have all digits.
_DIGITS = 6


def data_script(tables: Tables) -> Iterator[bytes]:
    """Yield the script with all rows, a list per field; texts that repeat are written once."""
    names = [*_FIELDS, *(c.key + end for c in COLUMNS for end in ("", *_ENDS.get(c.kind, ())))]
    if any(group.joint for group in tables.groups):
        names += [f"{key}_joint_{end}" for key in ("iou", "ap") for end in ("low", "high")]
    yield f'window.benchkitData = {{"columns":{script_json(column_records(bool(tables.seasons)))},"fields":'.encode()
    for i, name in enumerate(dict.fromkeys(names)):
        yield f'{"," if i else "{"}"{name}":{_field(tables.rows.column(name))}'.encode()
    rest = {
        "seasons": [_season(name, tables) for name in tables.seasons],
        "groups": [_group(group, tables) for group in tables.groups],
        "badges": BADGES,
        "boards": [{"slug": slug, "name": name} for slug, name in tables.names.get("board", {}).items()],
    }
    yield f"}},{script_json(rest)[1:]};\n".encode()


def pairs_scripts(tables: Tables) -> dict[str, str]:
    """Return board -> the script with its paired differences, read when two of its rows are compared."""
    found: dict[str, list[Any]] = {}
    for group in tables.groups:
        for place, ranking in enumerate(RANKINGS):
            for (first, second), pair in group.pairs.get(ranking, {}).items():
                figures = ("difference", "low", "high", "p_adjusted", "improvement")
                numbers = [_short(pair.get(name)) for name in figures]
                found.setdefault(group.board, []).append([place, first, second, *numbers, pair.get("verdict")])
    return {slug: f"window.benchkitPairs({script_json(slug)}, {script_json(p)});\n" for slug, p in found.items()}


def script_json(data: Any) -> str:
    """Return plain data as JSON that cannot end a script element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _field(values: NDArray[Any]) -> str:
    """Return a field of all rows as JSON."""
    if values.dtype != object:
        return f"[{join_texts(short_texts(values, _DIGITS), ',')}]"
    codes, words = pd.factorize(values)
    if not all(isinstance(word, str) for word in words) or not len(words):
        return script_json(values.tolist())
    return f'{{"words":{script_json(words.tolist())},"places":[{join_texts(number_texts(codes), ",")}]}}'


def _season(name: str, tables: Tables) -> dict[str, Any]:
    """Return the fresh figures of one season, a list per field; null where a row was not scored."""
    scored = [(own or {}).get(name, {}) for own in tables.rows.column("seasons").tolist()]
    fields = dict.fromkeys(key for own in scored for key in own)
    return {"name": name, "fields": {key: [_short(own.get(key)) for own in scored] for key in fields}}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.{_DIGITS}g}")
    return value


def _group(group: Group, tables: Tables) -> dict[str, Any]:
    resolution = []
    words = {}
    for ranking, key in zip(RANKINGS, ("rank", "rank_ap"), strict=True):
        found = group.resolution.get(ranking)
        if found is None:
            continue
        differ, neighbours = resolved_neighbours(group, ranking, tables.rows)
        cells = resolution_cells(found, differ, neighbours)
        resolution.append({"ranking": NAMES[ranking], "cells": cells})
        words[key] = f"resolves {cells[0]}; {cells[1]} pairs and {cells[2]} neighbours differ beyond chance"
    title = f"{group.title} ({group.name})" if group.board != PAPER else group.title
    more = {"words": words, "resolution": resolution, "joint": bool(group.joint)}
    return {"title": title, "board": group.board, "ranked": group.ranked, "rows": group.rows, **more}


RESOLUTION_HEADERS = (
    *("resolves", "pairs that differ", "neighbours that differ", "images", "seeds", "images × seeds"),
    *("with 5 more seeds", "with 500 more images"),
)


def resolution_cells(found: Mapping[str, Any], differ: int, neighbours: int) -> list[str]:
    """Return the texts of RESOLUTION_HEADERS for one ranking of a group."""

    def more(value: Any) -> str:
        figures = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
        return _points(figures[1]) if len(figures) == 2 else "–"

    single = found.get("trained_seeds") == 1
    parts = ["–" if single else _part(found.get(name)) for name in ("images", "seeds", "interaction")]
    counts = (f"{found.get('resolved', 0)} of {found.get('pairs', 0)}", f"{differ} of {neighbours}")
    return [
        _points(found.get("difference")),
        *counts,
        *parts,
        more(found.get("more_seeds")),
        more(found.get("more_images")),
    ]


def _points(value: Any) -> str:
    return f"{percent(numeric(value))} points" if known(value) else "–"


def _part(value: Any) -> str:
    return f"{numeric(value) * 100:.0f} %" if known(value) else "–"
