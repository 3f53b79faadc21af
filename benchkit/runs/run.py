"""The composition root: from a grid to rows, report and run record; the one place that knows everyone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.api import BenchkitError
from benchkit.config.grid import Grid
from benchkit.diffusion import checkpoint
from benchkit.executors.batch import Executor, StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.repair import read_repaired
from benchkit.planning.cells import repeated
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.image_sets import remarks_of
from benchkit.planning.paper_protocol import recorded
from benchkit.planning.plan_file import PluginSource, plan_to_bytes
from benchkit.planning.planner import Plan, Planner
from benchkit.planning.preflight.check import check_grids, check_images
from benchkit.planning.preflight.remarks import unlike_checkpoint
from benchkit.plugin.registry import Registry
from benchkit.report.ablation import AblationBoard
from benchkit.report.board import Board
from benchkit.report.data import Example, RunData
from benchkit.report.names import named_rows
from benchkit.runs.provenance import describe_environment
from benchkit.runs.recorder import Recorder, list_plugins, make_cell_info, map_short_texts
from benchkit.runs.run_folder import LOG, RunFolder
from benchkit.specs.spec import CHUNK, Spec
from benchkit.stages.base import Env, Model
from benchkit.stages.corrupt import AnyCorrupt
from benchkit.stages.images import Images
from benchkit.stages.pairs import CorruptedPairs
from benchkit.store.artifacts import ArtifactStore, CacheUnwritable, get_default_cache
from benchkit.store.location import Location, get_local_folder
from benchkit.store.opening import open_store
from benchkit.store.pins import pin, write_plan
from benchkit.store.results import ResultStore

_log = logging.getLogger(__name__)

GALLERY_IMAGES = 6
RESULTS = "results.sqlite"


@dataclass(frozen=True)
class Places:
    """Where a run keeps things.

    cache: artifacts and, unless `results` names another database, rows (for a cache behind a URL: in its
    folder of copies). out: the report.
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
    """How a run goes about it; no result depends on these, but for the last bits that a device changes.

    executor: who runs the stages; by default this process, one after another. report: told of every stage that ended.
    progress: told what is being done. retry_failed: try again what failed in the same run. force: the output folder may
    show another run, or hold other files, which the report replaces.
    """

    device: str = "cpu"
    executor: Executor = field(default_factory=Inline)
    report: Callable[[StageResult], None] = lambda _: None
    progress: Callable[[str], None] = lambda _: None
    retry_failed: bool = False
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a comparison came to.

    stages: how many were run, cached, failed, skipped. failures: reasons, of stages that failed just now. earlier:
    reasons of cells that had failed in this run before and were not tried again. log: file of the tracebacks, if any.
    """

    run: str
    board: Board
    stages: Mapping[str, int]
    seconds: float
    failures: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    log: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as plain data, for JSON."""
        rows = self.board.rows()
        return {"run": self.run, "board": rows, "stages": dict(self.stages), "seconds": round(self.seconds, 3)}


def find_model(grid: Grid) -> Model:
    """The grid's checkpoint, found and identified; raises BenchkitError when it cannot be used."""
    found = checkpoint.find(grid.model)
    return Model.of(checkpoint.pinned(grid.model, found), found.identity, grid.num_inference_steps)


def make_plan(grid: Grid, registry: Registry) -> Plan:
    """The plan of a grid; raises BenchkitError with every mistake in it, before anything is computed."""
    check_grids([("", grid)], registry)
    warn_repeated(grid, registry)
    return Planner(grid, registry, find_model(grid)).plan()


def warn_repeated(grid: Grid, registry: Registry) -> None:
    """Log what a grid asks for twice, and is therefore run once."""
    for text in repeated(grid, registry):
        _log.warning("%s", text, extra={"tell": True})


def compare(grid: Grid, registry: Registry, places: Places, options: RunOptions) -> Outcome:
    """Run what a grid still lacks, store its rows, write its report.

    A finished stage is never computed again. A stage that fails takes its own cells with it and no other; in the same
    run (the same grid and `places.out`) those cells stay failed until `options.retry_failed` says to try them again.
    Raises BenchkitError, before anything is computed, for mistakes in the grid or places that cannot be written, and
    CacheUnwritable on the way where the disk is full; what is finished is kept.
    """
    plan = prepare(grid, registry, places, options.progress)
    return execute(plan, add_remarks(recorded(grid, registry), grid, registry), registry, places, options)


def add_remarks(config: Mapping[str, Any], grid: Grid, registry: Registry) -> dict[str, Any]:
    """A run's description with what its board must say of its images and its checkpoint."""
    remarks = unlike_checkpoint(grid, registry)
    return {**config, **({"remarks": list(remarks)} if remarks else {})}


def prepare(grid: Grid, registry: Registry, places: Places, progress: Callable[[str], None] = lambda _: None) -> Plan:
    """The plan of a grid whose images have been checked; raises BenchkitError with every fault that can be known."""
    plan = make_plan(grid, registry)
    check_pending([("", grid)], plan, registry, places, progress)
    return plan


def check_pending(
    grids: Sequence[tuple[str, Grid]],
    plan: Plan,
    registry: Registry,
    places: Places,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Raise FaultsError for faults of the images of grids, unless every row of their plan is finished.

    What is remarked on in datasets and checkpoint is told as a note.
    """
    log_remarks([grid for _, grid in grids], registry)
    store = open_store(places.cache, create=False)
    if not all(store.has(stage.key) for planned in plan.cells for stage in planned.stages):
        check_images(grids, registry, progress)


def log_remarks(grids: Sequence[Grid], registry: Registry) -> None:
    """Tell what is remarked on in datasets and checkpoint of grids, each line once."""
    for text in dict.fromkeys(text for grid in grids for text in _remarks(grid, registry)):
        _log.warning("%s", text, extra={"tell": "note"})


def _remarks(grid: Grid, registry: Registry) -> Iterator[str]:
    yield from remarks_of(grid, registry)
    if unused := DetectorSettings(grid, registry).unused():
        yield f"on_detector has no effect for {' and '.join(unused)}: no row trains such a detector"
    yield from unlike_checkpoint(grid, registry)


def execute(
    plan: Plan,
    config: Mapping[str, Any],
    registry: Registry,
    places: Places,
    options: RunOptions,
    ablation: Callable[[RunData], AblationBoard] | None = None,
) -> Outcome:
    """Run what a plan lacks and report it as one run; config: the run's description. Otherwise as `compare`.

    ablation: makes of the finished run the differences that its report shows too.
    """
    began = time.monotonic()
    options.executor.check()
    # Refuse before anything is made: neither an empty cache nor an empty output folder may stay behind.
    open_store(places.cache, create=False)
    check_out(places, config, options.force)
    elsewhere = places.result_store() if places.results else None
    env = Env(registry, places.artifacts(), options.device, options.progress)
    results = elsewhere or places.result_store()
    config = {**config, "shown": map_short_texts(plan)}
    used = _used(plan, registry)
    environment = describe_environment(registry, used, options.device)
    folder = None if places.out is None else RunFolder(places.out)
    run = (folder and folder.run(results, config)) or results.create_run(config, environment)
    if folder is not None:
        folder.begin(run, places.cache, places.results and results.name)
    pin(env.store.location, run, {stage.key: stage.describe() for stage in plan.stages})
    every = used.union(*(stage.specs for stage in plan.stages))
    sources = {PluginSource.of(registry.entry(spec.kind, spec.name)) for spec in every}
    write_plan(env.store.location, run, plan_to_bytes(plan, list(sources)))
    results.resume_run(run, environment, [planned.key for planned in plan.cells])
    states = results.upsert_cells(run, [make_cell_info(p, registry) for p in plan.cells])
    kept = {} if options.retry_failed else {c.key: c.reason for c in results.cells(run) if c.state == "failed"}
    wanted = Plan(tuple(planned for planned in plan.cells if planned.key not in kept))
    unrecorded = [p for p in wanted.cells if states[p.key] != "done" and p.evaluate is not None and not p.skip]
    recorder = Recorder(run, env, results, environment, unrecorded)

    def note(done: StageResult) -> None:
        recorder.note(done)
        options.report(done)

    with _status_kept(results, run), _log_beside(places.out):
        options.executor.execute(wanted.stages, env, note)
    ended = recorder.ended.values()
    counts = {state: sum(d.state == state for d in ended) for state in ("run", "cached", "failed", "skipped")}
    results.set_status(run, "failed" if counts["failed"] or kept else "done")
    changed = bool(counts["run"] or counts["failed"])
    board = None if changed or folder is None else folder.board(run, [planned.key for planned in plan.cells])
    if board is None:
        shown = read_repaired(lambda: collect_gallery(plan, env), plan.stages, env)
        data = load_run_data(run, results, shown, config)
        board = Board.of(data) if folder is None else folder.report(data, ablation)
    failures = tuple(d.reason or "" for d in ended if d.state == "failed")
    earlier = tuple(dict.fromkeys(reason or "" for reason in kept.values()))
    return Outcome(run, board, counts, time.monotonic() - began, failures, earlier, _log_path(places.out))


def check_out(places: Places, config: Mapping[str, Any], force: bool = False) -> None:
    """Raise BenchkitError where a run of this description may not write to `places.out`; nothing is made."""
    if places.out is None:
        return
    results = None
    with suppress(BenchkitError):  # no results yet
        results = ResultStore(places.results or get_local_folder(places.cache) / RESULTS, create=False)
    RunFolder(places.out).check(results, config, force)


@contextmanager
def _status_kept(results: ResultStore, run: str) -> Iterator[None]:
    """Note that the run's stages are running, and how it ends where they are broken off."""
    results.set_status(run, "running")
    try:
        yield
    except KeyboardInterrupt:
        results.set_status(run, "interrupted")
        raise
    except CacheUnwritable as full:
        # Without room for this either, the run stays `running`, as after a kill; that is no reason to say less.
        with suppress(BenchkitError):
            results.set_status(run, "interrupted")
        raise CacheUnwritable(f"{full}; what is finished is kept: the same command goes on from there") from full
    except BaseException:
        results.set_status(run, "failed")
        raise


def _log_path(out: Path | None) -> Path | None:
    return None if out is None else out / LOG


@contextmanager
def _log_beside(out: Path | None) -> Iterator[None]:
    """What the suite logs meanwhile, tracebacks of failed stages above all, also in the run's own folder."""
    if out is None:
        yield
        return
    handler = logging.FileHandler(out / LOG, encoding="utf-8", errors="backslashreplace", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"))
    handler.setLevel(logging.WARNING)
    logger = logging.getLogger("benchkit")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _used(plan: Plan, registry: Registry) -> set[Spec]:
    """Every plugin that some cell of the plan uses."""
    cells = [planned.cell for planned in plan.cells]
    named = {spec for cell in cells for spec in cell.training.plugins()}
    whole = {part for spec in named for part in registry.with_parts(spec)}
    return whole.union(*(list_plugins(cell, registry) for cell in cells))


def load_run_data(
    run: str, results: ResultStore, gallery: Mapping[str, tuple[Example, ...]], grid: Mapping[str, Any]
) -> RunData:
    """What a report needs of one run."""
    info = next(r for r in results.runs() if r.id == run)
    rows = named_rows(results.rows(run), grid.get("shown") or {})
    done = rows.loc[rows["state"] == "done", "cell"]
    return RunData(run, grid, info.environment, rows, {key: results.histograms(key) for key in done}, gallery)


def collect_gallery(plan: Plan, env: Env) -> dict[str, tuple[Example, ...]]:
    """A few images of every corrupted row and selector, first seed and first detector: cell key -> examples."""
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
    """Every image of one finished chunk whose selection is not empty."""
    select, start = stage.region.select, stage.region.chunk * CHUNK
    source: Images = select.images[stage.region.chunk]
    before, after, ids = env.arrays(source)["images"], env.arrays(stage)["images"], env.meta(source)["ids"]
    masks = select.masks(env, slice(start, start + len(before)))
    keep = np.flatnonzero(masks.any(axis=(1, 2)))
    return [Example(ids[i], before[i], after[i], masks[i]) for i in keep]
