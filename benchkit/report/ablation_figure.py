"""The figure of an ablation: a panel per axis, artifact IoU against the axis's values, a line per row of the base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchkit.metrics import PRIMARY
from benchkit.report.ablation import AblationBoard
from benchkit.report.figures import THEMES, Format, Theme, drawing, saved, short_label
from benchkit.report.format_values import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours that are visible on light and dark ground, and distinct for colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
_MARKERS = "osD^vP"
_KEY = ["training_set", "selector", "detector"]
_WIDTH, _HEIGHT = 7.6, 2.6
_LONGEST_VALUE, _LONGEST_NAME = 16, 44
#: Horizontal tick labels of a panel; more of them are turned upright, which needs more height.
_MOST_LEVEL, _UPRIGHT = 6, 1.8


def ablation_figure(board: AblationBoard, theme: str = "light", form: Format = "svg") -> bytes:
    """Return the figure of `draw_ablation` as a file's bytes."""
    with drawing(THEMES[theme]):
        return saved(draw_ablation(board, theme), form)


def draw_ablation(board: AblationBoard, theme: str = "light") -> Figure:
    """Draw the figure; base values are the hollow points, rows without figures are skipped."""
    from benchkit.report.notebook_figure import NotebookFigure

    colours = THEMES[theme]
    axes_of = list(board.frame.groupby("axis", sort=False))
    styles = _styles(board)
    with drawing(colours):
        heights = [_HEIGHT + _UPRIGHT * (lines["value"].nunique() > _MOST_LEVEL) for _, lines in axes_of]
        figure = NotebookFigure(figsize=(_WIDTH, sum(heights) + 0.3), layout="constrained")
        panels = figure.subplots(len(axes_of), 1, squeeze=False, height_ratios=heights)[:, 0]
        for ax, (axis, lines) in zip(panels, axes_of, strict=True):
            _panel(ax, lines, styles, colours)
            ax.set_title(short_label(str(axis)), loc="left", parse_math=False)
            ax.set_ylabel("artifact IoU, %", color=colours.ink)
            ax.grid(True, axis="y")
        return figure


def _styles(board: AblationBoard) -> dict[tuple[Any, ...], tuple[str, str, str]]:
    """Return row -> its name, colour and marker, the same in every panel."""
    rows = list(dict.fromkeys(_key(line) for line in board.frame.to_dict("records")))
    names = {**board.names("selector"), **board.names("detector")}
    several = len({row[1:] for row in rows if known(row[1])}) > 1
    styles = {}
    for i, row in enumerate(rows):
        beside = [names[part] for part in row[1:] if several and known(part)]
        name = short_label(" · ".join([row[0], *beside]), _LONGEST_NAME)
        styles[row] = (name, COLOURS[i % len(COLOURS)], _MARKERS[i // len(COLOURS) % len(_MARKERS)])
    return styles


def _key(line: Any) -> tuple[Any, ...]:
    return tuple(line[name] if known(line[name]) else None for name in _KEY)


def _panel(ax: Axes, lines: pd.DataFrame, styles: dict[tuple[Any, ...], tuple[str, str, str]], colours: Theme) -> None:
    values = list(dict.fromkeys(lines["value"]))
    numbers = [_number(value) for value in values]
    numeric = all(np.isfinite(number) for number in numbers)
    places = dict(zip(values, numbers if numeric else range(len(values)), strict=True))
    span = max(places.values()) - min(places.values()) or 1
    groups = list(lines.groupby(_KEY, sort=False, dropna=False))
    for i, (_, own) in enumerate(groups):
        # Shifted, so that their bars do not hide each other.
        shift = (i - (len(groups) - 1) / 2) * span * 0.012
        _row(ax, own, [places[value] + shift for value in own["value"]], styles[_key(own.iloc[0])], numeric)
    # Many labels side by side would overlap.
    upright = len(values) > _MOST_LEVEL and not numeric
    ticks = [_tick(value, ", " if upright else "\n") for value in values]
    ax.set_xticks([places[value] for value in values], ticks, parse_math=False)
    if upright:
        ax.tick_params(axis="x", labelrotation=90, labelsize=8)
    ax.margins(x=0.08)
    ax.tick_params(axis="x", labelcolor=colours.ink)
    legend: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False, "fontsize": 8}
    found = ax.legend(**legend)
    for text in found.get_texts():
        text.set_parse_math(False)


def _row(ax: Axes, own: pd.DataFrame, x: list[float], style: tuple[str, str, str], joined: bool) -> None:
    """Draw one row's points with their intervals, joined where the axis is a number."""
    name, colour, marker = style
    figures = [own[column].to_numpy(float) * 100 for column in (PRIMARY, f"{PRIMARY}_low", f"{PRIMARY}_high")]
    place, base = np.array(x), own["is_base"].to_numpy(bool)
    order = np.argsort(place, kind="stable")
    y, low, high = figures
    if joined:
        ax.plot(place[order], y[order], "-", color=colour, linewidth=1, alpha=0.7)
    ax.vlines(place, low, high, color=colour, linewidth=1.6, alpha=0.7)
    ax.plot(place[~base], y[~base], marker, color=colour, markersize=5, label=name)
    ax.plot(place[base], y[base], marker, color=colour, markersize=7, fillstyle="none")


def _tick(value: str, separator: str) -> str:
    """Return a value's tick label; of crossed axes each setting without its kind: `steps=5`."""
    if "=" not in value:
        return short_label(value, _LONGEST_VALUE)
    parts = [part.partition(".")[2] if "." in part.partition("=")[0] else part for part in value.split(", ")]
    return separator.join(short_label(part, _LONGEST_VALUE) for part in parts)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
