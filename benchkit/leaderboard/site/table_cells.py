"""Cells of the tables on the site's pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchkit.report.format_values import MISSING, bracketed, known, numeric, percent, signed


class TableCell(NamedTuple):
    """A cell of a page's table: its text, the number to sort it by, the page it links to, and a verdict."""

    text: str
    value: float | None = None
    href: str = ""
    verdict: str = ""


def make_figure(row: Mapping[str, Any], key: str) -> TableCell:
    """Return a fraction in per cent with its interval; the state of a row that has none."""
    value, low, high = (numeric(row.get(key + end)) for end in ("", "_low", "_high"))
    text = bracketed(*map(percent, (value, low, high)))
    return TableCell(text if text != MISSING or row.get("state", "done") == "done" else str(row["state"]), row.get(key))


def make_rank(row: Mapping[str, Any], end: str, key: str = "rank") -> TableCell:
    """Return a rank with its interval."""
    rank, low, high = (row.get(f"{key}{end}{part}") for part in ("", "_low", "_high"))
    if not known(rank):
        return TableCell(MISSING)
    interval = f" [{low:.0f}–{high:.0f}]" if known(low) and known(high) else ""
    return TableCell(f"{rank:.0f}{interval}", rank)


def make_delta(row: Mapping[str, Any], key: str = "pseudo") -> TableCell:
    """Return a difference in points with its interval and verdict."""
    value, low, high = (numeric(row.get(f"{key}{end}")) for end in ("", "_low", "_high"))
    text = bracketed(signed(value), percent(low), percent(high))
    verdict = row.get(f"{key}_verdict")
    return TableCell(text, row.get(key), verdict=str(verdict) if known(verdict) else "")
