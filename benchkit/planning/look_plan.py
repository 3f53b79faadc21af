"""The looks of a grid with `until_resolved`: what is fixed before the work, and which cells a look needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.plugin.registry import Registry
from benchkit.report.run_data import read_look_rule
from benchkit.specs.cell import Cell
from benchkit.statistics.look_rule import LookRule

#: A cell without its seed and the images that its seed draws.
Row: TypeAlias = tuple[object, ...]


def find_look_rule(grid: Grid, registry: Registry) -> LookRule | None:
    """Return the looks of a grid, or None if it does not add seeds; raise BenchkitError if it cannot."""
    if grid.until_resolved is None and grid.max_seeds is None:
        return None
    if grid.max_seeds is None:
        raise BenchkitError("`until_resolved` needs `max_seeds`, the largest number of seeds that a row may get")
    if grid.until_resolved is None:
        raise BenchkitError("`max_seeds` needs `until_resolved`, the points to which pairs of rows are to be resolved")
    start = len(set(grid.seeds))
    if start < 2:
        raise BenchkitError("`until_resolved`: the grid has one seed, but a variance needs two: give `seeds` 0,1")
    if grid.max_seeds < start:
        raise BenchkitError(f"`max_seeds` {grid.max_seeds}: the grid begins with {start} seeds; give at least as many")
    settings = DetectorSettings(grid, registry)
    for detector in map(registry.complete, grid.detectors):
        if set(settings.seeds(detector)) != set(grid.seeds):
            raise BenchkitError(
                f"`until_resolved` begins with the same seeds for every row, but detector '{detector.short}' has its "
                "own in 'on_detector': give `seeds`, which hold for all rows"
            )
    return read_look_rule(grid.as_data())


def refuse_looks(grid: Grid, work: str) -> None:
    """Raise BenchkitError if the grid adds seeds, which only a comparison does."""
    if grid.until_resolved is not None or grid.max_seeds is not None:
        raise BenchkitError(f"{work} has fixed seeds: remove 'until_resolved' and 'max_seeds' from the grid")


def check_rows_to_compare(plan: Plan) -> None:
    """Raise BenchkitError unless two trained rows of one detector can be compared."""
    rows = {get_row(planned.cell) for planned in plan.cells if planned.train is not None}
    if len(rows) == len({planned.cell.detector for planned in plan.cells if planned.train is not None}):
        raise BenchkitError(
            "`until_resolved` adds seeds where two trained rows of one detector are unresolved, and this grid has no "
            "two such rows: add a corruptor or a baseline, or omit `until_resolved`"
        )


def get_row(cell: Cell) -> Row:
    """Return what the cells of a row have in common over its seeds."""
    training = cell.training
    labels = (cell.role, cell.method, cell.inverter, cell.source_name, cell.variant)
    return (*labels, cell.detector, training.selector, training.corruptor, cell.test)


def take_seeds(plan: Plan, rule: LookRule, numbers: Mapping[Row, int]) -> Plan:
    """Return the part of a plan in which each row has its number of the rule's seeds; other rows have the first look's.

    Rows without training do not compete, and get no more seeds.
    """
    place = {seed: i for i, seed in enumerate(rule.seeds)}

    def wanted(planned: PlannedCell) -> bool:
        return place[planned.cell.seed] < numbers.get(get_row(planned.cell), rule.numbers[0])

    return Plan(tuple(planned for planned in plan.cells if wanted(planned)))
