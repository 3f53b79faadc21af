"""The uncertainty of a board's figures: intervals, ranks and paired differences from the per-image records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.metrics import COUNTS, PRIMARY, Measured, is_metric, metric
from benchkit.report.baselines import find_baselines
from benchkit.report.columns import (
    BASELINES,
    BY_KIND,
    COLUMNS,
    FLAGS,
    MARGIN,
    RANKINGS,
    TEXTS,
    delta_columns,
    joint_columns,
    rank_columns,
)
from benchkit.report.format_values import known
from benchkit.report.setting_agreement import Ranked, compare_settings
from benchkit.report.settings import protocol_names
from benchkit.statistics.intervals import (
    Difference,
    Interval,
    Pair,
    compute_differences,
    compute_intervals,
    pool_methods,
)
from benchkit.statistics.jackknife import Jackknife, check_images, jackknife_seed, join_seeds
from benchkit.statistics.look_rule import look_level
from benchkit.statistics.many_methods import (
    MOST_PAIRED,
    Joint,
    differences_of_many,
    intervals_of_many,
    joint_intervals,
    pool_many,
)
from benchkit.statistics.multiple_comparisons import (
    adjust_holm,
    adjust_step_down,
    find_significant,
    judge,
    probability_of_improvement,
)
from benchkit.statistics.ranks import Rank, rank_methods
from benchkit.statistics.reliability import split_halves
from benchkit.statistics.resolution import Resolution, measure_resolution

_NO_RECORD = "the per-image records of its cells are missing"
_ONE_IMAGE = "the figure is undefined without one of the test images"

Records = Mapping[str, Mapping[str, NDArray[Any]]]
#: Line -> seed -> the key of the cell.
Cells = Mapping[Any, Mapping[int, str]]


@dataclass(frozen=True)
class Uncertainty:
    """What the records of a run say beside its lines.

    lines: those of `aggregate_rows` with COLUMNS in the place of `cells`. pairs: one record per pair of trained lines
    that are ranked together and per ranking: metric, first, second (places in `lines`), difference, low, high, p,
    p_adjusted, improvement (probability that first is better), verdict. resolution: one record per ranking of lines:
    metric, test_set, detector, protocol, trained_seeds, test_images, split_halves, and the fields of `Resolution`.
    across: what several settings say together, see `compare_settings`.
    """

    lines: pd.DataFrame
    pairs: list[dict[str, Any]] = field(default_factory=list)
    resolution: list[dict[str, Any]] = field(default_factory=list)
    across: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def add_uncertainty(lines: pd.DataFrame, records: Records, looks: int = 1) -> Uncertainty:
    """Add intervals, ranks and differences to the lines of `aggregate_rows`.

    Lines of one test set, detector and protocol are ranked together; see `protocol_names`. A line whose finished cells
    are not all in `records` gets no interval. More than MOST_PAIRED lines that are ranked together have no pairs: their
    ranks come from `joint_columns`, and no line of them is marked as reordered. looks: how many were planned, see
    `benchkit.statistics.looks`; all that is stated holds over all of them. Raises BenchkitError where records of one
    test set are of different images.
    """
    lines = lines.reset_index(drop=True).assign(protocol=protocol_names(lines))
    added: dict[int, dict[str, Any]] = {i: {name: _missing(name) for name in COLUMNS} for i in lines.index}
    pairs: list[dict[str, Any]] = []
    resolution: list[dict[str, Any]] = []
    ranked: list[Ranked] = []
    for key, members in lines.groupby(["test_set", "detector", "protocol"], sort=False, dropna=False):
        finished: dict[Any, Mapping[int, str]] = dict(members["cells"].items())
        complete = {i: cells for i, cells in finished.items() if cells and set(cells.values()) <= records.keys()}
        for i in members.index:
            added[i]["protocol"] = members.loc[i, "protocol"]
            if i not in complete and members.loc[i, "seeds"]:
                added[i]["no_interval"] = _NO_RECORD
        figures = _measure_lines(members, complete, records)
        floor = _measure_floor(complete, records) if complete else np.nan
        for ranking in RANKINGS if complete else ():
            many = len(figures[ranking]) > MOST_PAIRED
            group = (_LargeGroup if many else _Group)(members, figures, ranking, looks)
            for i, columns in group.columns().items():
                added[i] |= {"floor": floor, **columns}
            pairs += group.pairs()
            ranked.append(Ranked(ranking, group.ranked, group.over_looks))
            if group.ranked:
                labels = zip(("test_set", "detector", "protocol"), (k if known(k) else None for k in key), strict=True)
                resolution.append({"metric": ranking, **dict(labels), **group.resolution()})
        if len(complete) <= MOST_PAIRED:
            for i in _reordered(members, added, pairs):
                added[i]["reordered"] = True
    result = lines.drop(columns=["cells", "failed", *(name for name in COLUMNS if name in lines and name != "images")])
    of_kinds = dict.fromkeys(name for own in added.values() for name in own if name not in COLUMNS)
    new = pd.DataFrame.from_dict(added, orient="index", columns=[*COLUMNS, *of_kinds])
    if "images" in result:  # lines without a record have a number of images all the same
        new["images"] = new["images"].fillna(result.pop("images"))
    across = compare_settings(lines, ranked) if all(len(own.methods) <= MOST_PAIRED for own in ranked) else {}
    return Uncertainty(pd.concat([result, new], axis=1), pairs, resolution, across)


def without_key(figure: str) -> str:
    """Return the name in a record of a figure's values without each image, (N,), and in the last place with all."""
    return f"without:{figure}"


def measure_line(
    name: str, cells: Mapping[int, str], records: Records, figures: Iterable[str] = (PRIMARY,)
) -> dict[str, Jackknife]:
    """Return metric -> figures and influences of a line's finished cells; metrics of kinds that a record lacks are not.

    Each record is read once and not kept: those of a board together may be larger than the memory.
    """
    found: dict[str, list[Jackknife]] = {}
    for seed, key in sorted(cells.items()):
        record = records[key]
        measured = Measured.from_arrays(record)
        for figure in figures:
            kind, stored = figure.partition(":")[2], record.get(without_key(figure))
            if stored is not None:
                found.setdefault(figure, []).append(Jackknife.of_seed(seed, float(stored[-1]), stored[:-1]))
            elif not kind or kind in measured.kinds:
                info = metric(figure)
                own = jackknife_seed(name, seed, info.additive(measured), info.pooled)
                if figure == PRIMARY and np.count_nonzero(measured.columns["tp"] + measured.columns["fn"]) == 1:
                    # Without the only image with artifacts an IoU would be 0, whatever the detector does.
                    own = replace(own, influence=np.full_like(own.influence, np.nan))
                found.setdefault(figure, []).append(own)
    return {figure: join_seeds(name, own) for figure, own in found.items() if len(own) == len(cells)}


def _measure_lines(lines: pd.DataFrame, cells: Cells, records: Records) -> dict[str, dict[str, Jackknife]]:
    """Return metric -> line -> its Jackknife: of RANKINGS, and for trained lines of the figures by kind.

    Of very many lines the influences of trained ones are kept as float32: they take most of the memory.
    """
    kinds = [str(name) for name in lines if is_metric(str(name)) and str(name).partition(":")[0] in BY_KIND]
    found: dict[str, dict[str, Jackknife]] = {}
    for i, own in cells.items():
        trained = bool(lines.loc[i, "role"] != "trivial")
        compact = trained and len(cells) > MOST_PAIRED
        for figure, measured in measure_line(str(i), own, records, (*RANKINGS, *(kinds if trained else ()))).items():
            found.setdefault(figure, {})[str(i)] = measured.compact() if compact else measured
    for methods in found.values():
        check_images(methods)
    return found


def _measure_floor(cells: Cells, records: Records) -> float:
    """Return IoU and AP of a detector that predicts an artifact everywhere."""
    first = next(iter(next(iter(cells.values())).values()))
    columns = Measured.from_arrays(records[first]).columns
    counts = {name: int(columns[name].sum()) for name in COUNTS}
    pixels = sum(counts.values())
    return (counts["tp"] + counts["fn"]) / pixels if pixels else np.nan


def _missing(name: str) -> Any:
    return None if name in TEXTS else False if name in FLAGS else np.nan


class _Group:
    """The lines of one test set, detector and protocol by one ranking."""

    def __init__(
        self, lines: pd.DataFrame, figures: Mapping[str, Mapping[str, Jackknife]], ranking: str, looks: int
    ) -> None:
        self.lines, self.figures, self.ranking = lines, figures, ranking
        self.looks, self.level = looks, look_level(looks)
        self.info, self.methods = metric(ranking), figures[ranking]
        # Rows without training do not vary with the seed, and do not compete.
        roles = dict(zip(map(str, lines.index), lines["role"], strict=True))
        trained = [name for name in self.methods if roles[name] != "trivial"]
        self.trained = {name: self.methods[name] for name in trained}
        self.ranked = {name: own for name, own in self.trained.items() if np.isfinite(own.estimate)}
        self.compare()

    def compare(self) -> None:
        """Compare every line with every other."""
        self.between = compute_differences(self.trained, list(combinations(self.ranked, 2)), self.level)
        self.adjusted = adjust_step_down(self.trained, self.between)
        #: Adjusted for all looks too, so that it is compared with 0.05 in every run.
        self.over_looks = {pair: self._over_looks(p) for pair, p in self.adjusted.items()}
        self.different = find_significant(self.adjusted, self.level)

    def columns(self) -> dict[int, dict[str, Any]]:
        """Return line -> its new columns."""
        rest = {name: own for name, own in self.methods.items() if name not in self.trained}
        unstable = self.find_unstable()
        found: dict[int, dict[str, Any]] = {}
        for name, interval in {**self.find_intervals(self.trained), **compute_intervals(rest, self.level)}.items():
            own = found.setdefault(int(name), {"images": self.methods[name].images})
            own |= {f"{self.ranking}_low": interval.low, f"{self.ranking}_high": interval.high}
            if self.ranking == PRIMARY:
                own |= {"seed_variance": interval.seed_variance, "unstable": name in unstable}
                if np.isfinite(interval.estimate) and not np.isfinite(interval.low):
                    own["no_interval"] = _ONE_IMAGE
        for name, rank in self.find_ranks().items():
            found[int(name)] |= dict(zip(rank_columns(self.ranking), (rank.rank, rank.low, rank.high), strict=True))
        for base in BASELINES:
            for name, columns in self._to_baseline(base):
                found[int(name)] |= columns
        for name, kind, sure in self._by_kind() if self.ranking == PRIMARY else ():
            found[int(name)] |= {f"{kind}_low": sure.low, f"{kind}_high": sure.high}
        return found

    def find_unstable(self) -> frozenset[str]:
        """Return the lines whose seeds vary far more than the others'."""
        return pool_methods(self.trained).unstable

    def find_intervals(self, methods: Mapping[str, Jackknife]) -> dict[str, Interval]:
        """Return the interval of every trained line's figure."""
        return compute_intervals(methods, self.level)

    def find_differences(self, pairs: list[Pair]) -> tuple[dict[Pair, Difference], dict[Pair, float]]:
        """Return the differences of some pairs, and their p-values, adjusted for these pairs together."""
        found = compute_differences(self.trained, pairs, self.level)
        return found, adjust_step_down(self.trained, found)

    def find_ranks(self) -> dict[str, Rank]:
        """Return the rank of every ranked line."""
        estimates = {name: own.estimate for name, own in self.ranked.items()}
        # The better one first: over the seeds that both have, which need not be all of either's.
        higher = self.info.higher_is_better
        ordered = [pair if (self.between[pair].estimate > 0) == higher else pair[::-1] for pair in self.different]
        return rank_methods(estimates, ordered, higher_is_better=higher)

    def _by_kind(self) -> Iterator[tuple[str, str, Interval]]:
        """Yield the trained lines with their intervals of the figures by kind that all of them have."""
        for figure, methods in self.figures.items():
            if figure not in RANKINGS and methods.keys() == self.trained.keys():
                for name, sure in self.find_intervals(methods).items():
                    yield name, figure, sure

    def _to_baseline(self, base: str) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield each line with its difference to a baseline; the p-values are adjusted for all of them together."""
        pairs = [(str(a), str(b)) for a, b in find_baselines(self.lines, base)]
        found, adjusted = self.find_differences([pair for pair in pairs if set(pair) <= self.trained.keys()])
        for pair, difference in found.items():
            values = (difference.estimate, difference.low, difference.high, self._over_looks(adjusted[pair]))
            columns = dict(
                zip(delta_columns(self.ranking, base), (*values, self._verdict(pair, found, adjusted)), strict=True)
            )
            yield pair[0], columns

    def _verdict(self, pair: Pair, found: Mapping[Pair, Difference], adjusted: Mapping[Pair, float]) -> str | None:
        if not np.isfinite(found[pair].p):
            return None
        return judge(found[pair], adjusted[pair], MARGIN, higher_is_better=self.info.higher_is_better)

    def _over_looks(self, p: float) -> float:
        """Return a p-value of one look, adjusted for all looks, so that it is compared with 0.05 in every run."""
        return min(1.0, self.looks * p) if np.isfinite(p) else p

    def pairs(self) -> list[dict[str, Any]]:
        """Return a record per pair."""
        return [
            {
                "metric": self.ranking,
                "first": int(pair[0]),
                "second": int(pair[1]),
                "difference": found.estimate,
                "low": found.low,
                "high": found.high,
                "p": found.p,
                "p_adjusted": self.over_looks[pair],
                "improvement": probability_of_improvement(found),
                "verdict": self._verdict(pair, self.between, self.adjusted),
            }
            for pair, found in self.between.items()
        ]

    def resolution(self) -> dict[str, Any]:
        """Return what these lines resolve."""
        one: Jackknife = next(iter(self.ranked.values()))
        found = self.measure(one.images)
        seeds = min(len(own.seeds) for own in self.ranked.values())
        halves = split_halves(self.ranked)
        return {"trained_seeds": seeds, "test_images": one.images, "split_halves": halves, **asdict(found)}

    def measure(self, images: int) -> Resolution:
        """Return what the pairs resolve."""
        return measure_resolution(self.between, self.different, images)


class _LargeGroup(_Group):
    """More lines than can be compared pair by pair: see `benchkit.statistics.many_methods`."""

    def compare(self) -> None:
        """Compare every line with the mean of all."""
        self.between, self.adjusted, self.over_looks = {}, {}, {}
        self.pool = pool_many(self.trained)
        self.joint: Joint = joint_intervals(self.ranked, self.pool, self.level)
        estimates = {name: own.estimate for name, own in self.ranked.items()}
        self.ranks, self.resolved = self.joint.rank(estimates, higher_is_better=self.info.higher_is_better)

    def find_unstable(self) -> frozenset[str]:
        """Return the lines whose seeds vary far more than the others'."""
        return self.pool.unstable

    def find_intervals(self, methods: Mapping[str, Jackknife]) -> dict[str, Interval]:
        """Return the interval of every trained line's figure."""
        return intervals_of_many(methods, self.pool if methods is self.trained else pool_many(methods), self.level)

    def find_differences(self, pairs: list[Pair]) -> tuple[dict[Pair, Difference], dict[Pair, float]]:
        """Return the differences of some pairs, and their p-values, adjusted for these pairs together."""
        found = differences_of_many(self.trained, pairs, self.pool, self.level)
        return found, dict(zip(found, adjust_holm([one.p for one in found.values()]), strict=True))

    def find_ranks(self) -> dict[str, Rank]:
        """Return the rank of every ranked line."""
        return self.ranks

    def columns(self) -> dict[int, dict[str, Any]]:
        """Return line -> its new columns."""
        found = super().columns()
        bounds = zip(self.joint.names, self.joint.low.tolist(), self.joint.high.tolist(), strict=True)
        for name, *own in bounds:
            found[int(name)] |= dict(zip(joint_columns(self.ranking), own, strict=True))
        return found

    def measure(self, images: int) -> Resolution:
        """Return what typical pairs resolve, MOST_PAIRED of neighbours among lines spread over the whole ranking."""
        order = sorted(self.ranked, key=lambda name: self.ranks[name].rank)
        some = [order[i] for i in np.linspace(0, len(order) - 1, MOST_PAIRED + 1).astype(int)]
        between = differences_of_many(self.trained, list(pairwise(some)), self.pool, self.level)
        pairs = len(order) * (len(order) - 1) // 2
        return replace(measure_resolution(between, (), images), resolved=self.resolved, pairs=pairs)


def _reordered(
    lines: pd.DataFrame, added: Mapping[int, Mapping[str, Any]], pairs: Iterable[Mapping[str, Any]]
) -> set[int]:
    """Return the lines that change places between the two rankings, where one ranking resolves the pair.

    Of a line that passes many others only the line itself is returned: repeatedly that of the most such pairs.
    """
    resolved = {(p["first"], p["second"]) for p in pairs if p["verdict"] in ("better", "worse")}
    crossed = []
    for first, second in combinations(lines.index, 2):
        by = [added[first][rank_columns(r)[0]] - added[second][rank_columns(r)[0]] for r in RANKINGS]
        if (first, second) in resolved and by[0] * by[1] < 0:
            crossed.append((first, second))
    found: set[int] = set()
    while crossed:
        times = Counter(line for pair in crossed for line in pair)
        most = {line for line, number in times.items() if number == max(times.values())}
        found |= most
        crossed = [pair for pair in crossed if not most & {*pair}]
    return found
