"""What a paired difference can show. In a module of its own, so that a board is read without scipy."""

from typing import Literal

#: See `benchkit.statistics.multiple_comparisons.judge`.
Verdict = Literal["better", "worse", "equivalent", "unresolved"]
