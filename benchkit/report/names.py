"""The printed names of rows: the one place in which a row's fields become a name. No code parses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchkit.report.format_values import known
from benchkit.specs.cell import Cell
from benchkit.specs.training_sets import Trivial

#: Names of rows without a corruptor. A plugin of one of these names is printed as `corruptor NAME`.
RESERVED = ("human", "pseudo", "oracle", *Trivial.RULES)


@dataclass(frozen=True)
class Labels:
    """What a row's name is made of. corruptor: the plugin's bare name; the others as in `benchkit.specs.cell.Cell`."""

    role: str
    method: str | None = None
    corruptor: str | None = None
    inverter: str | None = None
    source_name: str | None = None
    variant: str | None = None

    @classmethod
    def of(cls, cell: Cell) -> Labels:
        """Return the labels of a planned cell."""
        training = cell.training
        corruptor = training.corruptor.name if training.corruptor else None
        inverter = cell.inverter.short if cell.inverter else None
        return cls(cell.role, cell.method, corruptor, inverter, cell.source_name, cell.variant)

    @classmethod
    def of_line(cls, line: Mapping[Any, Any], shown: Mapping[str, str]) -> Labels:
        """Return the labels of a row of a result store or of a board; shown: complete Specs -> shorter texts."""
        names = ("role", "method", "corruptor", "inverter", "source_name", "variant")
        values = {name: str(line[name]) if known(line.get(name)) else None for name in names}
        inverter = values["inverter"]
        return cls(**{**values, "inverter": shown.get(inverter, inverter) if inverter else None})  # type: ignore[arg-type]

    @property
    def base(self) -> str:
        """The name without inverter, source and variant: the role, or the corruptor as it was written."""
        if self.role == "mixed":
            return f"human+{self._corruptor}"
        return self._corruptor if self.role == "corrupted" else self.method or self.role

    @property
    def bare(self) -> str:
        """The same without the corruptor's parameters."""
        corruptor = self.corruptor or ""
        return {"mixed": f"human+{corruptor}", "corrupted": corruptor}.get(self.role, self.method or self.role)

    @property
    def _corruptor(self) -> str:
        """The corruptor as written, with `corruptor` before a reserved name."""
        return f"{'corruptor ' if self.corruptor in RESERVED else ''}{self.method}"


def row_names(rows: Iterable[Labels]) -> tuple[str, ...]:
    """Return the printed name of every row of one run.

    `ROW via INVERTER [SOURCE] [AXIS=VALUE]`: inverter and source are printed only if the run has several.
    """
    rows = tuple(rows)
    of_base = [row for row in rows if row.variant is None]
    inverters = {row.inverter for row in of_base if row.inverter}
    sources = {row.source_name for row in of_base if row.source_name}
    return tuple(_name(row, len(inverters) > 1, len(sources) > 1) for row in rows)


def _name(row: Labels, inverters: bool, sources: bool) -> str:
    via = f" via {row.inverter}" if inverters and row.inverter else ""
    source = f" [{row.source_name}]" if sources and row.source_name else ""
    return f"{row.base}{via}{source}{f' [{row.variant}]' if row.variant else ''}"


def cell_names(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the printed names of a plan's cells, in their order."""
    return row_names(map(Labels.of, cells))


def named_rows(rows: pd.DataFrame, shown: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of a run with their printed names as a further column, `training_set`."""
    names = row_names(Labels.of_line(line, shown) for line in rows.to_dict("records"))
    place = list(rows).index("role")
    named = rows.copy()
    named.insert(place, "training_set", pd.Series(names, index=rows.index, dtype=object))
    return named
