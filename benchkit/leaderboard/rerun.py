"""Choose cells of a submission, and plan them again from their Specs and the grid alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.leaderboard.submission import Submission
from benchkit.outputs.finished_run import parse_record
from benchkit.planning.plan import PlannedCell
from benchkit.planning.planner import Planner
from benchkit.plugin.registry import Registry
from benchkit.report.format_values import known
from benchkit.runs.run import find_model
from benchkit.specs.spec import Spec

Row = Mapping[str, Any]


class CannotRun(BenchkitError):
    """A cell cannot be computed here; the message says why."""


def choose_cells(submission: Submission, digest: str, number: int, salt: str = "") -> list[Row]:
    """Return `number` finished rows, or all if there are fewer: those whose sha256(digest salt cell) is smallest.

    digest: that of the submission's files. So neither the submitter nor the person who verifies chooses. Rows without a
    trained detector are chosen only where there are no others.
    """
    rows = [{str(name): value for name, value in row.items()} for row in submission.rows.to_dict("records")]
    done: list[Row] = [row for row in rows if row["state"] == "done"]
    trained = [row for row in done if row["role"] != "trivial"]

    def place(row: Row) -> str:
        return hashlib.sha256(f"{digest} {salt} {row['cell']}".encode()).hexdigest()

    return sorted(trained or done, key=place)[:number]


def redirect_datasets(submission: Submission, datasets: Sequence[Spec]) -> Submission:
    """Return a submission whose grid names its datasets as they lie here; only their fingerprint is part of a key.

    datasets: name and the parameters that are other ones here, such as `root`. Raises BenchkitError for a dataset that
    the submission does not use.
    """
    here = {spec.name: spec.values for spec in datasets}
    facts, used = submission.facts, set()

    def move(text: str) -> str:
        spec = Spec.parse("dataset", text)
        if spec.name not in here:
            return text
        used.add(spec.name)
        return str(Spec.of("dataset", spec.name, **{**spec.values, **here[spec.name]}))

    def walk(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: move(v) if k == "dataset" and isinstance(v, str) else walk(v) for k, v in value.items()}
        return [*map(walk, value)] if isinstance(value, list) else value

    grid = walk(facts.grid)
    found = {move(text): fingerprint for text, fingerprint in (facts.environment.get("datasets") or {}).items()}
    if unknown := sorted(here.keys() - used):
        raise BenchkitError(f"{submission.where}: it does not use the dataset '{unknown[0]}'")
    environment = {**facts.environment, "datasets": found}
    return replace(submission, facts=facts.model_copy(update={"grid": grid, "environment": environment}))


def plan_cell(
    submission: Submission, row: Row, registry: Registry, location: str | None = None
) -> tuple[Grid, PlannedCell]:
    """Return the part of the grid that has this row, and its planned cell; raise CannotRun if it is other work here.

    location: of the checkpoint, if not that of the grid.
    """
    for obstacle in _find_obstacles(submission, row, registry):
        raise CannotRun(obstacle)
    try:
        grid = narrow_grid(submission.facts.grid, row, registry)
        grid = grid if location is None else grid.replaced(model=location)
        model = find_model(grid)
        if known(row["checkpoint_sha256"]) and model.identity != row["checkpoint_sha256"]:
            raise CannotRun(
                f"the checkpoint '{grid.model}' is another one here (sha256 {str(row['checkpoint_sha256'])[:12]} in "
                f"the submission, {model.identity[:12]} here)"
            )
        cells = Planner(grid, registry, model).plan().cells
    except CannotRun:
        raise
    except BenchkitError as error:
        raise CannotRun(str(error)) from None
    for planned in cells:
        if planned.key == row["cell"]:
            return grid, planned
    skipped = [planned.skip for planned in cells if planned.skip]
    raise CannotRun(skipped[0] if skipped else _describe_other_version(submission))


def narrow_grid(record: Mapping[str, Any], row: Row, registry: Registry) -> Grid:
    """Return the part of a run's grid that plans a row: its role, detector, selector, inverter, source and seed.

    All corruptors of the row's name stay. No other row changes a cell's key.
    """
    grid, role = parse_record(record, "the submission"), row["role"]
    own = own_corruptors(grid, row)
    changes: dict[str, Any] = {
        "baselines": [role] if role in ("human", "pseudo", "oracle") else [],
        "trivial": [row["method"]] if role == "trivial" else [],
        "corruptors": own if role == "corrupted" else [],
        "with_human": own if role == "mixed" else [],
        "selectors": [row["selector"]] if known(row["selector"]) else [],
        "seeds": [row["seed"]],
    }
    if known(row["detector"]):
        changes["detectors"] = [row["detector"]]
    if known(row["inverter"]):
        changes |= {"inverter": row["inverter"], "inverters": []}
    if known(row["source_name"]) and grid.sources:
        sources = [source for source in grid.sources if source.title == row["source_name"]]
        changes["sources"] = [source.model_dump(mode="json") for source in sources]
    settings = grid.as_data().get("on_detector") or {}
    changes["on_detector"] = {
        name: {key: value for key, value in values.items() if key != "seeds"}
        for name, values in settings.items()
        if registry.has("detector", Spec.parse("detector", name).name)
    }
    return grid.replaced(**changes)


def own_corruptors(grid: Grid, row: Row) -> list[str]:
    """Return the grid's corruptors of the name of a row's corruptor."""
    name = row["corruptor"]
    return [str(spec) for spec in dict.fromkeys((*grid.corruptors, *grid.with_human)) if spec.name == name]


def _find_obstacles(submission: Submission, row: Row, registry: Registry) -> Iterator[str]:
    """Yield why a row's plugins and datasets are not here as the submission had them."""
    environment = submission.facts.environment
    uses = str(row["uses"]).split("; ") if known(row["uses"]) else []
    for name in uses:
        kind, _, plugin = name.partition(" ")
        if not registry.has(kind, plugin):
            broken, link = registry.find_skipped(plugin, kind), submission.facts.sources.get(name)
            where = f"; the submission names {link}" if link else ""
            yield (
                f"the plugin '{name}' was skipped: {broken.reason}"
                if broken
                else f"the plugin '{name}' is missing{where}"
            )
            return
        then, here = environment["plugins"][name]["source"], registry.entry(kind, plugin).source_hash
        if kind != "dataset" and then != here:
            yield f"the plugin '{name}' has another source here (sha256 {then[:12]} submitted, {here[:12]} here)"
    for text, fingerprint in (environment.get("datasets") or {}).items():
        spec = Spec.parse("dataset", text)
        if f"dataset {spec.name}" not in uses:
            continue
        try:
            here = registry.dataset(registry.complete(spec)).fingerprint()
        except BenchkitError as error:
            yield f"the dataset '{spec.short}' is not here: {error}"
            return
        if here != fingerprint:
            yield (
                f"the dataset '{spec.short}' has another content here (fingerprint {str(fingerprint)[:12]} in the "
                f"submission, {here[:12]} here)"
            )


def _describe_other_version(submission: Submission) -> str:
    environment = submission.facts.environment
    version = (environment.get("packages") or {}).get("artifact-benchkit") or "unknown"
    commit = str((environment.get("git") or {}).get("commit") or "unknown")[:12]
    return (
        f"this version of benchkit plans other work for this row: use the submission's (version {version}, commit "
        f"{commit}); if it plans the same there, the cell's key is invented"
    )
