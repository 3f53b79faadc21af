"""Which baseline each line of a board is compared with."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchkit.report.text import known


def find_baselines(lines: pd.DataFrame, base: str) -> list[tuple[Any, Any]]:
    """Return every line with the baseline it is compared with: of its own source and selector, or the only one."""
    is_base = lines["role"] == base
    of_grid = is_base & ~lines["variant"].map(known)
    every = lines[of_grid if of_grid.any() else is_base]
    pairs = []
    of_base = list(zip(every.index, every["source_name"], every["selector"], strict=True))
    others = lines[~is_base & (lines["role"] != "trivial")]
    for i, source, selector in zip(others.index, others["source_name"], others["selector"], strict=True):
        bases = [one for one in of_base if not known(source) or not known(one[1]) or one[1] == source]
        # A line or a baseline without selector (human, oracle) has only one baseline that it can be compared with.
        if known(selector) and any(known(own) for _, _, own in bases):
            bases = [one for one in bases if one[2] == selector]
        if len(bases) == 1:
            pairs.append((i, bases[0][0]))
    return pairs
