"""Several boards as one table: a line a method, a column a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchkit.report.board import Board
from benchkit.report.older import SCHEMA
from benchkit.report.sheet import Cell, Column, Group, Sheet, primary_text
from benchkit.report.text import MISSING, known, listed, one_line

_KEY = ("detector", "selector", "training_set")


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Boards by training set, selector and detector, matched by their full names."""

    boards: tuple[Board, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The lines of all boards, one after another, led by their run."""
        parts = [board.frame.assign(run=board.run) for board in self.boards]
        lines = pd.concat(parts, ignore_index=True)
        return lines[["run", *(name for name in lines if name != "run")]]

    def sheet(self) -> Sheet:
        """Artifact IoU of every run, with its interval, in per cent."""
        found: dict[tuple[Any, ...], dict[int, Cell]] = {}
        for place, board in enumerate(self.boards):
            for line in board.frame.to_dict("records"):
                key = tuple(line[name] if known(line[name]) else None for name in _KEY)
                named = {str(name): value for name, value in line.items()}
                found.setdefault(key, {})[place] = Cell(primary_text(named), line["artifact_iou"])
        columns = [Column("method", text=True), Column("selector", text=True), Column("detector", text=True)]
        columns += [Column(f"run {one_line(board.run)}\nartifact IoU") for board in self.boards]
        rows = [
            (*(Cell(MISSING if name is None else one_line(name)) for name in reversed(key)), *self._cells(cells))
            for key, cells in sorted(found.items(), key=lambda item: item[0][0] is None)
        ]
        return Sheet("Side by side", tuple(columns), (Group("", tuple(rows)),), self._notes())

    def _cells(self, cells: dict[int, Cell]) -> list[Cell]:
        return [cells.get(place, Cell(MISSING)) for place in range(len(self.boards))]

    def _notes(self) -> tuple[str, ...]:
        """What the runs are, and whether their figures may be compared."""
        notes, tests = [], []
        for board in self.boards:
            own = listed(str(name) for name in board.frame["test_set"] if known(name))
            tests.append(own)
            notes.append(one_line(f"{board.run}: {board.title}, on {own}"))
        if len(set(tests)) > 1:
            notes.append("The runs have different test images: their figures cannot be compared.")
        return tuple(notes)

    def as_json(self) -> dict[str, Any]:
        """The boards as plain data, in the given order."""
        return {"schema": SCHEMA, "boards": [board.as_json() for board in self.boards]}
