"""Which baseline each line of a board is compared with."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchkit.report.format_values import known


def find_baselines(lines: pd.DataFrame, base: str) -> list[tuple[Any, Any]]:
    """Return every line with the baseline it is compared with: of its own source and selector, or the only one."""
    columns = (lines[name] for name in ("source_name", "selector", "role", "variant"))
    every = list(zip(lines.index, *columns, strict=True))
    of_base = [(i, source, selector, known(variant)) for i, source, selector, role, variant in every if role == base]
    of_base = [one for one in of_base if not one[-1]] or of_base
    pairs = []
    for i, source, selector, role, _ in every:
        if role in (base, "trivial"):
            continue
        bases = [one for one in of_base if not known(source) or not known(one[1]) or one[1] == source]
        # A line or a baseline without selector (human, oracle) has only one baseline that it can be compared with.
        if known(selector) and any(known(one[2]) for one in bases):
            bases = [one for one in bases if one[2] == selector]
        if len(bases) == 1:
            pairs.append((i, bases[0][0]))
    return pairs
