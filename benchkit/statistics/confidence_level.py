"""The level of confidence of every interval."""

from __future__ import annotations

from benchkit.errors import BenchkitError

LEVEL = 0.95


def check_level(level: float) -> None:
    """Raise BenchkitError unless this is a level of confidence."""
    if not 0 < level < 1:
        raise BenchkitError(f"a level lies between 0 and 1, such as 0.95, not {level}")
