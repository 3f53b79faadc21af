"""The paper's Figures 4 to 8 from a finished run: which images stand where. benchkit.report.pictures draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from benchkit.errors import BenchkitError
from benchkit.metrics.confinement import VISIBLE
from benchkit.outputs.finished_run import FinishedRun, RowQuery, train_of
from benchkit.outputs.step_series import corrupt_at_steps, load_step_sources
from benchkit.planning.plan import PlannedCell
from benchkit.report.pictures import SELECTED, UNCHANGED, Picture, PictureSheet
from benchkit.report.run_data import Example
from benchkit.runs.run import collect_examples
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import Corrupted
from benchkit.stages.corrupt import AnyCorrupt, Corrupt, split_start
from benchkit.stages.pairs import CorruptedPairs
from benchkit.store.encoding import parse_json

#: Regions below this fraction of the image are skipped: a reader cannot see whether they changed.
SMALLEST = 0.001
#: The numbers of steps of Figure 6, up to the length of the schedule.
STEPS = (5, 10, 20, 30, 40, 50)


@dataclass(frozen=True)
class FigureRequest:
    """What a figure shows: a row of the run, a number of images, and numbers of steps (Figure 6 only)."""

    row: RowQuery = field(default_factory=RowQuery)
    count: int | None = None
    steps: tuple[int, ...] | None = None


def draw_figure(number: int, run: FinishedRun, request: FigureRequest) -> PictureSheet:
    """Return Figure 4, 5, 6, 7 or 8 of the paper with images of this run.

    The images are the first of the set with a non-empty selection; Figure 8 searches the whole set. Raises
    BenchkitError if the run lacks what the figure shows, or the cache lacks the images.
    """
    return _FIGURES[number](run, request)


def draw_before_and_after(run: FinishedRun, request: FigureRequest) -> PictureSheet:
    """Figure 4: images above, corrupted images below with the selected region outlined."""
    planned = _find_method(run, request.row)
    examples = load_examples(run, planned, request.count or 6)
    return PictureSheet(
        title=f"Before and after: {run.name(planned)}",
        columns=tuple(example.id for example in examples),
        names=("before", "after"),
        rows=(
            tuple(Picture(example.before) for example in examples),
            tuple(Picture(example.after, ((SELECTED, example.mask),)) for example in examples),
        ),
        foot=f"Green: the selected region. {_describe_source(run, planned)}",
    )


def draw_methods(run: FinishedRun, request: FigureRequest) -> PictureSheet:
    """Figure 5: the same images and regions, corrupted by every method of the run."""
    chosen = run.find_cell(request.row, run.corrupted())
    # Rows of an ablation may differ in training alone; their equal images are shown once, under the first row.
    comparable = (p for p in (chosen, *run.corrupted()) if _setting(p) == _setting(chosen))
    unique = {tuple(stage.key for stage in _chunks(p)): p for p in [*comparable][::-1]}
    rows = [p for p in run.corrupted() if p in unique.values()]
    columns = {run.name(p): load_examples(run, p, request.count or 4) for p in rows if run.is_done(p)}
    missing = [run.name(p) for p in rows if not run.is_done(p)]
    note = f" Not finished: {', '.join(missing)}." if missing else ""
    return _compare_columns(
        f"{len(columns)} corruption methods on the same images and regions",
        columns[run.name(chosen)],
        {name: [Picture(example.after) for example in examples] for name, examples in columns.items()},
        f"Green: the selected region, the same for every method.{note} {_describe_source(run, chosen, row=False)}",
    )


def draw_step_figure(run: FinishedRun, request: FigureRequest) -> PictureSheet:
    """Figure 6: one corruptor after several numbers of inversion steps, computed now with the run's checkpoint."""
    planned = _find_method(run, request.row, latent=True)
    steps = _choose_steps(run, planned, request.steps)
    sources = load_step_sources(run, planned, request.count or 3)
    images = corrupt_at_steps(run, planned, sources, steps)
    examples = [example for source in sources for example in source.examples]
    outlines = [((SELECTED, example.mask),) for example in examples]
    name = _without_steps(_training(planned).corruptor).short
    return _compare_columns(
        f"Inversion steps: {name} at {steps[0]} to {steps[-1]} steps",
        examples,
        {f"{n} steps": [Picture(*pair) for pair in zip(images[n], outlines, strict=True)] for n in steps},
        f"Steps of a schedule of {run.model(planned).steps}, computed for this figure. "
        f"{_describe_source(run, planned, row=False)}",
    )


def draw_latents(run: FinishedRun, request: FigureRequest) -> PictureSheet:
    """Figure 7: one corruptor on the image latent (0 steps) beside the same corruptor after more steps."""
    by_steps = {_steps(p): p for p in _find_step_rows(run, request.row)}
    columns = {
        steps: load_examples(run, run.find_cell(RowQuery(run.name(p)), [p]), request.count or 4)
        for steps, p in sorted(by_steps.items())
    }
    return _compare_columns(
        f"Image latent and intermediate latent: {_without_steps(_training(by_steps[0]).corruptor).short}",
        columns[0],
        {
            f"intermediate latent, {n} steps" if n else "image latent": [Picture(example.after) for example in examples]
            for n, examples in columns.items()
        },
        f"Green: the selected region. {_describe_source(run, by_steps[0], row=False)}",
    )


def draw_failures(run: FinishedRun, request: FigureRequest) -> PictureSheet:
    """Figure 8: the images with the regions that changed least against the round trip."""
    planned = _find_method(run, request.row)
    failures, regions, unchanged = _find_least_changed(run, planned, request.count or 6)
    fraction = f"{unchanged} of {regions} regions ({100 * unchanged / regions:.1f} %)"
    return PictureSheet(
        title=f"Regions that hardly changed: {run.name(planned)}",
        columns=tuple(failure.example.id for failure in failures),
        names=("before", "after"),
        rows=(
            tuple(Picture(failure.example.before) for failure in failures),
            tuple(
                Picture(
                    failure.example.after,
                    ((SELECTED, failure.example.mask & ~failure.unchanged), (UNCHANGED, failure.unchanged)),
                    f"least change {100 * failure.least:.1f} %",
                )
                for failure in failures
            ),
        ),
        foot=f"Orange: regions whose mean change against the round trip is below {100 * VISIBLE:g} % of the colour "
        f"range; green: the others. Of the whole set {fraction} are orange. "
        f"{_describe_source(run, planned, row=False)}",
    )


_FIGURES: Mapping[int, Callable[[FinishedRun, FigureRequest], PictureSheet]] = {
    4: draw_before_and_after,
    5: draw_methods,
    6: draw_step_figure,
    7: draw_latents,
    8: draw_failures,
}


def _compare_columns(
    title: str, examples: Sequence[Example], columns: Mapping[str, Sequence[Picture]], foot: str
) -> PictureSheet:
    """Return a sheet with one row per image: the image with its region outlined, then one picture per column."""
    return PictureSheet(
        title=title,
        columns=("image", *columns),
        names=tuple(example.id for example in examples),
        rows=tuple(
            (Picture(example.before, ((SELECTED, example.mask),)), *(pictures[i] for pictures in columns.values()))
            for i, example in enumerate(examples)
        ),
        foot=foot,
    )


@dataclass(frozen=True)
class _Failure:
    """An example, its regions (H, W) bool that did not visibly change, and the least mean change of a region."""

    example: Example
    unchanged: np.ndarray
    least: float


def _find_least_changed(run: FinishedRun, planned: PlannedCell, count: int) -> tuple[list[_Failure], int, int]:
    """Return the failures, the worst first; the number of regions in the set; how many did not visibly change."""
    assert planned.confine is not None
    stages = _chunks(planned)
    run.require((*stages, *planned.confine.round_trips, planned.confine.select), run.name(planned))
    failures: list[_Failure] = []
    regions = unchanged = 0
    for stage, round_trip in zip(stages, planned.confine.round_trips, strict=True):
        trips = run.env.arrays(round_trip)["images"]
        masks = stage.region.select.masks(run.env, stage.region.rows)
        selected = trips[masks.any(axis=(1, 2))]
        for example, trip in zip(collect_examples(stage, run.env), selected, strict=True):
            labels, changes = region_changes(example.after, trip, example.mask)
            regions, unchanged = regions + len(changes), unchanged + int((changes < VISIBLE).sum())
            if len(changes):
                still = np.isin(labels, 1 + np.flatnonzero(changes < VISIBLE))
                failures.append(_Failure(example, still, float(changes.min())))
    if not failures:
        raise BenchkitError(f"run {run.id}, row '{run.name(planned)}': no image has a selected region to show")
    return sorted(failures, key=lambda failure: failure.least)[:count], regions, unchanged


def region_changes(after: np.ndarray, round_trip: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the connected regions of a mask (8 neighbours) and how much each changed.

    after, round_trip: (H, W, 3) uint8. mask: (H, W) bool. Returns labels (H, W), where i + 1 is the i-th region, and
    the mean absolute change of each region in [0, 1]. Regions below the fraction SMALLEST of the image are skipped.
    """
    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    large = np.flatnonzero(sizes[1:] >= SMALLEST * mask.size) + 1
    renumbered = np.searchsorted(large, labels) + 1
    labels = np.where(np.isin(labels, large), renumbered, 0)
    change = np.abs(after.astype(np.float64) - round_trip).mean(axis=-1) / 255
    return labels, np.atleast_1d(ndimage.mean(change, labels, np.arange(1, len(large) + 1)))


def _find_method(run: FinishedRun, query: RowQuery, latent: bool = False) -> PlannedCell:
    """Return the row of the query; without a name, the first row whose regions changed.

    latent: only rows whose images are inverted.
    """
    rows = [p for p in run.corrupted() if _steps(p) >= 0 or not latent]
    if query.row is None:
        return run.find_cell(query, [p for p in rows if _changes_visibly(run, p)] or rows)
    planned = run.find_cell(query, run.corrupted())
    if planned not in rows:
        raise BenchkitError(f"run {run.id}: row '{run.name(planned)}' is not inverted: name a latent method")
    return planned


def _changes_visibly(run: FinishedRun, planned: PlannedCell) -> bool:
    """Return whether a row's selected regions changed, from its confinement; True if the cache has none."""
    if planned.confine is None or not run.env.store.has(planned.confine.key):
        return True
    summary = parse_json(run.env.store.open(planned.confine.key).read("confinement.json"))
    return bool(summary.get("regions_changed", 0) > 0)


def _find_step_rows(run: FinishedRun, query: RowQuery) -> list[PlannedCell]:
    """Return the rows of one corruptor that differ in steps alone: the one with 0 steps, then those with more.

    Raises BenchkitError if the run has no such corruptor.
    """
    candidates = run.corrupted() if query.row is None else (run.find_cell(query, run.corrupted()),)
    for first in candidates:
        if query.row is None and not _matches(run, query, first):
            continue
        method = _without_steps(_training(first).corruptor)
        rows = [
            p
            for p in run.corrupted()
            if _setting(p) == _setting(first) and _without_steps(_training(p).corruptor) == method
        ]
        image_latent, later = [p for p in rows if _steps(p) == 0], [p for p in rows if _steps(p) > 0]
        if image_latent and later:
            return [image_latent[0], *later]
    raise BenchkitError(
        f"run {run.id} has no corruptor both with steps=0 and with more: run a comparison with corruptor "
        "'NAME:steps=0|20'"
    )


def _matches(run: FinishedRun, query: RowQuery, planned: PlannedCell) -> bool:
    try:
        run.find_cell(replace(query, row=run.name(planned)), [planned])
    except BenchkitError:
        return False
    return True


def _without_steps(spec: Spec) -> Spec:
    return replace(spec, params=tuple((k, v) for k, v in spec.params if k != "steps"))


def _steps(planned: PlannedCell) -> int:
    """Return a cell's number of inversion steps; -1 if its images are not inverted."""
    first = _chunks(planned)[0]
    return split_start(first.start)[1] if isinstance(first, Corrupt) else -1


def _training(planned: PlannedCell) -> Corrupted:
    assert isinstance(planned.cell.training, Corrupted)
    return planned.cell.training


def _setting(planned: PlannedCell) -> tuple[object, ...]:
    """Return what two cells must share for their images and regions to be the same."""
    cell, training = planned.cell, _training(planned)
    return cell.detector, cell.seed, training.images, _chunks(planned)[0].region.select.key, training.inverter


def _chunks(planned: PlannedCell) -> tuple[AnyCorrupt, ...]:
    pairs = train_of(planned).pairs
    assert isinstance(pairs, CorruptedPairs)
    return pairs.chunks


def load_examples(run: FinishedRun, planned: PlannedCell, count: int) -> list[Example]:
    """Load the first images of a corrupted set with a non-empty selection; raise BenchkitError if there is none."""
    examples: list[Example] = []
    for stage in _chunks(planned):
        if len(examples) < count:
            region = stage.region
            run.require((stage, region.select, region.select.images[region.chunk]), run.name(planned))
            examples += collect_examples(stage, run.env)
    if not examples:
        raise BenchkitError(f"run {run.id}, row '{run.name(planned)}': no image has a selected region to show")
    return examples[:count]


def _choose_steps(run: FinishedRun, planned: PlannedCell, given: Sequence[int] | None) -> tuple[int, ...]:
    last = run.model(planned).steps
    steps = tuple(sorted(set(given))) if given else tuple(n for n in STEPS if n <= last)
    if not steps or not 0 <= steps[0] <= steps[-1] <= last:
        raise BenchkitError(f"`steps`: choose from 0 to {last}, the length of run {run.id}'s schedule")
    return steps


def _describe_source(run: FinishedRun, planned: PlannedCell, row: bool = True) -> str:
    """Return where the pictures come from, for the foot of a sheet."""
    training = _training(planned)
    words: Iterator[str] = iter(
        (
            f"Run {run.id}",
            f"{training.images.dataset.short}/{training.images.split}",
            f"selector {training.selector.short}",
            *((f"corruptor {training.corruptor.short}",) if row else ()),
            *((f"inverter {planned.cell.inverter.short}",) if planned.cell.inverter else ()),
            *((f"detector {planned.cell.detector.short}",) if planned.cell.detector else ()),
            f"seed {planned.cell.seed}",
        )
    )
    return ", ".join(words) + "."
