"""What `compare --dry-run` and `ablate --dry-run` print: stages by kind, costs, rows and skipped cells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchkit.cli.common import console, print_json

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.planning.dry_run import Preview
    from benchkit.planning.planner import Plan, PlannedCell
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import Places
    from benchkit.statistics.looks import LookRule


@dataclass(frozen=True)
class LargestPreview:
    """What `--until-resolved` would do if every row got all seeds."""

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
        ]


def preview_plan(plan: Plan, grid: Grid, registry: Registry, places: Places) -> Preview:
    """Return which stages of the plan are cached already; write nothing, not even an empty cache."""
    from benchkit.planning.dry_run import preview
    from benchkit.runs.run import find_model
    from benchkit.store.opening import open_store

    return preview(plan, registry, find_model(grid), open_store(places.cache, create=False))


def print_dry_run(
    grid: Grid,
    plan: Plan,
    preview: Preview,
    largest: LargestPreview | None = None,
    *,
    registry: Registry,
    as_json: bool,
) -> None:
    """Print a plan, as JSON or as text. largest: of a plan that is only the first look of several."""
    if as_json:
        print_json(preview_json(grid, plan, preview) | ({"looks": largest.as_json()} if largest else {}))
    else:
        _print_text(grid, plan, preview, registry)
        console().print("\n".join(largest.lines() if largest else ()), markup=False, end="\n" if largest else "")


def preview_json(grid: Grid, plan: Plan, preview: Preview) -> dict[str, Any]:
    """Return a plan as plain data."""
    cells = [_cell_json(planned, plan.names[planned.key]) for planned in preview.cells]
    return {"title": grid.title, **_work_json(preview), "cells": cells}


def _work_json(preview: Preview) -> dict[str, Any]:
    return {
        "stages": {"pending": dict(preview.pending), "cached": dict(preview.cached)},
        "network_evaluations": {"total": preview.network_evaluations, "pending": preview.pending_network_evaluations},
        "train_iterations": preview.train_iterations,
        "features_size": preview.features_size,
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


def _print_text(grid: Grid, plan: Plan, preview: Preview, registry: Registry) -> None:
    from rich import box
    from rich.table import Table

    from benchkit.cli.cache import format_size
    from benchkit.planning.paper_protocol import find_all_differences
    from benchkit.specs.cell import ROLES

    table = Table(title=f"plan: {grid.title}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("stage", "to run", "cached"):
        table.add_column(header, justify="left" if header == "stage" else "right")
    for kind in dict.fromkeys(type(stage).__name__.lower() for stage in plan.stages):
        table.add_row(kind, str(preview.pending.get(kind, 0)), str(preview.cached.get(kind, 0)))
    table.add_section()
    table.add_row("all", str(sum(preview.pending.values())), str(sum(preview.cached.values())))
    console().print(table)
    planned = [cell for cell in preview.cells if not cell.skip]
    pending, total = preview.pending_network_evaluations, preview.network_evaluations
    lines = [
        f"network evaluations: {pending:,} to run of {total:,} (images)",
        f"training iterations: {preview.train_iterations:,} to run",
        *([f"features: {format_size(preview.features_size)} to write into the cache"] if preview.features_size else []),
        *(f"not the paper's protocol: {text}" for text in find_all_differences(grid, registry)),
        f"cells: {len(planned)}",
    ]
    for role in ROLES:
        rows = dict.fromkeys(plan.names[cell.key] for cell in planned if cell.cell.role == role)
        lines += [f"rows, {role}: {', '.join(rows)}"] if rows else []
    skipped = Counter(cell.skip for cell in preview.cells if cell.skip)
    lines += [f"skipped: {count} cells: {reason}" for reason, count in skipped.items()]
    console().print("\n".join(lines), markup=False)
