"""Sheets of pictures with outlines, as PNG, SVG or PDF bytes, for the figures of corrupted images."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.report.figures import UNSIGNED, Format
from benchkit.report.format_values import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMS = ("png", "svg", "pdf")
#: Colours of outlines; both stand out from skin, sky and leaves, each on a dark line of its own.
SELECTED, UNCHANGED = "#5dff5d", "#ff9d2e"
#: Inches of a picture's longer side and of the text beside and above; characters in a line of a heading.
_SIDE, _LEFT, _LINE, _CHARACTERS, _LINES = 1.45, 0.3, 0.13, 22, 3
_DPI = 200


@dataclass(frozen=True)
class Picture:
    """One image (H, W, 3) uint8 with outlines: masks (H, W) bool by colour. note: short lines under it. hatched: pixels
    (H, W) bool that are hatched."""

    image: np.ndarray
    outlines: tuple[tuple[str, np.ndarray], ...] = ()
    note: str = ""
    hatched: np.ndarray | None = None


@dataclass(frozen=True)
class PictureSheet:
    """Pictures in rows and columns, with headings; texts may come from plugins and datasets, and are shown as text.

    rows: of equal length; None leaves a place empty. columns, names: headings of the columns and of the rows, as many
    as there are. foot: a note below.
    """

    title: str
    columns: tuple[str, ...]
    names: tuple[str, ...]
    rows: tuple[tuple[Picture | None, ...], ...]
    foot: str = ""


def draw_pictures(sheet: PictureSheet, form: Format) -> bytes:
    """Return the sheet as a file's bytes, on white; equal sheets give equal bytes."""
    sink = io.BytesIO()
    with _settings():
        figure = pictures_figure(sheet)
        figure.savefig(sink, format=form, facecolor="white", dpi=_DPI, metadata=UNSIGNED[form])
    return sink.getvalue()


@contextmanager
def _settings() -> Iterator[None]:
    """Set matplotlib's settings for a sheet; loads matplotlib."""
    import matplotlib

    settings: dict[str, Any] = {
        "font.family": "sans-serif",
        "font.size": 7,
        "svg.fonttype": "path",
        "svg.hashsalt": "benchkit",
        "pdf.fonttype": 42,
        "image.composite_image": False,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes; a command line's output has it right.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def pictures_figure(sheet: PictureSheet) -> Figure:
    """Draw the sheet as a matplotlib figure."""
    from benchkit.report.notebook_figure import NotebookFigure

    with _settings():
        heights = [max(_aspect(picture) for picture in row if picture) for row in sheet.rows]
        width = _LEFT + len(sheet.columns) * (_SIDE + 0.06)
        foot = textwrap.wrap(one_line(sheet.foot), max(30, int(width * 18)))
        title = textwrap.wrap(one_line(sheet.title), max(24, int(width * 11)))
        head = max(1 + heading(text).count("\n") for text in sheet.columns)
        notes = sum(max(len(picture.note.splitlines()) for picture in row if picture) for row in sheet.rows)
        lines = head + 1.3 * len(title) + len(foot) + notes + 1
        height = sum(_SIDE * h + 0.06 for h in heights) + _LINE * lines
        figure = NotebookFigure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)  # type: ignore[union-attr,call-arg]
        axes = figure.subplots(len(sheet.rows), len(sheet.columns), squeeze=False, height_ratios=heights)
        for y, row in enumerate(sheet.rows):
            for x, picture in enumerate(row):
                _draw(axes[y, x], picture)
        for ax, text in zip(axes[0], sheet.columns, strict=True):
            ax.set_title(heading(text), parse_math=False, fontsize=7)
        for ax, text in zip(axes[:, 0], sheet.names, strict=True):
            ax.set_ylabel(heading(text), parse_math=False)
        figure.suptitle("\n".join(title), x=0.01, ha="left", fontsize=9, fontweight="bold", parse_math=False)
        if foot:
            figure.supxlabel("\n".join(foot), x=0.01, ha="left", fontsize=7, color="#5b636e", parse_math=False)
        return figure


def heading(text: str) -> str:
    """Return foreign text in a few short lines: a plugin's name first, its parameters below."""
    name, _, rest = one_line(text).partition(":")
    if len(name) + len(rest) < _CHARACTERS:
        return one_line(text)
    lines = [line for part in (name, rest.replace(",", ", ")) for line in textwrap.wrap(part, _CHARACTERS)]
    return "\n".join(lines if len(lines) <= _LINES else [*lines[: _LINES - 1], f"{lines[_LINES - 1][:-1]}…"])


def _aspect(picture: Picture) -> float:
    return picture.image.shape[0] / max(picture.image.shape[:2])


def _draw(ax: Axes, picture: Picture | None) -> None:
    from matplotlib.patheffects import withStroke

    if picture is None:
        ax.set_axis_off()
        return
    height, width = picture.image.shape[:2]
    image, hatched = picture.image, picture.hatched
    if hatched is not None:
        image = np.where(hatched[..., None], image // 2, image)  # so that white lines show on any picture
    ax.imshow(image, interpolation="none")
    across, down = np.arange(-1, width + 1), np.arange(-1, height + 1)
    if hatched is not None and hatched.any():
        level = np.pad(hatched.astype(float), 1)
        areas = ax.contourf(across, down, level, levels=[0.5, 2], colors="none", hatches=["/////"])
        areas.set(edgecolor="white", linewidth=0)
    for colour, mask in picture.outlines:
        if mask.any():
            # A border of nothing closes the outline of a region at the image's edge.
            level = np.pad(mask.astype(float), 1)
            lines = ax.contour(across, down, level, levels=[0.5], colors=[colour], linewidths=0.9)
            lines.set_path_effects([withStroke(linewidth=1.7, foreground="#101010")])
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    if picture.note:
        lines_below = "\n".join(map(one_line, picture.note.splitlines()))
        ax.set_xlabel(lines_below, parse_math=False, labelpad=2, fontsize=6.5)
