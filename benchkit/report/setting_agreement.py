"""What the settings of one board (detector, selector, source and test set) say together: shares, and agreement.

The settings are those of the grid's own protocol: variants of an ablation are no settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from benchkit.metrics import metric
from benchkit.report.columns import LOWER, PARTS, REFERENCES
from benchkit.report.format_values import known
from benchkit.report.frames import line_records
from benchkit.report.names import Labels, row_names
from benchkit.statistics.agreement import Order, Setting, compare_orders, is_distance, share_methods
from benchkit.statistics.intervals import Pair, compute_differences
from benchkit.statistics.jackknife import Jackknife

_COMPARED = ("pseudo", "corrupted", "mixed")
Record = dict[str, Any]


@dataclass(frozen=True)
class Ranked:
    """Lines that are ranked together by one metric: line -> what was measured, and the adjusted p-values of pairs."""

    ranking: str
    methods: Mapping[str, Jackknife]
    adjusted: Mapping[Pair, float]


def compare_settings(lines: pd.DataFrame, ranked: Sequence[Ranked]) -> dict[str, list[Record]]:
    """Return what a board's settings say together, as records; empty where there are fewer than two.

    settings: PARTS. distances: per metric, reference and setting the distance from `pseudo` to the reference, with its
    interval, and why no share of it is given (reason, None where one is). shares: per metric, reference and method the
    interquartile mean (share) with its interval, the settings (places in `settings`), its mean share in each (means)
    and the number of seeds. agreement: per metric and two settings tau, low, high, p, the number of methods, and those
    of pairs that both resolve in the same direction and in opposite ones. opposite: the latter pairs, the first better
    in the first setting.
    """
    of_grid = lines[~lines["variant"].map(known)]
    settings = _find_settings(of_grid)
    if len(settings) < 2:
        return {}
    names = _method_names(of_grid)
    found: dict[str, list[Record]] = {"settings": [dict(zip(PARTS, key, strict=True)) for key in settings]}
    found |= {name: [] for name in ("distances", "shares", "agreement", "opposite")}
    for ranking in dict.fromkeys(group.ranking for group in ranked):
        own = [group for group in ranked if group.ranking == ranking]
        for reference in REFERENCES:
            _add_shares(found, ranking, reference, list(settings.values()), own, names, of_grid)
        _add_agreement(found, ranking, list(settings.values()), own, names)
    return found


def _method_names(lines: pd.DataFrame) -> dict[str, str]:
    """Return line -> its name without the source, by which a method is known in every setting."""
    labels = [replace(Labels.of_line(line, {}), source_name=None) for line in line_records(lines)]
    return dict(zip(map(str, lines.index), row_names(labels), strict=True))


def _find_settings(lines: pd.DataFrame) -> dict[tuple[str | None, ...], list[str]]:
    """Return setting -> its lines, of those that have figures and depend on all its PARTS; at least two."""
    found: dict[tuple[str | None, ...], list[str]] = {}
    compared = lines[lines["role"].isin(_COMPARED) & (lines["seeds"] > 0)]
    for i, *parts in zip(compared.index, *(compared[name] for name in PARTS), strict=True):
        found.setdefault(tuple(str(part) if known(part) else None for part in parts), []).append(str(i))
    return {key: own for key, own in found.items() if len(own) > 1}


def _add_shares(
    found: dict[str, list[Record]],
    ranking: str,
    reference: str,
    settings: Sequence[Sequence[str]],
    ranked: Sequence[Ranked],
    names: Mapping[str, str],
    lines: pd.DataFrame,
) -> None:
    """Add the distances of one reference by one metric, and the shares of the methods."""
    roles = dict(zip(map(str, lines.index), lines["role"], strict=True))
    sources = dict(zip(map(str, lines.index), lines["source_name"], strict=True))
    if not any(roles.get(name) == reference for group in ranked for name in group.methods):
        return

    def fits(name: str, other: str) -> bool:
        return not known(sources[name]) or bool(sources[name] == sources[other])

    sign = 1 if metric(ranking).higher_is_better else -1
    used: dict[int, Setting] = {}
    for place, own in enumerate(settings):
        group = next((group for group in ranked if set(own) & group.methods.keys()), None)
        rows = {} if group is None else group.methods
        lower = [name for name in own if roles[name] == LOWER and name in rows]
        upper = [name for name in rows if roles.get(name) == reference and fits(name, own[0])]
        record: Record = {"metric": ranking, "reference": reference, "setting": place}
        record |= {"distance": np.nan, "low": np.nan, "high": np.nan, "reason": None}
        found["distances"].append(record)
        between = compute_differences(rows, [(upper[0], lower[0])]) if len(lower) == len(upper) == 1 else {}
        if not between:
            record["reason"] = f"it has no '{LOWER}' and '{reference}' with a common seed"
            continue
        (distance,) = between.values()
        record |= {"distance": distance.estimate, "low": distance.low, "high": distance.high}
        above = replace(distance, estimate=sign * distance.estimate)
        if not is_distance(above):
            worse = above.estimate < 0 and distance.p <= 1 - distance.level
            record["reason"] = f"'{reference}' is {'worse than' if worse else 'not far enough above'} '{LOWER}'"
            continue
        # Of two lines with one name, which a board of several inverters cannot have, the first counts.
        methods = {names[name]: rows[name] for name in reversed(own) if name in rows and roles[name] != LOWER}
        others = [n for n in rows if roles.get(n) in REFERENCES and roles[n] != reference and fits(n, own[0])]
        methods |= {names[name]: rows[name] for name in others}
        test_set = str(lines.loc[int(own[0]), "test_set"])
        used[place] = Setting(test_set, rows[lower[0]], rows[upper[0]], methods)
    places = list(used)
    for name, share in share_methods(list(used.values())).items() if used else ():
        sure = share.interval
        found["shares"].append(
            {
                "metric": ranking,
                "reference": reference,
                "method": name,
                "share": sure.estimate,
                "low": sure.low,
                "high": sure.high,
                "settings": tuple(places[i] for i in share.settings),
                "means": share.means,
                "trained_seeds": len(share.seeds),
            }
        )


def _add_agreement(
    found: dict[str, list[Record]],
    ranking: str,
    settings: Sequence[Sequence[str]],
    ranked: Sequence[Ranked],
    names: Mapping[str, str],
) -> None:
    """Add how far each two settings agree by one metric, and the pairs that they resolve in opposite directions."""
    sign = 1 if metric(ranking).higher_is_better else -1
    orders = []
    for own in settings:
        figures = {n: sign * group.methods[n].estimate for group in ranked for n in own if n in group.methods}
        p = {pair: p for group in ranked for pair, p in group.adjusted.items() if figures.keys() >= set(pair)}
        adjusted = {(names[a], names[b]): value for (a, b), value in p.items()}
        orders.append(Order({names[name]: figure for name, figure in figures.items()}, adjusted))
    for first, second in combinations(range(len(settings)), 2):
        agreed = compare_orders(orders[first], orders[second])
        where: Record = {"metric": ranking, "first": first, "second": second}
        numbers = {name: getattr(agreed, name) for name in ("methods", "tau", "low", "high", "p")}
        resolved = {"same": len(agreed.same), "opposite": len(agreed.opposite)}
        found["agreement"].append({**where, **numbers, **resolved})
        pairs = ({"better_in_first": a, "better_in_second": b} for a, b in agreed.opposite)
        found["opposite"] += [{**where, **pair} for pair in pairs]
