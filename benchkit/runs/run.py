"""Run a comparison: from a grid to rows, report and run record. This module connects all packages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.api import BenchkitError
from benchkit.config.grid import Grid
from benchkit.config.overrides import apply_seeds
from benchkit.diffusion import checkpoint
from benchkit.executors.batch import Executor, StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.repair_artifacts import read_repaired
from benchkit.planning.cells import list_repeated_rows
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.estimate import check_room
from benchkit.planning.frozen_detectors import list_unused_settings
from benchkit.planning.image_sets import read_remarks
from benchkit.planning.look_plan import check_rows_to_compare, find_look_rule
from benchkit.planning.paper_protocol import to_record
from benchkit.planning.plan import Plan
from benchkit.planning.planner import Planner
from benchkit.planning.preflight.check_grids import check_grids, check_images
from benchkit.planning.preflight.device_checks import check_precisions, check_sampling
from benchkit.planning.preflight.remarks import find_unlike_checkpoint
from benchkit.plugin.registry import Registry
from benchkit.report.ablation import AblationBoard
from benchkit.report.board import Board
from benchkit.report.run_data import Example, RunData
from benchkit.runs.cell_recorder import list_plugins, map_short_texts
from benchkit.runs.execution import RunExecution, load_run_data
from benchkit.runs.masked_resampling_check import check_masked_parity
from benchkit.runs.next_look import describe_looks
from benchkit.runs.precision_check import check_parity
from benchkit.runs.provenance import describe_environment
from benchkit.runs.run_folder import LOG, RunFolder
from benchkit.specs.faults import Collector
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Model
from benchkit.stages.corrupt import AnyCorrupt
from benchkit.stages.images import Images
from benchkit.stages.pairs import CorruptedPairs
from benchkit.store.artifacts import ArtifactStore, CacheUnwritable, get_default_cache
from benchkit.store.location import Location, get_local_folder
from benchkit.store.opening import open_store
from benchkit.store.results import ResultStore

if TYPE_CHECKING:
    from benchkit.diffusion.backend import DiffusionBackend

_log = logging.getLogger(__name__)

GALLERY_IMAGES = 6
RESULTS = "results.sqlite"


@dataclass(frozen=True)
class RunLocations:
    """Where a run is stored.

    cache: artifacts and, unless `results` names another database, rows (for a cache behind a URL: in its folder of
    copies). out: the report.
    """

    out: Path | None = None
    cache: Location = field(default_factory=get_default_cache)
    results: str | None = None

    def artifacts(self) -> ArtifactStore:
        return open_store(self.cache)

    def result_store(self) -> ResultStore:
        return ResultStore(self.results or get_local_folder(self.cache) / RESULTS)


@dataclass(frozen=True)
class RunOptions:
    """How to run a comparison. No result depends on these, except its last bits on the device.

    executor: runs the stages; by default this process, one after another. report: called with every stage's result.
    progress: called with a line for each step. retry_failed: try again what failed in the same run. force: replace
    another run's report, or other files, in the output folder. loaded: see `benchkit.stages.base.Env`.
    """

    device: str = "cpu"
    executor: Executor = field(default_factory=Inline)
    report: Callable[[StageResult], None] = lambda _: None
    progress: Callable[[str], None] = lambda _: None
    retry_failed: bool = False
    force: bool = False
    loaded: DiffusionBackend | None = None


@dataclass(frozen=True)
class Outcome:
    """The outcome of a comparison.

    stages: how many were run, cached, failed, skipped. failures: reasons of stages that failed now. earlier: reasons of
    cells that failed in this run before and were not tried again. log: file of the tracebacks, if any.
    skipped_plugins: plugins that cannot be used, with the reason; the cells that need them were skipped.
    """

    run: str
    board: Board
    stages: Mapping[str, int]
    seconds: float
    failures: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    log: Path | None = None
    skipped_plugins: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as plain data, for JSON."""
        rows = self.board.rows()
        return {"run": self.run, "board": rows, "stages": dict(self.stages), "seconds": round(self.seconds, 3)}


def find_model(grid: Grid) -> Model:
    """Find and identify the grid's checkpoint; raise BenchkitError if it cannot be used."""
    if "auto" in (grid.sampling.precision, grid.sampling.chunk):
        raise BenchkitError("sampling is auto, which is settled for a comparison as a whole: name the values to vary")
    found = checkpoint.find(grid.model)
    location = checkpoint.pin_revision(grid.model, found)
    return Model.of(location, found.identity, grid.num_inference_steps, grid.sampling.precision)


def make_plan(grid: Grid, registry: Registry) -> Plan:
    """Return the plan of a grid; raise BenchkitError with every fault in the grid, before anything is computed.

    With `until_resolved` every row has all seeds that it may get.
    """
    faults = Collector()
    with faults.collecting():
        grid = add_all_seeds(grid, registry)
    with faults.collecting():
        check_grids([("", grid)], registry)
    faults.check()
    warn_repeated(grid, registry)
    plan = Planner(grid, registry, find_model(grid)).plan()
    if grid.until_resolved is not None:
        check_rows_to_compare(plan)
    return plan


def add_all_seeds(grid: Grid, registry: Registry) -> Grid:
    """Return the grid with all seeds that its rows may get; see `find_look_rule`."""
    rule = find_look_rule(grid, registry)
    return grid if rule is None else apply_seeds(grid, rule.seeds)


def warn_repeated(grid: Grid, registry: Registry) -> None:
    """Log what a grid lists twice; it is run once."""
    for text in list_repeated_rows(grid, registry):
        _log.warning("%s", text, extra={"tell": True})


def compare(grid: Grid, registry: Registry, locations: RunLocations, options: RunOptions) -> Outcome:
    """Run the stages of a grid that are not in the cache, store its rows, write its report.

    A finished stage is never computed again. If a stage fails, only its own cells fail. In the same run (the same grid
    and `locations.out`) those cells stay failed unless `options.retry_failed` is set. With the grid's `until_resolved`
    only rows with unresolved pairs get more seeds, see `benchkit.statistics.looks`. Raises BenchkitError, before
    anything is computed, for faults in the grid or locations that cannot be written, and CacheUnwritable when the disk
    is full; finished stages stay in the cache.
    """
    plan = prepare(grid, registry, locations, options.progress, options.device)
    return execute(plan, add_remarks(to_record(grid, registry), grid, registry), registry, locations, options)


def add_remarks(config: Mapping[str, Any], grid: Grid, registry: Registry) -> dict[str, Any]:
    """Return a run's description with the remarks that its board shows about images and checkpoint."""
    remarks = find_unlike_checkpoint(grid, registry)
    return {**config, **({"remarks": list(remarks)} if remarks else {})}


def prepare(
    grid: Grid,
    registry: Registry,
    locations: RunLocations,
    progress: Callable[[str], None] = lambda _: None,
    device: str = "auto",
) -> Plan:
    """Plan a grid and check its images; raise BenchkitError with every fault that can be known before work."""
    plan = make_plan(grid, registry)
    if rule := find_look_rule(grid, registry):
        _log.warning("%s", describe_looks(rule), extra={"tell": "note"})
    check_pending([("", add_all_seeds(grid, registry))], plan, registry, locations, progress, device)
    return plan


def check_pending(
    grids: Sequence[tuple[str, Grid]],
    plan: Plan,
    registry: Registry,
    locations: RunLocations,
    progress: Callable[[str], None] = lambda _: None,
    device: str = "auto",
) -> None:
    """Raise FaultsError for faulty images of grids, unless every row of their plan is finished.

    The same for a precision that the device does not have, and a chunk that its memory cannot hold.

    Raise BenchkitError where what the run writes does not fit onto the cache's disk. Also log the remarks on datasets
    and checkpoint.
    """
    log_remarks([grid for _, grid in grids], registry)
    store = open_store(locations.cache, create=False)
    if not all(map(store.has, {stage.key for planned in plan.cells for stage in planned.stages})):
        faults = Collector()
        with faults.collecting():
            check_images(grids, registry, progress)
        with faults.collecting():
            check_precisions(grids, registry, device)
        with faults.collecting():
            check_sampling(grids, registry, device)
        faults.check()
        pending = [stage for stage in plan.stages if not store.has(stage.key)]
        check_room(pending, registry, get_local_folder(locations.cache))


def log_remarks(grids: Sequence[Grid], registry: Registry) -> None:
    """Log the remarks on datasets and checkpoints of grids as notes, each once."""
    for text in dict.fromkeys(text for grid in grids for text in _remarks(grid, registry)):
        _log.warning("%s", text, extra={"tell": "note"})


def _remarks(grid: Grid, registry: Registry) -> Iterator[str]:
    yield from read_remarks(grid, registry)
    if unused := DetectorSettings(grid, registry).unused():
        yield f"on_detector has no effect for {' and '.join(unused)}: no row trains such a detector"
    yield from list_unused_settings(grid, registry)
    yield from find_unlike_checkpoint(grid, registry)


def execute(
    plan: Plan,
    config: Mapping[str, Any],
    registry: Registry,
    locations: RunLocations,
    options: RunOptions,
    ablation: Callable[[RunData], AblationBoard] | None = None,
) -> Outcome:
    """Run the stages of a plan that are not in the cache and report them as one run. Otherwise as `compare`.

    config: the run's description. With `until_resolved` the plan is the largest one, and only the part that the looks
    need is run. ablation: returns the differences that the report of an ablation shows.
    """
    began = time.monotonic()
    options.executor.check()
    # Refuse before anything is made: neither an empty cache nor an empty output folder may stay behind.
    open_store(locations.cache, create=False)
    check_out(locations, config, options.force)
    elsewhere = locations.result_store() if locations.results else None
    env = Env(registry, locations.artifacts(), options.device, options.progress, options.loaded)
    check_parity(plan, env)
    check_masked_parity(plan, env)
    results = elsewhere or locations.result_store()
    config = {**config, "shown": map_short_texts(plan)}
    folder = None if locations.out is None else RunFolder(locations.out)
    used = _list_used_plugins(plan, registry)
    environment = describe_environment(registry, used, options.device)
    run = (folder and folder.run(results, config)) or results.create_run(config, environment)
    if folder is not None:
        folder.begin(run, locations.cache, locations.results and results.name)
    results.resume_run(run, environment, [planned.key for planned in plan.cells])
    execution = RunExecution(run, env, results, environment, options, used)
    with _record_status(results, run), _log_to_folder(locations.out):
        plan = execution.run(plan, config)
    skipped = execution.skipped or {}
    done = execution.ended.values()
    counts = {state: sum(d.state == state for d in done) for state in ("run", "cached", "failed", "skipped")}
    results.set_status(run, "failed" if counts["failed"] or skipped else "done")
    changed = bool(counts["run"] or counts["failed"])
    board = None if changed or folder is None else folder.board(run, [planned.key for planned in plan.cells])
    if board is None:
        shown = read_repaired(lambda: collect_gallery(plan, env), plan.stages, env)
        data = load_run_data(run, results, shown, config)
        board = Board.of(data) if folder is None else folder.report(data, ablation)
    failures = tuple(d.reason or "" for d in done if d.state == "failed")
    earlier = tuple(dict.fromkeys(reason or "" for reason in skipped.values()))
    return Outcome(
        run, board, counts, time.monotonic() - began, failures, earlier, locations.out and locations.out / LOG
    )


def check_out(locations: RunLocations, config: Mapping[str, Any], force: bool = False) -> None:
    """Raise BenchkitError unless a run of this description may write to `locations.out`; write nothing."""
    if locations.out is None:
        return
    results = None
    with suppress(BenchkitError):  # no results yet
        results = ResultStore(locations.results or get_local_folder(locations.cache) / RESULTS, create=False)
    RunFolder(locations.out).check(results, config, force)


@contextmanager
def _record_status(results: ResultStore, run: str) -> Iterator[None]:
    """Record that the run is running, and how it ended if it is interrupted."""
    results.set_status(run, "running")
    try:
        yield
    except KeyboardInterrupt:
        results.set_status(run, "interrupted")
        raise
    except CacheUnwritable as full:
        # If this cannot be written either, the run stays `running`, as after a kill.
        with suppress(BenchkitError):
            results.set_status(run, "interrupted")
        raise CacheUnwritable(f"{full}; finished stages are kept: run the same command again to resume") from full
    except BaseException:
        results.set_status(run, "failed")
        raise


@contextmanager
def _log_to_folder(out: Path | None) -> Iterator[None]:
    """Write benchkit's log, such as tracebacks of failed stages, to the run's output folder too."""
    if out is None:
        yield
        return
    handler = logging.FileHandler(out / LOG, encoding="utf-8", errors="backslashreplace", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"))
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: getattr(record, "tell", None) != "note")  # those are on the screen
    logger = logging.getLogger("benchkit")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _list_used_plugins(plan: Plan, registry: Registry) -> set[Spec]:
    """Return every plugin that a cell of the plan uses, with the parts of composite plugins."""
    cells = [planned.cell for planned in plan.cells]
    named = {spec for cell in cells for spec in cell.training.plugins()}
    whole = {part for spec in named for part in registry.with_parts(spec)}
    return whole.union(*(list_plugins(cell, registry) for cell in cells))


def collect_gallery(plan: Plan, env: Env) -> dict[str, tuple[Example, ...]]:
    """Return cell key -> a few images of every corrupted row and selector, of the first seed and detector."""
    found: dict[str, tuple[Example, ...]] = {}
    seen: set[tuple[str, str | None]] = set()
    for planned in plan.cells:
        pairs, selector = planned.train.pairs if planned.train else None, planned.cell.training.selector
        row = plan.names[planned.key], selector.short if selector else None
        if row in seen or not isinstance(pairs, CorruptedPairs):
            continue
        seen.add(row)
        shown: list[Example] = []
        for stage in pairs.chunks:
            if len(shown) < GALLERY_IMAGES and env.store.has(stage.key):
                shown += collect_examples(stage, env)
        found[planned.key] = tuple(shown[:GALLERY_IMAGES])
    return {key: shown for key, shown in found.items() if shown}


def collect_examples(stage: AnyCorrupt, env: Env) -> list[Example]:
    """Return every image of one finished chunk whose selection is not empty."""
    region = stage.region
    source: Images = region.select.images[region.chunk]
    before, after, ids = env.arrays(source)["images"], env.arrays(stage)["images"], env.meta(source)["ids"]
    masks = region.select.masks(env, region.rows)
    keep = np.flatnonzero(masks.any(axis=(1, 2)))
    return [Example(ids[i], before[i], after[i], masks[i]) for i in keep]
