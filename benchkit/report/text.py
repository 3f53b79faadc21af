"""Numbers and foreign text as people read them: shares in per cent, one line, nothing that moves the cursor."""

from __future__ import annotations

import math
from collections.abc import Iterable

MISSING = "–"
#: A reason may be a whole traceback; a table's foot shows its beginning.
LONGEST_REASON = 300


def one_line(text: object) -> str:
    """Text from plugins and data sets on one line, control and direction characters replaced."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return " ".join(shown.split())


def short_reason(text: object) -> str:
    """Why something did not run, on one line of at most LONGEST_REASON characters."""
    shown = one_line(text)
    return shown if len(shown) <= LONGEST_REASON else shown[: LONGEST_REASON - 1] + "…"


def known(value: object) -> bool:
    """Whether a cell of a frame holds something: neither None nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def numeric(value: object) -> float:
    """A frame's cell as a float, NaN where it holds nothing."""
    return float(value) if isinstance(value, int | float) else math.nan


def number(value: float | None, digits: int = 2, scale: float = 1.0) -> str:
    """A number with fixed digits, MISSING where there is none."""
    if value is None or math.isnan(value):
        return MISSING
    # -0.00 is no sign of anything.
    shown = f"{value * scale:.{digits}f}"
    return _minus(shown.lstrip("-") if float(shown) == 0 else shown)


def percent(value: float | None) -> str:
    """A share in [0, 1] as a percentage without its sign: 0.2327 -> 23.27."""
    return number(value, 2, 100.0)


def signed(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign: 0.012 -> +1.20."""
    shown = percent(value)
    return f"+{shown}" if value is not None and value > 0 and float(shown) != 0 else shown


def bracketed(value: str, low: str, high: str) -> str:
    """A figure with its interval, without it where it is unknown: 23.27 [20.10, 26.40]."""
    return value if MISSING in (value, low, high) else f"{value} [{low}, {high}]"


def plain_number(value: float | None) -> str:
    """A number as short as it goes: 1, 1.5, 0.0312."""
    return MISSING if value is None or math.isnan(value) else _minus(f"{value:.4g}")


def bare(spec: str) -> str:
    """The name of a Spec's text: `gaussian:steps=20` -> gaussian."""
    return spec.partition(":")[0]


def listed(words: Iterable[str]) -> str:
    """Words joined by commas, each once, in order."""
    return ", ".join(dict.fromkeys(words))


def _minus(shown: str) -> str:
    return shown.replace("-", "\N{MINUS SIGN}")
