"""A plan: the cells of a comparison and their stages, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from benchkit.report.names import cell_names
from benchkit.specs.cell import Cell
from benchkit.specs.keys import digest
from benchkit.stages.base import Costs, Model, Stage
from benchkit.stages.confine import Confine
from benchkit.stages.evaluate import Evaluate
from benchkit.stages.train import Train


@dataclass(frozen=True)
class PlannedCell:
    """A cell, the stages that give its row, or the reason it is skipped.

    selection_seed: of the regions that all seeds and detectors share; None where the cell has its own, or none. chunk:
    images that are processed at once; None for CHUNK, so that earlier plans are read as they were. resampling: of
    eq. 6; None where it is exact.
    """

    cell: Cell
    evaluate: Evaluate | None = None
    confine: Confine | None = None
    skip: str | None = None
    selection_seed: int | None = None
    chunk: int | None = None
    resampling: str | None = None

    @property
    def key(self) -> str:
        """The cell's key: that of its evaluation, or of its description where it is skipped."""
        return self.evaluate.key if self.evaluate else digest(self.cell)

    @property
    def train(self) -> Train | None:
        """The training stage; None where nothing is trained or the cell is skipped."""
        predictor = self.evaluate.predictor if self.evaluate else None
        return predictor if isinstance(predictor, Train) else None

    @property
    def model(self) -> Model | None:
        """The checkpoint that the cell's images pass; None where they pass none."""
        waiting: list[Stage] = list(self.stages)
        seen: set[str] = set()
        while waiting:
            stage = waiting.pop()
            own = getattr(stage, "model", None)
            if isinstance(own, Model):
                return own
            waiting += [needed for needed in stage.inputs if needed.key not in seen]
            seen.update(needed.key for needed in stage.inputs)
        return None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that give the row's figures."""
        return tuple(stage for stage in (self.evaluate, self.confine) if stage is not None)


@dataclass(frozen=True)
class Plan:
    """Cells and stages of one comparison; stages in an order in which every input precedes its reader."""

    cells: tuple[PlannedCell, ...]

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Cell key -> the printed name of its row."""
        names = cell_names([planned.cell for planned in self.cells])
        return {planned.key: name for planned, name in zip(self.cells, names, strict=True)}

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage once, inputs first."""
        seen: dict[str, Stage] = {}
        for planned in self.cells:
            for stage in planned.stages:
                _visit(stage, seen)
        return tuple(seen.values())

    def network_evaluations(self, costs: Costs) -> int:
        """Return the network evaluations of all stages, counted in images."""
        return sum(stage.network_evaluations(costs) for stage in self.stages)


def _visit(stage: Stage, seen: dict[str, Stage]) -> None:
    if stage.key in seen:
        return
    for needed in stage.inputs:
        _visit(needed, seen)
    seen[stage.key] = stage
