"""Numbers and foreign text as people read them: fractions in per cent, one line, no control characters."""

from __future__ import annotations

import math
from collections.abc import Iterable

MISSING = "–"
#: A reason may be a whole traceback; tables show its beginning.
LONGEST_REASON = 300


def one_line(text: object) -> str:
    """Return text from plugins and datasets on one line, control and direction characters replaced."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return " ".join(shown.split())


def replace_controls(text: str) -> str:
    """Return text for a terminal: control and direction characters replaced, lines kept."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def short_reason(text: object) -> str:
    """Return why something did not run, on one line of at most LONGEST_REASON characters."""
    shown = one_line(text)
    return shown if len(shown) <= LONGEST_REASON else shown[: LONGEST_REASON - 1] + "…"


def known(value: object) -> bool:
    """Return whether a value is neither None nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def numeric(value: object) -> float:
    """Return a number as a float, and anything else as NaN."""
    return float(value) if isinstance(value, int | float) else math.nan


def number(value: float | None, digits: int = 2, scale: float = 1.0) -> str:
    """Return a number with fixed digits, MISSING where there is none."""
    if value is None or math.isnan(value):
        return MISSING
    # -0.00 is 0.
    shown = f"{value * scale:.{digits}f}"
    return _minus(shown.lstrip("-") if float(shown) == 0 else shown)


def percent(value: float | None) -> str:
    """Return a fraction in [0, 1] as a percentage without its sign: 0.2327 -> 23.27."""
    return number(value, 2, 100.0)


def signed(value: float | None) -> str:
    """Return a difference of fractions in percentage points, with its sign: 0.012 -> +1.20."""
    shown = percent(value)
    return f"+{shown}" if value is not None and value > 0 and float(shown) != 0 else shown


def bracketed(value: str, low: str, high: str) -> str:
    """Return a figure with its interval, if that is known: 23.27 [20.10, 26.40]."""
    return value if MISSING in (value, low, high) else f"{value} [{low}, {high}]"


def plain_number(value: float | None) -> str:
    """Return a number as short as possible: 1, 1.5, 0.0312."""
    return MISSING if value is None or math.isnan(value) else _minus(f"{value:.4g}")


def bare(spec: str) -> str:
    """Return the name of a Spec's text: `gaussian:steps=20` -> gaussian."""
    return spec.partition(":")[0]


def listed(words: Iterable[str]) -> str:
    """Return words joined by commas, each once, in order."""
    return ", ".join(dict.fromkeys(words))


def _minus(shown: str) -> str:
    return shown.replace("-", "\N{MINUS SIGN}")
