"""A finished comparison, opened again: its Grid, its Plan, and what the cache still holds of its work."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from benchkit.api import Plugin
from benchkit.config.grid import Grid
from benchkit.diffusion import checkpoint
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.planning.plan_file import PluginSource, plan_from_bytes
from benchkit.plugin.registry import Registry
from benchkit.report.names import Labels
from benchkit.runs.find_run import open_results
from benchkit.runs.run import RunLocations, find_model, make_plan
from benchkit.search.ablation import make_ablation
from benchkit.search.variants import Axis
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Model, Stage
from benchkit.stages.train import Train
from benchkit.store.opening import open_store
from benchkit.store.pins import read_plan
from benchkit.store.results import CellInfo, RunInfo

P = TypeVar("P", bound=Plugin)
#: Keys of a run's record beside those of its Grid.
_BESIDE = ("paper", "shown", "remarks", "vary", "crossed")
_STILL = "the board, exports, and figures 4, 5, 7 and 8 need no plugin"


@dataclass(frozen=True)
class RowQuery:
    """Which row of a run; None means the run's first. row, selector, detector: a full text or a bare name."""

    row: str | None = None
    selector: str | None = None
    detector: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class FinishedRun:
    """One run of `compare` or `ablate`, as it was computed.

    grid: for an ablation, its base. states: cell key -> how the cell ended. sources: (kind, name) -> origin of a
    plugin; None for a run of an early version, whose plan is made again.
    """

    info: RunInfo
    grid: Grid
    plan: Plan
    env: Env
    states: Mapping[str, CellInfo]
    sources: Mapping[tuple[str, str], PluginSource] | None = None

    @classmethod
    def open(cls, name: str, locations: RunLocations, registry: Registry, device: str = "cpu") -> FinishedRun:
        """Open a run by its id, the start of its id, or its output folder; compute nothing.

        Its plugins, datasets and checkpoints need not be installed, since its plan was kept. Raises BenchkitError if
        there is no such run, or if it is of another version.
        """
        results = open_results(locations, name)
        run = results.find_run(name)
        info = next(one for one in results.runs() if one.id == run)
        grid = parse_record(info.config, f"run {run}")
        states = {cell.key: cell for cell in results.cells(run)}
        env = Env(registry, open_store(locations.cache, create=False), device)
        data = read_plan(locations.cache, run)
        if data is None:
            return cls(info, grid, _plan(info, grid, registry), env, states)
        try:
            kept = plan_from_bytes(data)
        except BenchkitError as error:
            raise BenchkitError(f"run {run}: {error}: {_again(info)}") from None
        return cls(info, grid, kept.plan, env, states, kept.sources)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.info.id

    def model(self, planned: PlannedCell) -> Model:
        """Return the checkpoint of a cell's images, which a variant may replace; the grid's if the cell has none."""
        if planned.model:
            return planned.model
        others = (getattr(stage, "model", None) for stage in self.plan.stages)
        return next((own for own in others if isinstance(own, Model)), None) or find_model(self.grid)

    def identity(self, spec: Spec) -> str:
        """Return the identity of a plugin in this run; see Registry.identity."""
        for stage in self.plan.stages:
            if spec in stage.specs and isinstance(own := getattr(stage, "identity", None), str):
                return own
        # No stage ran its code (an inverter with 0 steps, a round trip): its source identifies it as well.
        before = (self.sources or {}).get((spec.kind, spec.name))
        return self.env.registry.identity(spec) if before is None else before.source

    def plugin(self, spec: Spec, base: type[P]) -> P:
        """Return the live plugin of one of the run's Specs, to run its code again.

        Raises BenchkitError if it is missing, or has changed since the run.
        """
        registry, before = self.env.registry, (self.sources or {}).get((spec.kind, spec.name))
        had = f"the run had it from {before}" if before else "the run's record does not say where it had it from"
        what = f"run {self.id}: {spec.kind} '{spec.name}'"
        if not registry.has(spec.kind, spec.name):
            broken = registry.find_skipped(spec.name, spec.kind)
            reason = f"was skipped ({broken.origin}): {broken.reason}" if broken else "is missing"
            load = (
                f"; load it with `plugins` {shlex.quote(before.file)}"
                if before and before.is_file and before.file
                else ""
            )
            raise BenchkitError(f"{what} {reason}; {had}{load}; {_STILL}")
        if before and registry.identity(spec) != self.identity(spec):
            now = PluginSource.of(registry.entry(spec.kind, spec.name))
            raise BenchkitError(
                f"{what} has changed since: {had}; here it is {now}; use the one it had, or {self._remedy}; {_STILL}"
            )
        return registry.make(spec, base)

    def check_model(self, model: Model) -> None:
        """Raise BenchkitError if the checkpoint is missing, or has changed since the run."""
        found = checkpoint.find(model.location)
        if found.identity != model.identity:
            raise BenchkitError(
                f"run {self.id}: checkpoint '{model.location}' has changed since (sha256 {model.identity[:12]} then, "
                f"{found.identity[:12]} now): use the one it had, or {self._remedy}"
            )

    def name(self, planned: PlannedCell) -> str:
        """Return the printed name of a cell's row."""
        return self.plan.names[planned.key]

    def trained(self) -> tuple[PlannedCell, ...]:
        """Return the cells that have a trained network, in the board's order."""
        return tuple(p for p in self.plan.cells if p.train)

    def corrupted(self) -> tuple[PlannedCell, ...]:
        """Return the trained cells whose training set consists of corrupted images only."""
        return tuple(p for p in self.trained() if p.cell.role == "corrupted")

    def is_done(self, planned: PlannedCell) -> bool:
        """Return whether this run finished the cell, with the keys that its stages have today."""
        state = self.states.get(planned.key)
        return state is not None and state.state == "done"

    def find_cell(self, query: RowQuery, among: Sequence[PlannedCell] | None = None) -> PlannedCell:
        """Return the first cell that matches the query, of `among` or of all trained cells.

        Raises BenchkitError, with the nearest name, if none matches, and for a cell that failed or whose stages have
        other keys today.
        """
        left = list(self.trained() if among is None else among)
        if not left:
            rows = ", ".join(dict.fromkeys(self.plan.names.values()))
            raise BenchkitError(f"run {self.id} has no row of that kind: {rows or 'no row at all'}")
        for kind, text in (("row", query.row), ("selector", query.selector), ("detector", query.detector)):
            if text is not None:
                left = self._named(kind, text, left)
        seeds = {p.cell.seed for p in left}
        if query.seed is not None and query.seed not in seeds:
            raise BenchkitError(f"run {self.id} has no seed {query.seed}: it has {', '.join(map(str, sorted(seeds)))}")
        found = next(p for p in left if query.seed in (None, p.cell.seed))
        self._check(found)
        return found

    def require(self, stages: Iterable[Stage], row: str) -> None:
        """Raise BenchkitError unless the cache holds the results of these stages."""
        gone = [stage for stage in stages if not self.env.store.has(stage.key)]
        if gone:
            raise BenchkitError(
                f"run {self.id}, row '{row}': {len(gone)} of its artifacts ({gone[0].describe()} ...) are not in the "
                f"cache {self.env.store.location} any more: {self._remedy}"
            )

    @property
    def _remedy(self) -> str:
        return _again(self.info)

    def _check(self, planned: PlannedCell) -> None:
        state = self.states.get(planned.key)
        if state is None:
            changed = "; ".join(_changes(self.info, self.env.registry)) or "its checkpoint or the data it reads"
            raise BenchkitError(
                f"run {self.id}: the work of row '{self.name(planned)}' has changed since ({changed}): {self._remedy}"
            )
        if state.state != "done":
            reason = f" ({state.reason})" if state.reason else ""
            raise BenchkitError(f"run {self.id}: row '{self.name(planned)}' is {state.state}{reason}: {self._remedy}")

    def _named(self, kind: str, text: str, cells: Sequence[PlannedCell]) -> list[PlannedCell]:
        names = [self._names(kind, planned) for planned in cells]
        specs = (_spec(kind, planned) for planned in cells)
        completed = {str(spec) for spec in specs if spec is not None and _means(text, spec)}
        for same in (
            lambda one: text in (one.shown, one.full) or one.full in completed,
            lambda one: one.bare == text,
        ):
            matches = {one for one in names if one is not None and same(one)}
            if len(matches) > 1:
                several = " or ".join(sorted(one.shown for one in matches))
                raise BenchkitError(f"run {self.id}: {kind} '{text}' may mean {several}: choose one")
            if matches:
                return [p for p, one in zip(cells, names, strict=True) if one in matches]
        skipped = [p.skip for p in self.plan.cells if p.skip and text in (self._names(kind, p) or ())]
        if skipped:
            raise BenchkitError(f"run {self.id}: {kind} '{text}' was skipped: {skipped[0]}")
        unknown = UnknownNameError(kind, text, {one.shown for one in names if one is not None})
        raise BenchkitError(f"run {self.id}: {unknown}")

    def _names(self, kind: str, planned: PlannedCell) -> _Names | None:
        """Return the texts that name a cell's row, selector or detector; None if it has none."""
        if kind == "row":
            name = self.name(planned)
            return _Names(name, name, Labels.of(planned.cell).bare)
        spec = _spec(kind, planned)
        return None if spec is None else _Names(spec.short, str(spec), spec.name)


class _Names(NamedTuple):
    """Texts that name one thing. shown: as printed. full: with every default. bare: without parameters."""

    shown: str
    full: str
    bare: str


def train_of(planned: PlannedCell) -> Train:
    """Return the training stage of a trained cell."""
    assert planned.train is not None
    return planned.train


def _spec(kind: str, planned: PlannedCell) -> Spec | None:
    if kind == "row":
        return None
    return planned.cell.detector if kind == "detector" else planned.cell.training.selector


def _means(text: str, spec: Spec) -> bool:
    """Return whether a text means a complete Spec: parameters missing in the text have their defaults."""
    try:
        given = Spec.parse(spec.kind, text)
    except BenchkitError:
        return False
    left = {key: value for key, value in spec.values.items() if key not in given.values}
    kept = {key: value for key, value in spec.values.items() if key in given.values}
    return given.name == spec.name and kept == given.values and spec.defaults.issuperset(left)


def _again(info: RunInfo) -> str:
    command = "ablate" if info.config.get("vary") else "compare"
    return f"run 'benchkit {command}' again with the same settings"


def _changes(info: RunInfo, registry: Registry) -> Iterator[str]:
    """Yield the plugins of a run's record that are missing now or have changed."""
    plugins: Mapping[str, Mapping[str, str]] = info.environment.get("plugins") or {}
    for key, facts in plugins.items():
        kind, _, name = key.partition(" ")
        then = f"{facts.get('origin')}, sha256 {str(facts.get('source'))[:12]} then"
        if not registry.has(kind, name):
            yield f"{kind} '{name}' ({then}) is missing"
        elif (entry := registry.entry(kind, name)).source_hash != facts.get("source"):
            yield f"{kind} '{name}' ({then}; {entry.origin}, sha256 {entry.source_hash[:12]} now)"


def parse_record(config: Mapping[str, Any], what: str) -> Grid:
    """Return the Grid of a run's record; raise BenchkitError, beginning with `what`, if this version cannot read it."""
    try:
        return Grid.model_validate({key: value for key, value in config.items() if key not in _BESIDE})
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise BenchkitError(
            f"{what} is not a comparison of this version ({where}: {error.errors()[0]['msg']}): name a run of "
            "'benchkit compare' or 'benchkit ablate'"
        ) from None


def _plan(info: RunInfo, grid: Grid, registry: Registry) -> Plan:
    """Return the plan of a comparison, or of an ablation, whose record names what was varied."""
    vary = info.config.get("vary")
    if not vary:
        return make_plan(grid, registry)
    axes = [Axis(name, tuple(values)) for name, values in vary.items()]
    return make_ablation(grid, axes, registry, bool(info.config.get("crossed"))).plan
