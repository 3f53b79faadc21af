"""What a comparison would do, without running it: stages by kind, costs, rows and skipped cells."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.functions.session import Session
    from benchkit.planning.dry_run import Preview
    from benchkit.planning.plan import Plan, PlannedCell
    from benchkit.plugin.registry import Registry
    from benchkit.statistics.look_rule import LookRule


@dataclass(frozen=True)
class LargestPreview:
    """What `until_resolved` would do if every row got all seeds."""

    rule: LookRule
    preview: Preview

    def as_json(self) -> dict[str, Any]:
        """Return the looks, and the largest plan without its cells."""
        cells = sum(not cell.skip for cell in self.preview.cells)
        looks = {"planned": list(self.rule.numbers), "level": self.rule.level, "margin": self.rule.margin}
        return {**looks, "largest": {**_work_json(self.preview), "cells": cells}}

    def lines(self) -> list[str]:
        """Return the looks and the largest plan in two lines."""
        found = self.preview
        numbers = ", ".join(map(str, self.rule.numbers))
        cells = sum(not cell.skip for cell in found.cells)
        evaluations = f"network evaluations {found.pending_network_evaluations:,} of {found.network_evaluations:,}"
        return [
            f"this is the first of the looks at {numbers} seeds; where pairs are unresolved, more seeds follow",
            f"at most, if every row gets {self.rule.numbers[-1]} seeds: {cells} cells, "
            f"{sum(found.pending.values())} stages to run and {sum(found.cached.values())} cached, {evaluations}, "
            f"training iterations {found.train_iterations:,}",
            *(f"then {line}" for line in found.estimate.lines()),
        ]


@dataclass(frozen=True, eq=False, repr=False)
class DryRun:
    """What a comparison would do; nothing was computed or written.

    title: of the comparison. names: printed names of rows by the keys of cells. kinds: of stages, in their order.
    differences: where the comparison is not the paper's protocol. largest: of a plan that is only the first look of
    several. own_selection: network evaluations if each seed had its own selection; None if it has.

    Example:
        >>> import benchkit
        >>> dry = benchkit.compare("quick", corruptors=["gaussian:steps=5"], dry_run=True)
        >>> dry.lines()[-2:]
        ['rows, corrupted: gaussian:steps=5', 'rows, trivial: all-negative, all-positive, mean-mask']
        >>> dry.pending["train"] + dry.cached.get("train", 0)
        23
    """

    title: str
    preview: Preview
    names: Mapping[str, str]
    kinds: tuple[str, ...]
    differences: tuple[str, ...]
    largest: LargestPreview | None = None
    own_selection: int | None = None

    @property
    def pending(self) -> Mapping[str, int]:
        """Number of stages to run, by kind."""
        return self.preview.pending

    @property
    def cached(self) -> Mapping[str, int]:
        """Number of finished stages, by kind."""
        return self.preview.cached

    @property
    def cells(self) -> tuple[PlannedCell, ...]:
        """The planned cells and the skipped ones."""
        return self.preview.cells

    def __repr__(self) -> str:
        planned = sum(not cell.skip for cell in self.cells)
        to_run, done = (sum(numbers.values()) for numbers in (self.pending, self.cached))
        return f"<DryRun of '{self.title}': {planned} cells, {to_run} stages to run, {done} cached>"

    def _repr_html_(self) -> str:
        """Return the table of stages and the lines below it, for a notebook."""
        heads = "".join(f"<th>{head}</th>" for head in ("stage", "to run", "cached"))
        rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in self.table())
        lines = "<br>".join(map(html.escape, self.lines()))
        return f"<table><caption>{html.escape(self.title)}</caption><tr>{heads}</tr>{rows}</table><p>{lines}</p>"

    def table(self) -> list[tuple[str, int, int]]:
        """Return the number of stages to run and finished of each kind; the last line has their sums."""
        lines = [(kind, self.pending.get(kind, 0), self.cached.get(kind, 0)) for kind in self.kinds]
        return [*lines, ("all", sum(self.pending.values()), sum(self.cached.values()))]

    def lines(self) -> list[str]:
        """Return costs, rows by role, and skipped cells, a line each."""
        from benchkit.specs.cell import ROLES
        from benchkit.system.quantities import format_size

        found = self.preview
        planned = [cell for cell in found.cells if not cell.skip]
        lines = [
            f"network evaluations: {found.pending_network_evaluations:,} to run of {found.network_evaluations:,} "
            "(images)",
            *self._saved(),
            f"training iterations: {found.train_iterations:,} to run",
            *([f"features: {format_size(found.features_size)} to write into the cache"] if found.features_size else []),
            *found.estimate.lines(),
            *(f"not the paper's protocol: {text}" for text in self.differences),
            f"cells: {len(planned)}",
        ]
        for role in ROLES:
            rows = dict.fromkeys(self.names[cell.key] for cell in planned if cell.cell.role == role)
            lines += [f"rows, {role}: {', '.join(rows)}"] if rows else []
        skipped = Counter(cell.skip for cell in found.cells if cell.skip)
        lines += [f"skipped: {count} cells: {reason}" for reason, count in skipped.items()]
        return lines + (self.largest.lines() if self.largest else [])

    def _saved(self) -> list[str]:
        """Return what the shared selection saves, in one line; nothing if each seed has its own."""
        own, shared = self.own_selection, self.preview.network_evaluations
        if own is None:
            return []
        ratio = f", {own / shared:.1f} times as many" if shared else ""
        return [f"shared selection: a selection for each seed would take {own:,} network evaluations{ratio}"]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain data, for JSON."""
        cells = [_cell_json(planned, self.names[planned.key]) for planned in self.cells]
        looks = {"looks": self.largest.as_json()} if self.largest else {}
        own = {} if self.own_selection is None else {"network_evaluations_of_own_selections": self.own_selection}
        return {"title": self.title, **_work_json(self.preview), **own, "cells": cells, **looks}


def make_dry_run(
    title: str, grid: Grid, plan: Plan, registry: Registry, preview: Preview, largest: LargestPreview | None = None
) -> DryRun:
    """Return the dry run of a plan. largest: see DryRun."""
    from benchkit.planning.paper_protocol import find_all_differences

    kinds = tuple(dict.fromkeys(type(stage).__name__.lower() for stage in plan.stages))
    return DryRun(title, preview, dict(plan.names), kinds, tuple(find_all_differences(grid, registry)), largest)


def preview_plan(plan: Plan, grid: Grid, session: Session) -> Preview:
    """Return which stages of the plan are cached already; write nothing, not even an empty cache."""
    from benchkit.planning.dry_run import preview
    from benchkit.runs.rate_recorder import load_rates, name_executor
    from benchkit.runs.run import find_model
    from benchkit.store.location import get_local_folder
    from benchkit.store.opening import open_store

    cache = session.locations.cache
    rates, executor = load_rates(get_local_folder(cache), session.device), name_executor(session.executor)
    return preview(plan, session.registry, find_model(grid), open_store(cache, create=False), rates, executor)


def count_with_own_selections(grid: Grid, registry: Registry) -> int | None:
    """Return the network evaluations of a grid if each seed had its own selection; None if it has."""
    from benchkit.diffusion.backend import timesteps_of
    from benchkit.planning.planner import Planner
    from benchkit.runs.run import find_model
    from benchkit.stages.base import Costs

    if grid.selection_seed is None:
        return None
    model = find_model(grid)
    plan = Planner(grid.replaced(selection_seed=None), registry, model).plan()
    return plan.network_evaluations(Costs(registry, timesteps_of(model.location, model.steps)))


def _work_json(preview: Preview) -> dict[str, Any]:
    return {
        "stages": {"pending": dict(preview.pending), "cached": dict(preview.cached)},
        "network_evaluations": {"total": preview.network_evaluations, "pending": preview.pending_network_evaluations},
        "train_iterations": preview.train_iterations,
        "features_size": preview.features_size,
        "estimate": preview.estimate.as_json(),
    }


def _cell_json(planned: PlannedCell, name: str) -> dict[str, Any]:
    cell = planned.cell
    specs = {"selector": cell.training.selector, "inverter": cell.inverter, "detector": cell.detector}
    return {
        "training_set": name,
        "role": cell.role,
        **{kind: None if spec is None else str(spec) for kind, spec in specs.items()},
        "source_name": cell.source_name,
        "seed": cell.seed,
        "state": "skipped" if planned.skip else "planned",
        "reason": planned.skip,
    }
