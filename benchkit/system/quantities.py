"""Bytes and seconds as text."""

from __future__ import annotations

_SIZES = (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10))


def format_size(size: int) -> str:
    """Return a number of bytes as text, such as `1.5 MB`."""
    return next((f"{size / unit:.1f} {name}" for name, unit in _SIZES if size >= unit), f"{size} B")


def format_range(low: float, high: float) -> str:
    """Return a range of seconds in a unit that suits its end: `40 to 90 seconds`, `3 to 5 minutes`."""
    name, unit = ("hours", 3600) if high >= 7200 else ("minutes", 60) if high >= 120 else ("seconds", 1)
    texts = [f"{value / unit:.2g}" if value < 10 * unit else f"{value / unit:,.0f}" for value in (low, high)]
    return f"{texts[0]} to {texts[1]} {name}" if texts[0] != texts[1] else f"about {texts[1]} {name}"
