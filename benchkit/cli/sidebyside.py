"""Several boards as one table: one line per method, one column per run; differences if the settings are equal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from string import ascii_uppercase
from typing import Any

import pandas as pd

from benchkit.metrics import PRIMARY
from benchkit.report.board import Board, short_names
from benchkit.report.board_table import Column, Sheet, TableCell, TableGroup
from benchkit.report.format_values import MISSING, bracketed, known, numeric, one_line, percent, signed
from benchkit.report.old_schemas import SCHEMA
from benchkit.report.settings import differing

#: Lines of two boards are the same row if these columns are equal; those of _WHERE_SEVERAL only if a board has several.
_KEY = ("detector", "selector", "role", "corruptor", "corruptor_params", "variant")
_WHERE_SEVERAL = ("inverter", "source_name")
#: Runs that differ only in these settings can be compared.
_HARMLESS = {"seeds"}


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Boards side by side; their rows are matched by their properties, not by their names."""

    boards: tuple[Board, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The lines of all boards in one frame, with a column `run`."""
        parts = [board.frame.assign(run=board.run) for board in self.boards]
        lines = pd.concat(parts, ignore_index=True)
        return lines[["run", *(name for name in lines if name != "run")]]

    @cached_property
    def differing(self) -> Mapping[str, tuple[str, ...]]:
        """The settings in which the boards differ; see `benchkit.report.settings.differing`."""
        return differing(self.boards)

    @property
    def comparable(self) -> bool:
        """Whether figures of the boards can be compared: whether all settings but the seeds are equal."""
        return not set(self.differing) - _HARMLESS

    def sheet(self) -> Sheet:
        """Return artifact IoU of every run in per cent, with the difference to the first run if they are comparable."""
        lines = self._lines()
        shown = {full: short for board in self.boards for full, short in board.shown.items()}
        detectors = short_names(pd.Series([key[0] for key in lines], dtype=object), shown)
        columns = [Column("method", text=True, role="name"), Column("selector", text=True, vital=2)]
        columns += [Column("detector", text=True, vital=3), *(c for n in self._names for c in self._columns(n))]
        groups: dict[str | None, list[tuple[TableCell, ...]]] = {}
        for (detector, selector, *_), own in lines.items():
            # A learned selector names its own detector, so selectors are distinguished within one detector only.
            selectors = short_names(pd.Series([key[1] for key in lines if key[0] == detector], dtype=object), shown)
            name = next(iter(own.values()))["training_set"]
            names = (name, selectors.get(selector, MISSING), detectors.get(detector, MISSING))
            groups.setdefault(detector, []).append((*(TableCell(one_line(text)) for text in names), *self._cells(own)))
        title = "Side by side" if self.comparable else "Side by side: different settings, not to be compared"
        titled = tuple(
            TableGroup(one_line(detectors[detector]) if detector else "without training", tuple(rows))
            for detector, rows in groups.items()
        )
        notes = self._notes()
        return Sheet(title, tuple(columns), titled, notes, self._head()).always("selector")

    def _head(self) -> tuple[str, ...]:
        """Return in which settings the runs differ: to be read before any number."""
        if not self.differing:
            return ("These runs have the same settings.",)
        parts = [f"{name} ({' | '.join(values)})" for name, values in self.differing.items()]
        return (one_line(f"These runs differ in {'; '.join(parts)}."),)

    def _lines(self) -> dict[tuple[Any, ...], dict[int, Mapping[Any, Any]]]:
        """Return row -> number of the board -> its line; rows without training last."""
        frames = [board.frame for board in self.boards]
        several = [n for n in _WHERE_SEVERAL if any(frame[n].nunique() > 1 for frame in frames if n in frame)]
        names = [*_KEY, *several]
        found: dict[tuple[Any, ...], dict[int, Mapping[Any, Any]]] = {}
        for place, board in enumerate(self.boards):
            for line in board.frame.to_dict("records"):
                key = [line.get(name) if known(line.get(name)) else None for name in names]
                key.append(line["method"] if line["role"] == "trivial" else None)
                found.setdefault(tuple(key), {})[place] = line
        return dict(sorted(found.items(), key=lambda item: item[0][0] is None))

    @property
    def _names(self) -> list[str]:
        """A letter for each board, which the notes explain."""
        letters = len(self.boards) <= len(ascii_uppercase)
        return [ascii_uppercase[i] if letters else str(i + 1) for i in range(len(self.boards))]

    def _columns(self, name: str) -> list[Column]:
        columns = [Column(name, role="primary"), Column(f"{name}\n[interval]", vital=5, together="intervals")]
        first = name == self._names[0]
        return columns if first or not self.comparable else [*columns, Column(f"{name} − {self._names[0]}", vital=1)]

    def _cells(self, lines: Mapping[int, Mapping[Any, Any]]) -> list[TableCell]:
        cells: list[TableCell] = []
        base = numeric(lines[0][PRIMARY]) if 0 in lines and lines[0]["seeds"] else math.nan
        for place in range(len(self.boards)):
            line = lines.get(place)
            here = line is not None and bool(line["seeds"])
            value = numeric(line[PRIMARY]) if line is not None and here else math.nan
            low, high = ((percent(line[f"{PRIMARY}_{end}"]) if line and here else MISSING) for end in ("low", "high"))
            state = MISSING if line is None else str(line["state"])
            interval = bracketed("", low, high).strip()
            cells += [TableCell(percent(value) if here else state, value), TableCell(interval or MISSING)]
            if place and self.comparable:
                cells.append(TableCell(signed(value - base), value - base))
        return cells

    def _notes(self) -> tuple[str, ...]:
        """Return notes: the runs, and whether their figures can be compared."""
        notes = []
        for name, board in zip(self._names, self.boards, strict=True):
            tests = ", ".join(dict.fromkeys(board.short(text) for text in board.frame["test_set"]))
            notes.append(one_line(f"{name}: {board.run}: {board.title}, on {tests}"))
        names: dict[str, list[str]] = {}
        for name, board in zip(self._names, self.boards, strict=True):
            names.setdefault(board.run, []).append(name)
        notes += [f"{' and '.join(same)} are the same run." for same in names.values() if len(same) > 1]
        if "test" in self.differing:
            notes.append("The runs have different test images: their figures cannot be compared.")
        elif not self.comparable:
            notes.append("A difference between their figures may come from any of these settings, not from a method.")
        else:
            notes.append(
                f"Artifact IoU in per cent; differences to {self._names[0]} in points, of the printed "
                "figures. They come without intervals: some may be chance."
            )
            if len(names) > 1:
                notes.append(
                    "A board has the number of seeds, not the seeds: different seeds alone may cause a difference."
                )
        return tuple(notes)

    def as_json(self) -> dict[str, Any]:
        """Return the boards as plain data in the given order, and the settings in which they differ."""
        differing = {name: list(values) for name, values in self.differing.items()}
        return {"schema": SCHEMA, "differing": differing, "boards": [board.as_json() for board in self.boards]}
