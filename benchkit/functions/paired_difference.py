"""What a board says of two of its rows: a paired difference with its interval, as a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchkit.api import Plugin
from benchkit.errors import ArgumentTypeError, ArgumentValueError, UnknownNameError, describe_value
from benchkit.metrics import COMPANION, PRIMARY
from benchkit.report.format_values import known, listed, one_line
from benchkit.report.names import Labels

if TYPE_CHECKING:
    from benchkit.report.board import Board

#: The two rankings of a board by their short names.
Ranking = Literal["ap", "iou"]
RANKINGS: Mapping[str, str] = {"ap": COMPANION, "iou": PRIMARY, COMPANION: COMPANION, PRIMARY: PRIMARY}
_WORDS = {COMPANION: "AP", PRIMARY: "IoU"}
#: A row of a comparison: its printed name, its name without parameters, or its corruptor.
Row = str | Plugin | type[Plugin]


@dataclass(frozen=True)
class PairedDifference:
    """What a comparison says of two of its rows, first minus second. Its text is a sentence.

    difference, low, high: in points (per cent), with the interval at `level`, paired over the test images and the seeds
    that both rows have. p: of this pair, adjusted for all pairs of the board. improvement: the probability that the
    first row's true figure is the higher one. verdict: better, worse, equivalent (within one point) or unresolved; None
    where there is no interval. images, seeds: how many the figures are means over.

    Example:
        >>> import benchkit
        >>> comparison = benchkit.load_comparison("runs/first")
        >>> comparison.compare("gaussian", "pseudo")
        gaussian:steps=1 ...
    """

    first: str
    second: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    improvement: float
    verdict: str | None
    images: int
    seeds: int
    level: float
    detector: str

    def __str__(self) -> str:
        unit = f"{_WORDS[self.metric]} points"
        over = f"{counted(self.images, 'image')} and {counted(self.seeds, 'seed')}"
        where = f" with detector {self.detector}" if self.detector else ""
        if self.verdict is None or not np.isfinite(self.low):
            return (
                f"It is not known whether {self.first} or {self.second} is better{where}: they differ by "
                f"{self.difference:+.2f} {unit}, and there is no interval."
            )
        low, high = (self.low, self.high) if self.verdict != "worse" else (-self.high, -self.low)
        interval = f"{self.level * 100:g} % interval {low:.2f} to {high:.2f}, paired over {over}"
        if self.seeds == 1:
            interval += "; with one seed it does not cover what another seed would change"
        if self.verdict in ("better", "worse"):
            distance = abs(self.difference)
            return f"{self.first} is {self.verdict} than {self.second} by {distance:.2f} {unit}{where} ({interval})."
        middle = "differ by less than one point" if self.verdict == "equivalent" else "are not separable"
        return (
            f"{self.first} and {self.second} {middle}{where}: the difference is {self.difference:+.2f} {unit} "
            f"({interval})."
        )

    __repr__ = __str__


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `3 seeds`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def row_text(row: Row) -> str:
    """Return the text that names a row; raise ArgumentTypeError for anything that is neither text nor a corruptor."""
    if isinstance(row, str):
        return row
    cls = row if isinstance(row, type) else type(row)
    if not issubclass(cls, Plugin) or not isinstance(getattr(cls, "name", None), str):
        raise ArgumentTypeError(f"row: {describe_value(row)} is no row: give a name of the board, or its corruptor")
    return row.name


def compare_rows(
    board: Board, first: str, second: str, metric: Ranking, detector: str | None = None, selector: str | None = None
) -> PairedDifference:
    """Return the paired difference of two rows of a board, see `benchkit.functions.comparison.Comparison.compare`."""
    if not isinstance(metric, str) or metric not in RANKINGS:
        raise ArgumentValueError(f"metric={metric!r}: choose 'ap' or 'iou'")
    ranking = RANKINGS[metric]
    one, two = (_find_lines(board, row, detector, selector) for row in (first, second))
    pairs = [pair for pair in board.pairs if pair["metric"] == ranking and pair["first"] != pair["second"]]
    fits = [(pair, 1) for pair in pairs if pair["first"] in one and pair["second"] in two]
    fits += [(pair, -1) for pair in pairs if pair["first"] in two and pair["second"] in one]
    names = f"rows {first!r} and {second!r}"
    if not fits:
        raise ArgumentValueError(
            f"{names} are not ranked together: both must be trained, finished, of the same detector, and different"
        )
    if len(fits) > 1:
        rows = {str(board.frame["training_set"][pair[end]]) for pair, _ in fits for end in ("first", "second")}
        if len(rows) > 2:
            raise ArgumentValueError(f"{names} may mean several rows: name two of {', '.join(sorted(rows))}")
        labels = [(kind, board.frame[kind][pair["first"]]) for kind in ("detector", "selector") for pair, _ in fits]
        choices = {f"{kind}={board.short(label)!r}" for kind, label in labels if known(label)}
        raise ArgumentValueError(f"{names} meet {len(fits)} times: choose with {', '.join(sorted(choices))}")
    return _difference(board, *fits[0], ranking)


def _difference(board: Board, pair: Mapping[str, Any], sign: int, ranking: str) -> PairedDifference:
    """Return one of a board's pairs; sign: -1 for the second row minus the first."""
    places = (pair["first"], pair["second"]) if sign > 0 else (pair["second"], pair["first"])
    one, two = (board.frame.loc[place] for place in places)
    difference, low, high = (_points(pair[name]) for name in ("difference", "low", "high"))
    improvement = np.nan if pair["improvement"] is None else float(pair["improvement"])
    verdict = pair["verdict"] if known(pair["verdict"]) else None
    if sign < 0:
        difference, low, high, improvement = -difference, -high, -low, 1 - improvement
        verdict = {"better": "worse", "worse": "better"}.get(str(verdict), verdict)
    several = board.trained["detector"].nunique() > 1
    return PairedDifference(
        first=one_line(one["training_set"]),
        second=one_line(two["training_set"]),
        metric=ranking,
        difference=difference,
        low=low,
        high=high,
        p=np.nan if pair["p_adjusted"] is None else float(pair["p_adjusted"]),
        improvement=improvement,
        verdict=verdict,
        images=int(one["images"]),
        seeds=int(min(one["seeds"], two["seeds"])),
        level=board.level,
        detector=one_line(board.short(one["detector"])) if several else "",
    )


def _find_lines(board: Board, row: str, detector: str | None, selector: str | None) -> set[int]:
    """Return the places of a row's lines in the board; raise UnknownNameError for an unknown one."""
    frame = board.frame
    bare = [Labels.of_line(line, board.shown).bare for line in frame.to_dict("records")]
    lines = {i for i, name in enumerate(frame["training_set"]) if name == row}
    lines = lines or {i for i, name in enumerate(bare) if name == row}
    if not lines:
        raise UnknownNameError("row", row, {*map(str, frame["training_set"]), *bare})
    for kind, wanted in (("detector", detector), ("selector", selector)):
        if wanted is not None:
            fits = {i for i in lines if wanted in _texts(board, frame[kind][i])}
            if not fits:
                given = {board.short(frame[kind][i]) for i in lines}
                raise ArgumentValueError(f"{kind}={wanted!r}: row '{row}' has {listed(sorted(given))}")
            lines = fits
    return lines


def _points(value: Any) -> float:
    return np.nan if value is None else 100 * float(value)


def _texts(board: Board, label: Any) -> set[str]:
    """Return the texts that name a line's detector or selector."""
    return {str(label), board.short(label), board.short(label).partition(":")[0]} if known(label) else set()
