"""Quality against cost for papers: artifact IoU or AP over network evaluations, a panel for each detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.leaderboard.site.row_columns import Row, Rows
from benchkit.report.figures import THEMES, Format, Theme, drawing, saved, short_label
from benchkit.report.format_values import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Height of a panel, in lines of text, and characters of a name beside a point.
_LINES, _LONGEST = 11, 26
#: More panels do not fit on a page, and more points are no figure for a paper; both would take minutes to draw.
_MOST_PANELS, _MOST_POINTS = 12, 2000
_NAMES = {"iou": "artifact IoU at 0.5", "ap": "average precision"}


def find_front(rows: Sequence[Row], key: str) -> list[Row]:
    """Return the rows that no row with as few or fewer evaluations reaches in a figure, the cheapest first."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["evaluations"], -row[key])):
        if not front or row[key] > front[-1][key]:
            front.append(row)
    return front


def cost_figure(rows: Sequence[Mapping[str, Any]], key: str, form: Format = "svg") -> bytes | None:
    """Draw a figure of rows over the network evaluations of one corrupted image; None if too many or no rows have both.

    key: `iou` or `ap`. Bars are 95 % intervals; the dotted line is the Pareto front, whose rows have their names.
    """
    every = Rows.of(rows)
    own = every.take((every.column("kind") == "trained") & every.known(key) & every.known("evaluations"))
    if not 0 < len(own.distinct("detector")) <= _MOST_PANELS or len(own) > _MOST_POINTS:
        return None
    panels = {detector: [*own.take(own.column("detector") == detector)] for detector in own.distinct("detector")}
    colours = THEMES["light"]
    with drawing(colours) as new_figure:
        figure, axes = new_figure([_LINES] * len(panels))
        for ax, (detector, shown) in zip(axes, panels.items(), strict=True):
            _draw_panel(ax, shown, key, colours)
            ax.set_title(short_label(detector), loc="left", parse_math=False)
            ax.set_ylabel(f"{_NAMES[key]}, %")
        axes[-1].set_xlabel("network evaluations of the diffusion model for one corrupted image")
        return saved(figure, form)


def _draw_panel(ax: Axes, rows: Sequence[Row], key: str, colours: Theme) -> None:
    x = np.array([float(row["evaluations"]) for row in rows])
    value, low, high = (
        100 * np.array([float(row[key + end]) if known(row.get(key + end)) else np.nan for row in rows])
        for end in ("", "_low", "_high")
    )
    ax.vlines(x, low, high, color=colours.first, linewidth=1, alpha=0.5)
    ax.plot(x, value, "o", color=colours.first, markersize=5, clip_on=False)
    front = find_front(rows, key)
    steps = [float(row["evaluations"]) for row in front], [100 * float(row[key]) for row in front]
    ax.step(*steps, where="post", color=colours.second, linestyle=":", linewidth=1.2)
    for row, at in zip(front, zip(*steps, strict=True), strict=True):
        text = short_label(row["name"], _LONGEST)
        ax.annotate(text, at, (4, 4), textcoords="offset points", fontsize=7, color=colours.ink, parse_math=False)
    ax.grid(visible=True, axis="both")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
