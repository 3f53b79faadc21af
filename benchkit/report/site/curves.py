"""The page's section on learning curves: small panels of SVG, and how the order of the rows formed.

Small multiples of 33 rows take matplotlib seconds and a megabyte; here they are a few lines each, and wrap on a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchkit.report.board import Board, short_names
from benchkit.report.board_table import Column, Sheet, TableCell, TableGroup, selector_names
from benchkit.report.columns import BASELINES
from benchkit.report.curves import CurveLine, Order, climbing_seeds, curve_groups, order_of
from benchkit.report.format_values import known, listed, number, one_line, percent
from benchkit.report.notes import climbing_mark

#: Units of a panel's drawing: left, right, top and bottom of the plot.
_LEFT, _RIGHT, _TOP, _BOTTOM = 22.0, 158.0, 5.0, 80.0
#: Colours of the rows in the drawing of orders; neighbours at the end differ.
_COLOURS = 4


class Panel(NamedTuple):
    """One row's curves. Lines and bands are points of SVG polygons; climbing: in how many seeds, empty for none."""

    name: str
    climbing: str
    lines: tuple[tuple[str, str], ...]
    bands: tuple[tuple[str, str], ...]
    finals: tuple[tuple[str, str, str], ...]
    words: str


class Path(NamedTuple):
    """One row's ranks as SVG paths; style: its class. Units: one point across, one rank down."""

    name: str
    style: str
    line: str
    dots: str
    words: str


class CurvePart(NamedTuple):
    """One detector's part.

    ticks: (text, height) of the panels' figures. iterations: at the right end of every panel. paths, budgets, ranks:
    the order, empty or None where only one row has a curve. without: names of rows that have no curve.
    """

    title: str
    panels: list[Panel]
    ticks: list[tuple[str, float]]
    iterations: str
    paths: list[Path]
    budgets: list[tuple[str, str]]
    ranks: Sheet | None
    without: str


def curves_section(board: Board) -> list[CurvePart]:
    """Return what the page shows of learning curves, a part per detector; empty where no row has a curve."""
    detectors = short_names(board.frame["detector"], board.shown)
    return [_part(board, one_line(detectors[detector]), lines) for detector, lines in curve_groups(board.trained)]


def _part(board: Board, title: str, lines: Sequence[CurveLine]) -> CurvePart:
    from matplotlib.ticker import MaxNLocator

    highest = max(max(*one.curve.average_precision_max, *one.curve.artifact_iou_max) for one in lines)
    values = [float(tick) for tick in MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(0, max(100 * highest, 1))]
    scale = _Scale(max(one.curve.iterations[-1] for one in lines), values[-1] / 100)
    ticks = [(f"{value:g}", round(scale.y(value / 100), 1)) for value in values]
    own = board.trained[board.trained["detector"] == lines[0].line["detector"]]
    with_curve = {one.line["training_set"] for one in lines}
    without = one_line(listed(name for name in own["training_set"] if name not in with_curve))
    bases = [
        (base, scale.line(found[0].curve.iterations, found[0].curve.average_precision))
        for base in BASELINES
        if len(found := [o for o in lines if o.line["role"] == base and not known(o.line["variant"])]) == 1
    ]
    panels = [_panel(one, name, scale, bases) for one, name in zip(lines, _names(board, lines), strict=True)]
    order = order_of(lines)
    if order is None:
        return CurvePart(title, panels, ticks, f"{scale.last:,}", [], [], None, without)
    names = _names(board, order.lines)
    points = zip(order.fractions, order.tau, strict=True)
    budgets = [(f"{fraction:.0%}".rstrip("%"), number(tau)) for fraction, tau in points]
    ranks = _ranks(order, names, budgets)
    return CurvePart(title, panels, ticks, f"{scale.last:,}", _paths(order, names), budgets, ranks, without)


class _Scale(NamedTuple):
    """Iterations and fractions to units of a panel. last, top: at the right end and at the upper end."""

    last: int
    top: float

    def y(self, value: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * value / self.top

    def line(self, iterations: Iterable[int], values: Iterable[float]) -> str:
        width = (_RIGHT - _LEFT) / self.last
        points = ((_LEFT + width * i, self.y(v)) for i, v in zip(iterations, values, strict=True))
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _panel(one: CurveLine, name: str, scale: _Scale, bases: Sequence[tuple[str, str]]) -> Panel:
    curve, lines = one.curve, [*bases]
    bands: list[tuple[str, str]] = []
    finals: list[tuple[str, str, str]] = []
    for style, label, figure in (("iou", "IoU", "artifact_iou"), ("ap", "AP", "average_precision")):
        mean, low, high = (getattr(curve, f"{figure}{end}") for end in ("", "_min", "_max"))
        lines.append((style, scale.line(curve.iterations, mean)))
        bands.append((style, scale.line([*curve.iterations, *curve.iterations[::-1]], [*low, *high[::-1]])))
        finals.insert(0, (style, label, percent(mean[-1])))
    count, seeds = climbing_seeds(one.line)
    climbing = f"in {count} of {seeds} seeds" if count else ""
    words = f"{name}: {', '.join(f'{label} {value} %' for _, label, value in finals)} at the end"
    words += f" (first point: AP {percent(curve.average_precision[0])} %)"
    return Panel(name, climbing, tuple(lines), tuple(bands), tuple(finals), words)


def _names(board: Board, lines: Sequence[CurveLine]) -> list[str]:
    """Return the lines' names, with their selectors if there are several; not yet escaped."""
    selectors = selector_names(board, lines[0].line["detector"])
    shown = [selectors.get(one.line["selector"], "") if known(one.line["selector"]) else "" for one in lines]
    several = len({name for name in shown if name}) > 1
    pairs = zip(lines, shown, strict=True)
    return [one_line(" · ".join(filter(None, (o.line["training_set"], s if several else "")))) for o, s in pairs]


def _paths(order: Order, names: Sequence[str]) -> list[Path]:
    """Return the rows' paths, the best at the end first.

    Each ends at its label, so that ties do not hide each other.
    """
    paths = []
    for place, (one, name, ranks) in enumerate(zip(order.lines, names, order.ranks, strict=True)):
        base = one.line["role"] in (*BASELINES, "oracle")
        points = [(x + 0.5, y - 0.5) for x, y in enumerate([*ranks[:-1], place + 1])]
        line = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        dots = "".join(f"M{x:g} {y:g}h0" for x, y in points)
        words = f"{name}: rank {', '.join(map(str, ranks))}"
        shown = f"{climbing_mark(one.line)} {name}".strip()  # in front, where a long name is not cut
        paths.append(Path(shown, "base" if base else f"c{place % _COLOURS}", line, dots, words))
    return paths


def _ranks(order: Order, names: Sequence[str], budgets: Sequence[tuple[str, str]]) -> Sheet:
    """Return the ranks at each point with the average precision there, as a table."""
    columns = [Column("method", text=True, role="name")]
    columns += [Column(f"{fraction} %\nτ {tau}") for fraction, tau in budgets]
    rows = []
    for name, ranks, values in zip(names, order.ranks, order.values, strict=True):
        cells = (
            TableCell(f"{rank} ({percent(value)})", float(rank)) for rank, value in zip(ranks, values, strict=True)
        )
        rows.append((TableCell(name), *cells))
    return Sheet("Order at smaller budgets", tuple(columns), (TableGroup("", tuple(rows)),))
