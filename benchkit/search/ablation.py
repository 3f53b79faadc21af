"""Ablations: the base and its variants as one plan, and the differences that each setting makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.planning.look_plan import refuse_looks
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.planning.planner import Planner, Trajectories
from benchkit.planning.preflight.check_grids import check_grids
from benchkit.plugin.registry import Registry
from benchkit.report.ablation import CROSSED, AblationBoard, Point
from benchkit.report.run_data import RunData
from benchkit.runs.execution import load_run_data
from benchkit.runs.run import (
    Outcome,
    RunLocations,
    RunOptions,
    add_remarks,
    execute,
    find_model,
    warn_repeated,
)
from benchkit.search.variants import Axis, Variant, expand, format_base_value
from benchkit.specs.faults import add_place
from benchkit.specs.spec import Spec
from benchkit.stages.base import Model


@dataclass(frozen=True)
class Ablation:
    """A planned ablation. pairs: of every variant after the base, pairs of the base's cell and its own."""

    axes: tuple[Axis, ...]
    crossed: bool
    variants: tuple[Variant, ...]
    pairs: tuple[tuple[tuple[PlannedCell, PlannedCell], ...], ...]
    plan: Plan

    @property
    def base(self) -> Grid:
        return self.variants[0].grid

    @property
    def grids(self) -> list[tuple[str, Grid]]:
        """The grids of all variants, each with the text before messages about it."""
        return [(variant.place, variant.grid) for variant in self.variants]

    @property
    def config(self) -> dict[str, Any]:
        """The run's description: the base, and the axes."""
        vary = {axis.name: list(axis.values) for axis in self.axes}
        return {**self.base.as_data(), "title": f"Ablation: {self.base.title}", "vary": vary, "crossed": self.crossed}


def make_ablation(base: Grid, axes: Sequence[Axis], registry: Registry, crossed: bool = False) -> Ablation:
    """Plan the base and its variants together: shared stages are planned once, a trajectory is divided once.

    Raises BenchkitError for every fault in the grid or its axes, before anything is computed.
    """
    if not axes:
        raise BenchkitError("nothing is varied: give `vary` AXIS=VALUE,VALUE, such as corruptor.steps=5,10")
    refuse_looks(base, "an ablation")
    variants = expand(base, axes, registry, crossed)
    check_grids([(variant.place, variant.grid) for variant in variants], registry)
    warn_repeated(base, registry)
    trajectories: dict[Model, Trajectories] = {}
    models: dict[tuple[str, int], Model] = {}
    planners = []
    for variant in variants:
        named = variant.grid.model, variant.grid.num_inference_steps
        model = models[named] = models.get(named) or find_model(variant.grid)
        planners.append(Planner(variant.grid, registry, model, trajectories.setdefault(model, {})))
        _with_place(variant, planners[-1].note_steps)
    plans = [_with_place(variant, planner.plan).cells for variant, planner in zip(variants, planners, strict=True)]
    learned = [cell for cell in plans[0] if cell.cell.role != "trivial"]
    for variant, own in zip(variants[1:], plans[1:], strict=True):
        if {cell.cell.seed for cell in own} != {cell.cell.seed for cell in learned}:
            raise BenchkitError(
                f"`vary` {variant.label}: changes the seeds of rows: give all detectors the same in 'on_detector'"
            )
        if len(own) != len(learned):
            raise BenchkitError(f"`vary` {variant.label}: makes rows of several inverters one: name one inverter")
    pairs = tuple(tuple(zip(learned, own, strict=True)) for own in plans[1:])
    for axis in axes:
        _check_it_matters(axis, variants, pairs)
    together = {cell.key: cell for cell in plans[0]}
    for variant, own in zip(variants[1:], pairs, strict=True):
        for of_base, cell in own:
            changed = replace(cell.cell, variant=variant.label, method=of_base.cell.method)
            together.setdefault(cell.key, replace(cell, cell=changed))
    return Ablation(tuple(axes), crossed, variants, pairs, Plan(tuple(together.values())))


def _with_place(variant: Variant, plan: Callable[[], Any]) -> Any:
    """Return the result of `plan`; the variant is put before the message of a fault."""
    try:
        return plan()
    except BenchkitError as error:
        raise add_place(error, variant.place) from None


def _check_it_matters(axis: Axis, variants: Sequence[Variant], pairs: Sequence[Any]) -> None:
    """Raise BenchkitError for an axis that changes no row."""
    for variant, own in zip(variants[1:], pairs, strict=True):
        if axis.name in dict(variant.settings) and any(of_base.key != cell.key for of_base, cell in own):
            return
    raise BenchkitError(f"`vary` {axis}: applies to no row, or is what the base has: no row changes")


def points(ablation: Ablation) -> list[Point]:
    """Return the lines of the board: for every axis and every row that it changes, the base's value and the others.

    A crossed ablation has one axis, named `crossed`.
    """
    names = [CROSSED] if ablation.crossed else [axis.name for axis in ablation.axes]
    return [point for name in names for point in _points_of(ablation, name)]


class Line(NamedTuple):
    """A row of the base, over all seeds."""

    name: str
    selector: Spec | None
    detector: Spec | None


def _points_of(ablation: Ablation, axis: str) -> Iterator[Point]:
    moved = [
        (variant, _lines(own, ablation.plan.names))
        for variant, own in zip(ablation.variants[1:], ablation.pairs, strict=True)
        if axis == CROSSED or axis in dict(variant.settings)
    ]
    names = ablation.plan.names
    for line, of_base in _lines(tuple((cell, cell) for cell, _ in ablation.pairs[0]), names).items():
        values: dict[str, dict[int, str]] = {}
        for variant, lines in moved:
            if lines[line] != of_base:
                value = variant.label if axis == CROSSED else dict(variant.settings)[axis]
                values[value] = lines[line]
        if not values:
            continue  # nothing that this axis varies is in this row
        first = next(cell for cell, _ in ablation.pairs[0] if _line(cell, names) == line)
        held = "base" if axis == CROSSED else format_base_value(ablation.base, axis, _spec(first, axis))
        where: dict[str, Any] = {
            "axis": axis,
            "training_set": line.name,
            "selector": _text(line.selector),
            "detector": _text(line.detector),
        }
        yield Point(value=held, is_base=True, cells=of_base, **where)
        for value, cells in values.items():
            yield Point(value=value, is_base=False, cells=cells, **where)


def _lines(pairs: Sequence[tuple[PlannedCell, PlannedCell]], names: Mapping[str, str]) -> dict[Line, dict[int, str]]:
    """Return, by the base's line and the seed, the key of the variant's cell."""
    found: dict[Line, dict[int, str]] = {}
    for of_base, cell in pairs:
        found.setdefault(_line(of_base, names), {})[cell.cell.seed] = cell.key
    return found


def _line(planned: PlannedCell, names: Mapping[str, str]) -> Line:
    return Line(names[planned.key], planned.cell.training.selector, planned.cell.detector)


def _spec(planned: PlannedCell, axis: str) -> Spec | None:
    """Return a cell's plugin of an axis's kind."""
    training = planned.cell.training
    specs = {"selector": training.selector, "corruptor": training.corruptor, "inverter": training.inverter}
    return {**specs, "detector": planned.cell.detector}.get(axis.partition(".")[0])


def _text(spec: Spec | None) -> str | None:
    return None if spec is None else str(spec)


@dataclass(frozen=True)
class AblationOutcome:
    """The result of an ablation: the run of all its cells, and the board of differences."""

    outcome: Outcome
    board: AblationBoard

    def as_json(self) -> dict[str, Any]:
        """Return the ablation as plain data, for JSON."""
        ran = self.outcome.as_json()
        return {name: ran[name] for name in ("run", "stages", "seconds")} | {"ablation": self.board.as_json()}


def run_ablation(
    ablation: Ablation, registry: Registry, locations: RunLocations, options: RunOptions
) -> AblationOutcome:
    """Run the stages that an ablation lacks; write its report and the board of differences into `locations.out`."""
    made: list[AblationBoard] = []

    def compared(data: RunData) -> AblationBoard:
        made.append(AblationBoard.of(points(ablation), data))
        return made[-1]

    config = add_remarks(ablation.config, ablation.base, registry)
    outcome = execute(ablation.plan, config, registry, locations, options, compared)
    if not made:  # the report was there, and nothing has changed
        compared(load_run_data(outcome.run, locations.result_store(), {}, config))
    return AblationOutcome(outcome, made[-1])
