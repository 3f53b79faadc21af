"""The page's section on an ablation: its figure, and a table of differences to the base for every axis."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchkit.report.ablation import AblationBoard
from benchkit.report.ablation_figure import ablation_figure
from benchkit.report.board_table import Sheet
from benchkit.report.site.picture import Picture


@dataclass(frozen=True)
class AblationSection:
    """figure: a panel per axis, None where nothing has a figure. tables: one per axis, titled by it, each with the
    notes that belong to it alone. notes: those of all."""

    figure: Picture | None
    tables: tuple[Sheet, ...]
    notes: tuple[str, ...]


def ablation_section(board: AblationBoard) -> AblationSection:
    """Return what the page shows of an ablation; every text is on one line and not yet escaped."""
    sheet = board.sheet()
    tables = [replace(sheet, title=group.title, groups=(group,), notes=()) for group in sheet.groups]
    words = "Pooled artifact IoU at every value of every axis, with intervals; the tables have the figures."
    figure = Picture.of(ablation_figure(board), words) if (board.frame["seeds"] > 0).any() else None
    return AblationSection(figure, tuple(table.without_constants() for table in tables), sheet.notes)
