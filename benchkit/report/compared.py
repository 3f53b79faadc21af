"""How sure a board's primary figure is: intervals, ranks and paired differences from the per-image records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.metrics import PRIMARY, Measured, metric
from benchkit.report.text import known
from benchkit.statistics.bootstrap import Bootstrap, Difference, bootstrap, difference, interval, ranks

#: What a corruptor must beat: the same masks without corruption, and the labelled images alone.
BASELINES = ("pseudo", "human")
_INTERVAL = (f"{PRIMARY}_low", f"{PRIMARY}_high", "seed_variance", "rank", "rank_low", "rank_high", "images")
_DELTA = ("", "_low", "_high", "_positive")
Records = Mapping[str, Mapping[str, NDArray[Any]]]
#: Line -> seed -> the primary metric's terms, (images, terms).
Terms = dict[str, dict[int, NDArray[Any]]]


def with_uncertainty(
    lines: pd.DataFrame, rows: pd.DataFrame, records: Records, replicates: int, seed: int
) -> pd.DataFrame:
    """The lines of `aggregated` with the columns of intervals, ranks and differences in the place of `cells`.

    Lines of one test set and detector are bootstrapped together. A line whose finished cells are not all in `records`
    gets no interval. Raises BenchkitError where records of one test set are of different images.
    """
    lines = lines.reset_index(drop=True)
    names = [*_INTERVAL, *(f"delta_{base}{part}" for base in BASELINES for part in _DELTA)]
    found: dict[int, dict[str, Any]] = {i: dict.fromkeys(names, np.nan) | {"seed_variance": False} for i in lines.index}
    together: dict[tuple[str, ...], list[int]] = {}
    for i, *key in zip(lines.index, lines["test_set"], lines["detector"], strict=True):
        together.setdefault(tuple(map(str, key)), []).append(i)
    for members in together.values():
        for i, values in _group(lines.loc[members], records, replicates, seed).items():
            found[i] |= values
    kept = lines.drop(columns=["cells", *(name for name in names if name in lines)])
    result = pd.concat([kept, pd.DataFrame(found).T], axis=1)
    if "images" in rows:  # lines without a record know their number of images all the same
        result["images"] = result["images"].fillna(lines["images"])
    return result


def _group(lines: pd.DataFrame, records: Records, replicates: int, seed: int) -> dict[int, dict[str, Any]]:
    """The new columns of the lines of one test set and detector, by line."""
    terms = {str(i): own for i, cells in lines["cells"].items() if (own := terms_of(cells, records))}
    if not terms:
        return {}
    boot = bootstrap(terms, metric(PRIMARY).pooled, replicates=replicates, seed=seed)
    found: dict[int, dict[str, Any]] = {}
    for name in terms:
        sure = interval(boot, name)
        found[int(name)] = {
            f"{PRIMARY}_low": sure.low,
            f"{PRIMARY}_high": sure.high,
            "seed_variance": sure.seed_variance,
            "images": boot.images,
        }
    for i, columns in _ranked(lines, boot).items():
        found[i] |= columns
    for base in BASELINES:
        for i, other in _pairs(lines, base):
            if str(i) in terms and str(other) in terms:
                found[i] |= _delta(base, paired(boot, terms, str(i), str(other), seed))
    return found


def terms_of(cells: Mapping[int, str], records: Records) -> dict[int, NDArray[Any]]:
    """Seed -> terms of a line's finished cells; nothing where one of them has no record."""
    if not all(key in records for key in cells.values()):
        return {}
    additive = metric(PRIMARY).additive
    return {seed: additive(Measured.from_arrays(records[key])) for seed, key in cells.items()}


def _ranked(lines: pd.DataFrame, boot: Bootstrap) -> dict[int, dict[str, float]]:
    """Ranks among the trained lines whose figure is defined."""
    trained = [str(i) for i, role in lines["role"].items() if role != "trivial"]
    names = [name for name in trained if np.isfinite(boot.estimates.get(name, np.nan))]
    if not names:
        return {}
    own = Bootstrap(
        {name: boot.estimates[name] for name in names},
        {name: boot.replicates[name] for name in names},
        {name: boot.seeds[name] for name in names},
        boot.images,
    )
    table = ranks(own, metric(PRIMARY).higher_is_better).drop(columns="median")
    table.columns = pd.Index(["rank", "rank_low", "rank_high"])
    return {int(str(name)): {str(key): value for key, value in row.items()} for name, row in table.iterrows()}


def _pairs(lines: pd.DataFrame, base: str) -> list[tuple[int, int]]:
    """Every line with the baseline it is held against: of its own source and selector, or the only one there is."""
    is_base = (lines["role"] == base) & ~lines["variant"].map(known)
    every = lines[is_base]
    pairs = []
    for i, line in lines[~is_base & (lines["role"] != "trivial")].iterrows():
        source = line["source_name"]
        fits = [not known(source) or not known(other) or other == source for other in every["source_name"]]
        bases = every[np.array(fits, bool)]
        same = bases[[_same(own, line["selector"]) for own in bases["selector"]]]
        # A line or a baseline without selector (human, oracle) has only one it can be meant to be held against.
        free = bases if not known(line["selector"]) or not bases["selector"].map(known).any() else same
        if len(free) == 1:
            pairs.append((int(str(i)), int(free.index[0])))
    return pairs


def _same(a: Any, b: Any) -> bool:
    return a == b or (not known(a) and not known(b))


def paired(boot: Bootstrap, terms: Terms, first: str, second: str, seed: int) -> Difference | None:
    """The difference over the seeds that both have; None where they share none."""
    if boot.seeds[first] == boot.seeds[second]:
        return difference(boot, first, second)
    common = sorted(set(terms[first]) & set(terms[second]))
    if not common:
        return None
    shared = {name: {s: terms[name][s] for s in common} for name in (first, second)}
    replicates = len(boot.of(first))
    own = bootstrap(shared, metric(PRIMARY).pooled, replicates=replicates, seed=seed)
    return difference(own, first, second)


def _delta(base: str, pair: Difference | None) -> dict[str, float]:
    if pair is None:
        return {}
    values = (pair.estimate, pair.low, pair.high, pair.positive)
    return {f"delta_{base}{part}": value for part, value in zip(_DELTA, values, strict=True)}
