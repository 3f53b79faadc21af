"""Figures of a board as SVG, PDF or PNG bytes: the rankings with intervals, and the confinement of corruptions."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from benchkit.metrics import PRIMARY
from benchkit.metrics.confinement import VISIBLE
from benchkit.report.board import Board, short_names
from benchkit.report.board_file import TRIVIAL
from benchkit.report.board_table import selector_names
from benchkit.report.columns import BASELINES
from benchkit.report.format_values import known, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["svg", "pdf", "png"]
#: The date and the program are not written into a file, so that equal figures give equal bytes.
UNSIGNED: dict[Format, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
_WIDTH = 7.6
_LINE = 0.27
#: Characters of a method's name, and of method and selector where both are printed.
_LONGEST_LABEL, _LONGEST_METHOD, _LONGEST_SELECTOR = 40, 27, 16


@dataclass(frozen=True)
class Theme:
    """Colours on a transparent ground (Okabe and Ito's, safe for colour-blind readers)."""

    ink: str
    muted: str
    rule: str
    first: str
    second: str


THEMES = {
    "light": Theme("#1b1f24", "#5b636e", "#d5d9de", "#0072b2", "#d55e00"),
    "dark": Theme("#e6e8eb", "#9aa3ad", "#3a414a", "#56b4e9", "#e69f00"),
}


def recoloured(svg: bytes, theme: str = "dark") -> bytes:
    """Return an SVG of the light theme in another theme, without drawing it again."""
    colours = dict(zip(astuple(THEMES["light"]), astuple(THEMES[theme]), strict=True))
    return re.sub(rb"#[0-9a-f]{6}\b", lambda found: colours.get(found[0].decode(), found[0].decode()).encode(), svg)


def ranking_figure(board: Board, ranking: str = PRIMARY, theme: str = "light", form: Format = "svg") -> bytes | None:
    """Return the figure of `draw_ranking` as a file's bytes; None without figures."""
    with drawing(THEMES[theme]):
        figure = draw_ranking(board, ranking, theme)
        return None if figure is None else saved(figure, form)


def draw_ranking(board: Board, ranking: str = PRIMARY, theme: str = "light") -> Figure | None:
    """Draw one of RANKINGS: every row as a dot with its interval, a panel per detector; None without figures.

    Lines mark the baselines; predictions without training are in every panel, hollow.
    """
    if ranking not in board.frame or board.frame[ranking].isna().all():
        return None
    by = ["test_set", "detector", "protocol"]
    groups = board.trained.groupby(by, sort=False, dropna=False)
    panels = [frame.sort_values(ranking, ascending=False, kind="stable") for _, frame in groups]
    panels = panels or ([board.trivial] if len(board.trivial) else [])
    if not panels:
        return None
    if len(board.trained):
        panels = [pd.concat([panel, board.trivial]) for panel in panels]
    colours, titles = THEMES[theme], short_names(board.frame["detector"], board.shown)
    with drawing(colours) as new_figure:
        figure, axes = new_figure([len(panel) for panel in panels])
        for ax, panel in zip(axes, panels, strict=True):
            _intervals(ax, panel.assign(selector=_selectors(board, panel)), ranking, colours)
            detector = panel["detector"].iloc[0]
            title = titles.get(detector, "") if known(detector) else "without training"
            protocol = panel["protocol"].iloc[0]
            title = f"{title}, {protocol}" if known(protocol) and protocol else title
            ax.set_title(short_label(title), loc="left", parse_math=False)
        name = "pooled artifact IoU at 0.5" if ranking == PRIMARY else "average precision"
        axes[-1].set_xlabel(f"{name}, % (bars: {board.level * 100:g} % interval)")
        for ax in axes:
            ax.set_xlim(0, max(1.0, *(other.get_xlim()[1] for other in axes)))
        return figure


def confinement_figure(board: Board, theme: str = "light", form: Format = "svg") -> bytes | None:
    """Draw the mean absolute change of corrupted images against their round trip, inside and outside the mask.

    None where no row has it.
    """
    columns = ["confinement_change_inside", "confinement_change_outside"]
    if any(column not in board.frame for column in columns):
        return None
    measured = board.frame.dropna(subset=columns)
    if measured.empty:
        return None
    named = measured.assign(selector=_selectors(board, measured))
    together = named.groupby(["training_set", "selector"], sort=False, dropna=False)[columns].mean().reset_index()
    lines = together.sort_values(columns[0], ascending=False, kind="stable")
    colours = THEMES[theme]
    with drawing(colours) as new_figure:
        figure, (ax,) = new_figure([len(lines)])
        places = np.arange(len(lines))
        inside, outside = (lines[column].to_numpy() * 100 for column in columns)
        ax.hlines(places, outside, inside, color=colours.rule, linewidth=3, zorder=1)
        ax.plot(inside, places, "o", color=colours.second, markersize=6, clip_on=False, label="inside the mask")
        hollow: dict[str, Any] = {"fillstyle": "none", "clip_on": False, "label": "outside"}
        ax.plot(outside, places, "o", color=colours.first, markersize=6, **hollow)
        ax.axvline(VISIBLE * 100, color=colours.muted, linewidth=0.8, linestyle=":", label="visible from here on")
        _names(ax, lines["training_set"], lines["selector"])
        ax.set_xlim(0, max(*inside, *outside, VISIBLE * 100) * 1.05)
        ax.set_xlabel("mean absolute change against the round trip, % of the colour range")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2, handletextpad=0.4)
        return saved(figure, form)


def _intervals(ax: Axes, panel: pd.DataFrame, ranking: str, colours: Theme) -> None:
    places = np.arange(len(panel))
    value, low, high = (panel[name].to_numpy(float) * 100 for name in (ranking, f"{ranking}_low", f"{ranking}_high"))
    for base, style in zip(BASELINES, ("--", ":"), strict=True):
        lines = panel.loc[(panel["role"] == base) & ~panel["variant"].map(known), ranking]
        if len(lines) == 1 and np.isfinite(lines.iloc[0]):
            ax.axvline(lines.iloc[0] * 100, color=colours.muted, linewidth=0.9, linestyle=style, zorder=1, label=base)
    own = (panel["group"] != TRIVIAL).to_numpy()
    ax.hlines(places, low, high, color=np.where(own, colours.first, colours.muted), linewidth=2, zorder=2)
    ax.plot(value[own], places[own], "o", color=colours.first, markersize=6, zorder=3)
    hollow: dict[str, Any] = {"fillstyle": "none", "markersize": 6, "clip_on": False}
    if not own.all():  # no dots that are not clipped lie in a corner of the figure, and would leave no room for panels
        ax.plot(value[~own], places[~own], "o", color=colours.muted, zorder=3, **hollow)
    _names(ax, panel["training_set"], panel["selector"])
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2)


def _selectors(board: Board, lines: pd.DataFrame) -> pd.Series:
    """Return the lines' selectors by short names, None where there is none."""
    pairs = zip(lines["detector"], lines["selector"], strict=True)
    names = [selector_names(board, detector).get(selector) for detector, selector in pairs]
    return pd.Series(names, index=lines.index, dtype=object)


def _names(ax: Axes, methods: pd.Series, selectors: pd.Series) -> None:
    """Label the rows, the first on top, with selectors if there are several; no text is parsed as mathematics."""
    several = selectors.nunique() > 1
    pairs = zip(methods, selectors, strict=True)
    labels = [
        f"{short_label(method, _LONGEST_METHOD)} · {short_label(selector, _LONGEST_SELECTOR)}"
        if several and known(selector)
        else short_label(method)
        for method, selector in pairs
    ]
    ax.set_yticks(np.arange(len(labels)), labels, parse_math=False)
    ax.set_ylim(len(labels) - 0.4, -0.6)


def short_label(text: str, longest: int = _LONGEST_LABEL) -> str:
    """Return foreign text on one line of at most `longest` characters."""
    shown = one_line(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


@contextmanager
def drawing(colours: Theme) -> Iterator[Any]:
    """Yield a function that makes (figure, axes) from the numbers of lines; loads matplotlib."""
    import matplotlib

    with matplotlib.rc_context(_settings(colours)), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes; its row in the table is right.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield _new_figure


def _settings(colours: Theme) -> dict[str, Any]:
    """Return matplotlib's settings for a theme."""
    return {
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": colours.ink,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.labelcolor": colours.ink,
        "axes.edgecolor": colours.rule,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.grid": True,
        "axes.grid.axis": "x",
        "axes.axisbelow": True,
        "grid.color": colours.rule,
        "grid.linewidth": 0.5,
        "xtick.color": colours.rule,
        "xtick.labelcolor": colours.muted,
        "ytick.labelcolor": colours.ink,
        "ytick.major.size": 0,
        "ytick.major.pad": 7,
        "svg.fonttype": "path",
        "pdf.fonttype": 42,
        # Equal boards give equal bytes.
        "svg.hashsalt": "benchkit",
    }


def _new_figure(lines: list[int]) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels, one below the other, each as high as its lines need."""
    from benchkit.report.notebook_figure import NotebookFigure

    height = sum(lines) * _LINE + 0.62 * len(lines) + 0.3
    figure = NotebookFigure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots(len(lines), 1, squeeze=False, height_ratios=[n + 0.5 for n in lines])
    return figure, list(axes[:, 0])


def saved(figure: Figure, form: Format) -> bytes:
    """Return the figure as a file's bytes, on a transparent ground; equal figures give equal bytes."""
    sink = io.BytesIO()
    figure.savefig(sink, format=form, transparent=True, dpi=144, metadata=UNSIGNED[form])
    return sink.getvalue()
