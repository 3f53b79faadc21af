"""The paper's Figures 4 to 8, of a finished run: which images stand where; benchkit.report.pictures draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from benchkit.errors import BenchkitError
from benchkit.metrics.confinement import VISIBLE
from benchkit.outputs.finished_run import FinishedRun, Wanted, train_of
from benchkit.outputs.step_series import corrupt_at_steps, load_step_sources
from benchkit.planning.planner import PlannedCell
from benchkit.report.data import Example
from benchkit.report.pictures import SELECTED, UNCHANGED, Picture, PictureSheet
from benchkit.runs.run import collect_examples
from benchkit.specs.spec import CHUNK, Corrupted, Spec
from benchkit.stages.corrupt import AnyCorrupt, Corrupt, origin
from benchkit.stages.pairs import CorruptedPairs
from benchkit.store.encoding import parse_json

#: Regions below this fraction of the image are too small to be called unchanged by a reader.
SMALLEST = 0.001
#: The numbers of steps of Figure 6, as far as the schedule goes.
STEPS = (5, 10, 20, 30, 40, 50)


@dataclass(frozen=True)
class Order:
    """What a figure is made of: which row of the run, how many images, which numbers of steps (Figure 6)."""

    wanted: Wanted = field(default_factory=Wanted)
    count: int | None = None
    steps: tuple[int, ...] | None = None


def paper_figure(number: int, run: FinishedRun, order: Order) -> PictureSheet:
    """Figure 4, 5, 6, 7 or 8 of the paper with this run's own images.

    The images are the first of the set whose selection is not empty, except in Figure 8, which looks for failures.
    Raises BenchkitError where the run lacks what the figure shows, or the cache its images.
    """
    return _FIGURES[number](run, order)


def before_and_after(run: FinishedRun, order: Order) -> PictureSheet:
    """Figure 4: images above, corrupted ones below with the outline of what was selected."""
    chosen = _method(run, order.wanted)
    shown = _first(run, chosen, order.count or 6)
    return PictureSheet(
        title=f"Before and after: {run.name(chosen)}",
        columns=tuple(example.id for example in shown),
        names=("before", "after"),
        rows=(
            tuple(Picture(example.before) for example in shown),
            tuple(Picture(example.after, ((SELECTED, example.mask),)) for example in shown),
        ),
        foot=f"Green: the selected region. {_origin(run, chosen)}",
    )


def methods(run: FinishedRun, order: Order) -> PictureSheet:
    """Figure 5: the same images in the same regions by every corruptor of the run."""
    chosen = run.cell(order.wanted, run.corrupted())
    # Rows of an ablation may differ in the training alone: the same images are shown once.
    alike = (p for p in (chosen, *run.corrupted()) if _setting(p) == _setting(chosen))
    own = {tuple(stage.key for stage in _chunks(p)): p for p in [*alike][::-1]}
    same = [p for p in run.corrupted() if p in own.values()]
    columns = {run.name(p): _first(run, p, order.count or 4) for p in same if run.is_done(p)}
    missing = [run.name(p) for p in same if not run.is_done(p)]
    lacks = f" Not finished: {', '.join(missing)}." if missing else ""
    first = columns[run.name(chosen)]
    return PictureSheet(
        title=f"{len(columns)} corruption methods on the same images and regions",
        columns=("image", *columns),
        names=tuple(example.id for example in first),
        rows=tuple(
            (
                Picture(example.before, ((SELECTED, example.mask),)),
                *(Picture(shown[i].after) for shown in columns.values()),
            )
            for i, example in enumerate(first)
        ),
        foot=f"Green: the selected region, the same for every method.{lacks} {_origin(run, chosen, row=False)}",
    )


def draw_step_figure(run: FinishedRun, order: Order) -> PictureSheet:
    """Figure 6: one corruptor at several numbers of inversion steps, made anew with the run's checkpoint."""
    chosen = _method(run, order.wanted, latent=True)
    levels = _levels(run, chosen, order.steps)
    sources = load_step_sources(run, chosen, order.count or 3)
    made = corrupt_at_steps(run, chosen, sources, levels)
    name = _without_steps(_training(chosen).corruptor).short
    return PictureSheet(
        title=f"Inversion steps: {name} at {levels[0]} to {levels[-1]} steps",
        columns=("image", *(f"{level} steps" for level in levels)),
        names=tuple(example.id for source in sources for example in source.examples),
        rows=tuple(
            (
                Picture(example.before, ((SELECTED, example.mask),)),
                *(Picture(made[level][i], ((SELECTED, example.mask),)) for level in levels),
            )
            for i, example in enumerate(example for source in sources for example in source.examples)
        ),
        foot=f"Steps of a schedule of {run.model(chosen).steps}, made anew for this figure. "
        f"{_origin(run, chosen, row=False)}",
    )


def latents(run: FinishedRun, order: Order) -> PictureSheet:
    """Figure 7: a corruptor in the image's own latent (no steps) beside itself in deeper ones, resampled."""
    shallow, deeper = _shallow_and_deeper(run, order.wanted)
    cells = {_steps(p): p for p in (shallow, *deeper)}
    columns = {
        level: _first(run, run.cell(Wanted(run.name(p)), [p]), order.count or 4) for level, p in sorted(cells.items())
    }
    first = columns[0]
    return PictureSheet(
        title=f"Image latent and intermediate latent: {_without_steps(_training(shallow).corruptor).short}",
        columns=("image", *("image latent" if not n else f"intermediate latent, {n} steps" for n in columns)),
        names=tuple(example.id for example in first),
        rows=tuple(
            (
                Picture(example.before, ((SELECTED, example.mask),)),
                *(Picture(shown[i].after) for shown in columns.values()),
            )
            for i, example in enumerate(first)
        ),
        foot=f"Green: the selected region. {_origin(run, shallow, row=False)}",
    )


def failures(run: FinishedRun, order: Order) -> PictureSheet:
    """Figure 8: the images with the regions that changed least against the round trip."""
    chosen = _method(run, order.wanted)
    found, regions, unchanged = _least_changed(run, chosen, order.count or 6)
    share = f"{unchanged} of {regions} regions ({100 * unchanged / regions:.1f} %)"
    return PictureSheet(
        title=f"Regions that hardly changed: {run.name(chosen)}",
        columns=tuple(one.example.id for one in found),
        names=("before", "after"),
        rows=(
            tuple(Picture(one.example.before) for one in found),
            tuple(
                Picture(
                    one.example.after,
                    ((SELECTED, one.example.mask & ~one.unchanged), (UNCHANGED, one.unchanged)),
                    f"least change {100 * one.least:.1f} %",
                )
                for one in found
            ),
        ),
        foot=f"Orange: regions whose mean change against the round trip is below {100 * VISIBLE:g} % of the colour "
        f"range; green: the others. Of the whole set {share} are orange. {_origin(run, chosen, row=False)}",
    )


_FIGURES: Mapping[int, Callable[[FinishedRun, Order], PictureSheet]] = {
    4: before_and_after,
    5: methods,
    6: draw_step_figure,
    7: latents,
    8: failures,
}


@dataclass(frozen=True)
class _Failure:
    """An example with those of its regions that did not visibly change, and the least mean change of a region."""

    example: Example
    unchanged: np.ndarray
    least: float


def _least_changed(run: FinishedRun, chosen: PlannedCell, count: int) -> tuple[list[_Failure], int, int]:
    """The failures, worst first; how many regions the set has, and how many of them did not visibly change."""
    assert chosen.confine is not None
    stages = _chunks(chosen)
    run.require((*stages, *chosen.confine.references, chosen.confine.select), run.name(chosen))
    found: list[_Failure] = []
    regions = unchanged = 0
    for stage, reference in zip(stages, chosen.confine.references, strict=True):
        trips = run.env.arrays(reference)["images"]
        masks = stage.region.select.masks(run.env)[stage.region.chunk * CHUNK :][: len(trips)]
        kept = trips[masks.any(axis=(1, 2))]
        for example, trip in zip(collect_examples(stage, run.env), kept, strict=True):
            labels, changes = region_changes(example.after, trip, example.mask)
            regions, unchanged = regions + len(changes), unchanged + int((changes < VISIBLE).sum())
            if len(changes):
                still = np.isin(labels, 1 + np.flatnonzero(changes < VISIBLE))
                found.append(_Failure(example, still, float(changes.min())))
    if not found:
        raise BenchkitError(f"run {run.id}, row '{run.name(chosen)}': nothing was selected, so nothing can be shown")
    return sorted(found, key=lambda one: one.least)[:count], regions, unchanged


def region_changes(after: np.ndarray, round_trip: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mask's connected regions (8 neighbours) and how far each changed.

    after, round_trip: (H, W, 3) uint8. Returns labels (H, W), region i + 1 being the i-th, and the mean absolute change
    of each, in [0, 1]; regions below SMALLEST of the image are left out.
    """
    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    large = np.flatnonzero(sizes[1:] >= SMALLEST * mask.size) + 1
    renumbered = np.searchsorted(large, labels) + 1
    labels = np.where(np.isin(labels, large), renumbered, 0)
    change = np.abs(after.astype(np.float64) - round_trip).mean(axis=-1) / 255
    return labels, np.atleast_1d(ndimage.mean(change, labels, np.arange(1, len(large) + 1)))


def _method(run: FinishedRun, wanted: Wanted, latent: bool = False) -> PlannedCell:
    """Return the wanted corrupted row; unless one is named, the first whose regions changed. latent: with a depth."""
    own = [p for p in run.corrupted() if _steps(p) >= 0 or not latent]
    if wanted.row is not None:
        chosen = run.cell(wanted, run.corrupted())
        if chosen not in own:
            raise BenchkitError(f"run {run.id}: row '{run.name(chosen)}' is not inverted: name a latent method")
        return chosen
    return run.cell(wanted, [p for p in own if _changes_visibly(run, p)] or own)


def _changes_visibly(run: FinishedRun, planned: PlannedCell) -> bool:
    """Whether a row's selected regions changed, as its confinement says; True where the cache does not have it."""
    if planned.confine is None or not run.env.store.has(planned.confine.key):
        return True
    summary = parse_json(run.env.store.open(planned.confine.key).read("confinement.json"))
    return bool(summary.get("regions_changed", 0) > 0)


def _shallow_and_deeper(run: FinishedRun, wanted: Wanted) -> tuple[PlannedCell, list[PlannedCell]]:
    among = run.corrupted() if wanted.row is None else (run.cell(wanted, run.corrupted()),)
    for first in among:
        if wanted.row is None and not _answers(run, wanted, first):
            continue
        like = [p for p in run.corrupted() if _setting(p) == _setting(first) and _alike(p, first)]
        shallow = [p for p in like if _steps(p) == 0]
        deeper = [p for p in like if _steps(p) > 0]
        if shallow and deeper:
            return shallow[0], deeper
    raise BenchkitError(
        f"run {run.id} has no corruptor both at steps=0 and deeper: run a comparison with corruptor 'NAME:steps=0|20'"
    )


def _answers(run: FinishedRun, wanted: Wanted, planned: PlannedCell) -> bool:
    try:
        run.cell(replace(wanted, row=run.name(planned)), [planned])
    except BenchkitError:
        return False
    return True


def _alike(one: PlannedCell, other: PlannedCell) -> bool:
    """Whether two cells' corruptors differ in steps alone."""
    return _without_steps(_training(one).corruptor) == _without_steps(_training(other).corruptor)


def _without_steps(spec: Spec) -> Spec:
    return replace(spec, params=tuple((k, v) for k, v in spec.params if k != "steps"))


def _steps(planned: PlannedCell) -> int:
    """A cell's number of inversion steps; -1 where it has none."""
    first = _chunks(planned)[0]
    return origin(first.start)[1] if isinstance(first, Corrupt) else -1


def _training(planned: PlannedCell) -> Corrupted:
    assert isinstance(planned.cell.training, Corrupted)
    return planned.cell.training


def _setting(planned: PlannedCell) -> tuple[object, ...]:
    """All that two cells must share for their images to be the same, in the same regions."""
    cell, training = planned.cell, _training(planned)
    return cell.detector, cell.seed, training.images, _chunks(planned)[0].region.select.key, training.inverter


def _chunks(planned: PlannedCell) -> tuple[AnyCorrupt, ...]:
    pairs = train_of(planned).pairs
    assert isinstance(pairs, CorruptedPairs)
    return pairs.chunks


def _first(run: FinishedRun, planned: PlannedCell, count: int) -> list[Example]:
    """The first images of a corrupted set whose selection is not empty."""
    shown: list[Example] = []
    for stage in _chunks(planned):
        if len(shown) < count:
            region = stage.region
            run.require((stage, region.select, region.select.images[region.chunk]), run.name(planned))
            shown += collect_examples(stage, run.env)
    if not shown:
        raise BenchkitError(f"run {run.id}, row '{run.name(planned)}': nothing was selected, so nothing can be shown")
    return shown[:count]


def _levels(run: FinishedRun, planned: PlannedCell, wanted: Sequence[int] | None) -> tuple[int, ...]:
    last = run.model(planned).steps
    levels = tuple(sorted(set(wanted))) if wanted else tuple(n for n in STEPS if n <= last)
    if not levels or not 0 <= levels[0] <= levels[-1] <= last:
        raise BenchkitError(f"`steps`: choose from 0 to {last}, the length of run {run.id}'s schedule")
    return levels


def _origin(run: FinishedRun, planned: PlannedCell, row: bool = True) -> str:
    """Where the pictures come from, for the foot."""
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
