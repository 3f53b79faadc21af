"""A comparison that has run, opened again: its Grid, its Plan, and what the cache still holds of its work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from benchkit.ablate import make_ablation
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.grid import Budget, Grid
from benchkit.plan import Plan, PlannedCell
from benchkit.registry import Registry
from benchkit.run import RESULTS, Places, make_plan, model_of
from benchkit.specs import Corrupted, Spec
from benchkit.stages.base import Env, Model, Stage
from benchkit.stages.train import Train
from benchkit.store.location import local_folder
from benchkit.store.opening import open_store
from benchkit.store.results import CellInfo, ResultStore, RunInfo
from benchkit.variants import Axis

T = TypeVar("T")
#: What a run's record says beside its Grid: what stands beside the paper's figures, and what an ablation varied.
_BESIDE = ("paper", "vary", "crossed")


@dataclass(frozen=True)
class Wanted:
    """Which of a run's rows; what is None is the run's first. row, selector, detector: by full text or bare name."""

    row: str | None = None
    selector: str | None = None
    detector: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class FinishedRun:
    """One run of `compare` or `ablate`. grid: an ablation's base. states: cell key -> how the cell ended."""

    info: RunInfo
    grid: Grid
    plan: Plan
    env: Env
    states: Mapping[str, CellInfo]

    @classmethod
    def open(cls, name: str, places: Places, registry: Registry, device: str = "cpu") -> FinishedRun:
        """The run meant by its id, the unique start of one, or its --out folder; nothing is computed.

        Raises BenchkitError: no such run, one of another version, a checkpoint or plugin that is gone.
        """
        file = local_folder(places.cache) / RESULTS
        if places.results is None and not file.is_file():
            raise BenchkitError(f"no run '{name}': there are no runs yet in {file} (--cache names another cache)")
        results = ResultStore(places.results or file, create=False)
        run = results.find_run(name)
        info = next(one for one in results.runs() if one.id == run)
        grid = _grid(info)
        states = {cell.key: cell for cell in results.cells(run)}
        env = Env(registry, open_store(places.cache, create=False), device)
        return cls(info, grid, _plan(info, grid, registry), env, states)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.info.id

    def model(self, planned: PlannedCell) -> Model:
        """The checkpoint of a cell's images, which a variant may have replaced; the grid's where none passed any."""
        waiting: list[Stage] = [train_of(planned)]
        while waiting:
            stage = waiting.pop()
            own = getattr(stage, "model", None)
            if isinstance(own, Model):
                return own
            waiting.extend(stage.inputs)
        return model_of(self.grid)

    def trained(self) -> tuple[PlannedCell, ...]:
        """The cells that a network was trained for, in the board's order."""
        return tuple(p for p in self.plan.cells if p.evaluate and isinstance(p.evaluate.predictor, Train))

    def corrupted(self) -> tuple[PlannedCell, ...]:
        """Those whose training set is corrupted images and nothing else."""
        return tuple(p for p in self.trained() if isinstance(p.cell.training, Corrupted))

    def is_done(self, planned: PlannedCell) -> bool:
        """Whether this run finished the cell, and its work has the same keys today."""
        state = self.states.get(planned.key)
        return state is not None and state.state == "done"

    def cell(self, wanted: Wanted, among: Sequence[PlannedCell] | None = None) -> PlannedCell:
        """The first cell that answers to `wanted`, of `among` or of all trained ones.

        Raises BenchkitError naming the nearest row, selector, detector or the seeds there are, and for a cell that
        failed or whose work has other keys today.
        """
        left = list(self.trained() if among is None else among)
        if not left:
            raise BenchkitError(f"run {self.id} has no row of that kind: {', '.join(self._reasons()) or 'none at all'}")
        for kind, text in (("row", wanted.row), ("selector", wanted.selector), ("detector", wanted.detector)):
            if text is not None:
                left = self._named(kind, text, left)
        seeds = {p.cell.seed for p in left}
        if wanted.seed is not None and wanted.seed not in seeds:
            raise BenchkitError(f"run {self.id} has no seed {wanted.seed}: it has {', '.join(map(str, sorted(seeds)))}")
        found = next(p for p in left if wanted.seed in (None, p.cell.seed))
        self._check(found)
        return found

    def require(self, stages: Iterable[Stage], row: str) -> None:
        """Raise BenchkitError unless the cache holds what these stages left."""
        gone = [stage for stage in stages if not self.env.store.has(stage.key)]
        if gone:
            raise BenchkitError(
                f"run {self.id}, row '{row}': {len(gone)} of its artifacts ({gone[0].describe()} ...) are not in the "
                f"cache {self.env.store.location} any more: {self._remedy}"
            )

    @property
    def _remedy(self) -> str:
        command = "ablate" if self.info.config.get("vary") else "compare"
        return f"run 'benchkit {command}' again with the same settings"

    def _check(self, planned: PlannedCell) -> None:
        state = self.states.get(planned.key)
        if state is None:
            raise BenchkitError(
                f"run {self.id}: what row '{planned.cell.row}' rests on (plugin, dataset or checkpoint) has changed "
                f"since: {self._remedy}"
            )
        if state.state != "done":
            reason = f" ({state.reason})" if state.reason else ""
            raise BenchkitError(f"run {self.id}: row '{planned.cell.row}' is {state.state}{reason}: {self._remedy}")

    def _named(self, kind: str, text: str, cells: Sequence[PlannedCell]) -> list[PlannedCell]:
        names = [_name(kind, planned) for planned in cells]
        completed = text
        if kind != "row":
            with suppress(BenchkitError):  # no such plugin at all: the names of the run say more
                completed = str(self.env.registry.complete(Spec.parse(kind, text)))
        for same in (lambda name: name in (text, completed), lambda name: name.partition(":")[0] == text):
            matches = {name for name in names if name is not None and same(name)}
            if len(matches) > 1:
                raise BenchkitError(f"run {self.id}: {kind} '{text}' may be {' or '.join(sorted(matches))}: name one")
            if matches:
                return [p for p, name in zip(cells, names, strict=True) if name in matches]
        skipped = [p.skip for p in self.plan.cells if p.skip and _name(kind, p) == text]
        if skipped:
            raise BenchkitError(f"run {self.id}: {kind} '{text}' was skipped: {skipped[0]}")
        unknown = UnknownNameError(kind, text, {name for name in names if name is not None})
        raise BenchkitError(f"run {self.id}: {unknown}")

    def _reasons(self) -> list[str]:
        return list(dict.fromkeys(p.cell.row for p in self.plan.cells))


def train_of(planned: PlannedCell) -> Train:
    """The training stage of a trained cell."""
    assert planned.evaluate is not None
    assert isinstance(planned.evaluate.predictor, Train)
    return planned.evaluate.predictor


def selector_of(planned: PlannedCell) -> Spec | None:
    """The selector of the cell's last part that has one, as the board shows it."""
    training = planned.cell.training
    parts = getattr(training, "parts", (training,))
    return getattr(parts[-1], "selector", None)


def _name(kind: str, planned: PlannedCell) -> str | None:
    if kind == "row":
        return planned.cell.row
    spec = planned.cell.detector if kind == "detector" else selector_of(planned)
    return None if spec is None else str(spec)


def _grid(info: RunInfo) -> Grid:
    """The Grid of a run's record, in which trainings stand with settings that no grid can name."""
    config = {key: value for key, value in info.config.items() if key not in _BESIDE}
    for name in ("training", "selector_training"):
        budget = config.get(name)
        if isinstance(budget, Mapping):
            config[name] = {key: value for key, value in budget.items() if key in Budget.model_fields}
    try:
        return Grid.model_validate(config)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise BenchkitError(
            f"run {info.id} is no comparison of this version ({where}: {error.errors()[0]['msg']}): name a run of "
            "'benchkit compare' or 'benchkit ablate'"
        ) from None


def _plan(info: RunInfo, grid: Grid, registry: Registry) -> Plan:
    """The plan of a comparison, or of an ablation, whose record says what was varied."""
    vary = info.config.get("vary")
    if not vary:
        return make_plan(grid, registry)
    axes = [Axis(name, tuple(values)) for name, values in vary.items()]
    return make_ablation(grid, axes, registry, bool(info.config.get("crossed"))).plan
