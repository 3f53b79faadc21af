"""From a grid to a plan: the cells of a comparison and their stages, each once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, wraps
from typing import Any, TypeVar

from benchkit.api import (
    CompositeCorruptor,
    Corruptor,
    FrozenDetector,
    Inverter,
    LatentCorruptor,
    RegionSelector,
)
from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.planning.cells import fill_in_detector, make_cells
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.image_sets import choose_images, draw_labelled
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.plugin.networks import find_trunk, get_frozen, read_maps
from benchkit.plugin.registry import Registry, why_unavailable
from benchkit.specs.cell import Cell
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.specs.training_sets import (
    CHUNK,
    Corrupted,
    ImageSet,
    Labelled,
    Mix,
    Pseudo,
    Resampling,
    TrainingSet,
    Trivial,
)
from benchkit.stages.base import Model
from benchkit.stages.confine import Confine
from benchkit.stages.corrupt import (
    AnyCorrupt,
    Choose,
    Corrupt,
    CorruptPixels,
    Region,
    RoundTrip,
    is_resampled_plainly,
)
from benchkit.stages.evaluate import Evaluate, TrivialPredictor
from benchkit.stages.features import Features
from benchkit.stages.images import Images, Latents, Source
from benchkit.stages.invert import Invert
from benchkit.stages.pairs import AnyPairs, CorruptedPairs, LabelledPairs, MixedPairs, PseudoPairs
from benchkit.stages.select import Select
from benchkit.stages.train import Train, head_config

R = TypeVar("R")


def _once(method: Callable[..., R]) -> Callable[..., R]:
    """Cache a planner's method: a stage is built once, and its key computed once."""

    @wraps(method)
    def remembered(self: Planner, *given: Any) -> R:
        key = (method.__name__, *given)
        if key not in self.made:
            self.made[key] = method(self, *given)
        return self.made[key]

    return remembered


#: Inverter and the seed of its noise -> the numbers of steps wanted of that trajectory, ascending.
Trajectories = dict[tuple[Spec, int | None], list[int]]


class Planner:
    """Builds the stages of cells; equal stages come out equal, so the plan holds each once.

    trajectories: shared by the planners of several grids that are run as one, so that each trajectory is computed once.
    """

    def __init__(self, grid: Grid, registry: Registry, model: Model, trajectories: Trajectories | None = None) -> None:
        self.grid, self.registry, self.model = grid, registry, model
        self.trajectories: Trajectories = {} if trajectories is None else trajectories
        self.made: dict[Any, Any] = {}
        #: Trunk -> key of a stage of images -> its features.
        self.features: dict[Spec, dict[str, Features]] = {}

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The grid's cells; raises BenchkitError for unknown names, parameters and splits."""
        return tuple(make_cells(self.grid, self.registry))

    @cached_property
    def _shared(self) -> Cell | None:
        """A cell with the seed of the selection that all cells share; None if each has its own."""
        seed = self.grid.selection_seed
        trained = next((cell for cell in self.cells if cell.detector is not None), None)
        return None if seed is None or trained is None else replace(trained, seed=seed)

    @cached_property
    def settings(self) -> DetectorSettings:
        """How each detector is trained."""
        return DetectorSettings(self.grid, self.registry)

    def plan(self) -> Plan:
        """Return the plan of all cells; a skipped one has its reason.

        Raises BenchkitError for every fault in the grid: unknown names, parameters, splits, steps.
        """
        self.note_steps()
        chunk = self.grid.sampling.chunk
        assert isinstance(chunk, int), "benchkit.runs.settle_sampling settles `auto`"
        cells = tuple(self._planned(cell) for cell in self.cells)
        settings: dict[str, Any] = {} if chunk == CHUNK else {"chunk": chunk}
        if self.grid.sampling.resampling != "exact":
            settings["resampling"] = self.grid.sampling.resampling
        return Plan(tuple(replace(planned, **settings) for planned in cells) if settings else cells)

    def note_steps(self) -> None:
        """Add the steps that this grid needs to `trajectories`; raises BenchkitError as `plan` does."""
        for cell in self.cells:
            for part in cell.training.corrupted():
                self._note_steps_of(part, part.corruptor, self.grid.selection_seed_of(cell.seed))

    def _note_steps_of(self, part: Corrupted, spec: Spec, seed: int) -> None:
        for inner in self.registry.parts(spec):
            self._note_steps_of(part, inner, seed)
        corruptor = self.registry.make(spec, Corruptor)
        if not isinstance(corruptor, LatentCorruptor):
            return
        check_steps(spec, corruptor, self.model.steps, len(part.images.indices))
        wanted = self.trajectories.setdefault((part.inverter, self._inversion_seed(part.inverter, seed)), [])
        if corruptor.steps not in wanted:
            wanted.append(corruptor.steps)
            wanted.sort()

    def _planned(self, cell: Cell) -> PlannedCell:
        reason = self._unavailable(cell)
        shared = self.grid.selection_seed if cell.training.selector is not None else None
        if reason:
            return PlannedCell(cell, skip=reason, selection_seed=shared)
        test = self.images(cell.test)
        held = self._validation(cell.test.dataset)
        if isinstance(cell.training, Trivial):
            labelled = self._labelled(cell) if cell.training.rule == "mean-mask" else ()
            return PlannedCell(cell, Evaluate(TrivialPredictor(cell.training.rule, labelled), test, held))
        train = self.train(cell)
        confine = self._confine(cell.training, cell) if isinstance(cell.training, Corrupted) else None
        evaluate = Evaluate(train, test, held, self._features(train.detector, (*test, *held)))
        return PlannedCell(cell, evaluate, confine, selection_seed=shared)

    def evaluate_on(self, planned: PlannedCell, test: ImageSet) -> Evaluate:
        """Return the evaluation of a planned cell's predictor on other test images."""
        assert planned.evaluate is not None
        predictor, held, images = planned.evaluate.predictor, planned.evaluate.validation, self.images(test)
        if not isinstance(predictor, Train):
            return Evaluate(predictor, images, held)
        return Evaluate(predictor, images, held, self._features(predictor.detector, (*images, *held)))

    @_once
    def _validation(self, spec: Spec) -> tuple[Images, ...]:
        wanted = self.grid.validation
        if wanted is None:
            return ()
        return self.images(choose_images(spec, self.registry.dataset(spec), wanted, key="validation"))

    def _unavailable(self, cell: Cell) -> str | None:
        specs = [*([cell.detector] if cell.detector else []), *cell.training.plugins()]
        specs = [spec for spec in specs if spec.kind != "dataset"]
        for spec in (s for whole in specs for s in self.registry.with_parts(whole)):
            reason = why_unavailable(self.registry.entry(spec.kind, spec.name).cls)
            if reason:
                return f"{spec.kind} '{spec.name}': {reason}"
        return None

    def train(self, cell: Cell) -> Train:
        """Return the training stage of a cell; a row `human` and its learned selector share one."""
        assert cell.detector is not None
        pairs = self._pairs(cell.training, cell)
        config = self.settings.training(cell.detector, "selector_training" if cell.role == "human" else "training")
        oracle = self.grid.oracle
        if cell.role == "oracle" and oracle is not None and oracle.iterations is not None:
            config = replace(config, iterations=oracle.iterations)
        return self._train(pairs, cell.detector, config, cell)

    def _train(self, pairs: AnyPairs, detector: Spec, config: TrainingConfig, cell: Cell) -> Train:
        """Return the training of a detector; of one with a frozen trunk, on the trunk's features."""
        plugin, held = get_frozen(self.registry, detector), self._validation(cell.test.dataset)
        if plugin is not None:
            config = head_config(config, plugin)
        features = self._features(detector, (*pairs.stages, *held))
        return Train(pairs, detector, self._identity(detector), config, cell.seed, features, held)

    def _features(self, detector: Spec, images: tuple[Images | AnyCorrupt, ...]) -> tuple[Features, ...]:
        """Return the features of images, each once, where the detector has a frozen trunk; else none."""
        trunk = self._trunk(detector)
        if trunk is None:
            return ()
        identity = self._identity(trunk)
        # By their keys: a stage's hash goes through all its inputs, every time.
        stages = {one.key: one for one in images}
        made = self.features.setdefault(trunk, {})
        return tuple(made.setdefault(key, Features(one, trunk, identity)) for key, one in stages.items())

    @_once
    def _trunk(self, detector: Spec) -> Spec | None:
        trunk = find_trunk(self.registry, detector)
        if trunk is not None:
            read_maps(self.registry.make(trunk, FrozenDetector))  # type: ignore[type-abstract]  # refuses one without
        return trunk

    def _pairs(self, training: TrainingSet, cell: Cell) -> AnyPairs:
        if isinstance(training, Labelled):
            return LabelledPairs(self.images(training.images))
        if isinstance(training, Pseudo):
            return PseudoPairs(self.images(training.images), self.select(training, cell))
        if isinstance(training, Corrupted):
            return CorruptedPairs(self.corrupt(training, cell))
        assert isinstance(training, Mix)
        return MixedPairs(tuple(self._pairs(part, cell) for part in training.parts))  # type: ignore[misc]

    def _chunks(self, images: ImageSet) -> tuple[ImageSet, ...]:
        """Return the pieces of a set that are processed together (their size is in every key)."""
        return images.chunks(int(self.grid.sampling.chunk))

    @_once
    def images(self, images: ImageSet) -> tuple[Images, ...]:
        """Return the Images stages of a set, one per chunk."""
        return tuple(self._images(chunk) for chunk in self._chunks(images))

    @_once
    def _images(self, chunk: ImageSet) -> Images:
        return Images(self.source(chunk), self._decoded(chunk))

    @_once
    def _fingerprint(self, spec: Spec) -> str:
        return self.registry.dataset(spec).fingerprint()

    @_once
    def _corruptor(self, spec: Spec) -> Corruptor:
        return self.registry.make(spec, Corruptor)

    @_once
    def _identity(self, spec: Spec) -> str:
        return self.registry.identity(spec)

    @_once
    def _parts(self, spec: Spec) -> tuple[Spec, ...]:
        return self.registry.parts(spec)

    @_once
    def source(self, chunk: ImageSet) -> Source:
        return Source.of(chunk, self._fingerprint(chunk.dataset))

    @_once
    def latents(self, chunk: ImageSet) -> Latents:
        return Latents(self.source(chunk), self.model)

    def _decoded(self, chunk: ImageSet) -> Latents | None:
        return self.latents(chunk) if self.registry.dataset(chunk.dataset).autoencode else None

    def select(self, part: Pseudo | Corrupted, cell: Cell) -> Select:
        """Return the stage that selects a set's regions, with the training that the selector requires."""
        return self._select(self.images(part.images), part.selector, self._shared or cell)

    def _select(self, images: tuple[Images, ...], selector: Spec, cell: Cell) -> Select:
        assert cell.detector is not None
        selector = fill_in_detector(self.registry, selector, cell.detector)
        plugin = self.registry.make(selector, RegionSelector)  # type: ignore[type-abstract]
        wanted, train = plugin.required_detector(), None
        if wanted is not None:
            detector = self.registry.complete(Spec.parse("detector", wanted))
            pairs = LabelledPairs(self._labelled(cell))
            config = self.settings.training(detector, "selector_training")
            train = self._train(pairs, detector, config, cell)
        parts = tuple(self._select(images, part, cell) for part in self.registry.parts(selector))
        features = self._features(train.detector, images) if train else ()
        return Select(images, selector, self.registry.identity(selector), train, cell.seed, parts, features)

    def _labelled(self, cell: Cell) -> tuple[Images, ...]:
        spec = cell.test.dataset
        return self.images(draw_labelled(spec, self.registry.dataset(spec), self.grid.labelled, cell.seed))

    def corrupt(self, part: Corrupted, cell: Cell) -> tuple[AnyCorrupt, ...]:
        """Return the corruption stages of a set, one per chunk."""
        return self._corrupt(part, self._shared or cell)

    @_once
    def _corrupt(self, part: Corrupted, cell: Cell) -> tuple[AnyCorrupt, ...]:
        select, stages = self.select(part, cell), []
        for i, chunk in enumerate(self._chunks(part.images)):
            paste = self._images(chunk) if part.paste_background else None
            region = Region(select, i, part.label, paste)
            stages.append(self._corrupt_chunk(part, part.corruptor, chunk, region, cell.seed))
        return tuple(stages)

    def _corrupt_chunk(self, part: Corrupted, spec: Spec, chunk: ImageSet, region: Region, seed: int) -> AnyCorrupt:
        corruptor, identity = self._corruptor(spec), self._identity(spec)
        if isinstance(corruptor, CompositeCorruptor):
            inner = self._parts(spec)
            parts = tuple(self._corrupt_chunk(part, one, chunk, region, seed) for one in inner)
            return Choose(parts, self.latents(chunk), spec, identity, seed)
        if not isinstance(corruptor, LatentCorruptor):
            return CorruptPixels(self.latents(chunk), region, spec, identity, seed)
        start = self.start(chunk, part.inverter, corruptor.steps, seed)
        everyone = self._chunks(part.images) if corruptor.needs_reference() else ()
        references = tuple(self.latents(c) for c in everyone)
        return Corrupt(start, region, spec, identity, seed, references, self._resampling(corruptor))

    def _resampling(self, corruptor: LatentCorruptor) -> Resampling:
        """Return how a corruptor's latents are resampled; one that acts in every step itself is evaluated exactly."""
        return self.grid.sampling.resampling if is_resampled_plainly(corruptor) else "exact"

    def start(self, chunk: ImageSet, inverter: Spec, steps: int, seed: int) -> Invert | Latents:
        """Return the stage of z_t after `steps` steps, continued from a shorter inversion of the grid; z_0 for 0."""
        return self._start(chunk, inverter, steps, self._inversion_seed(inverter, seed))

    @_once
    def _start(self, chunk: ImageSet, inverter: Spec, steps: int, seed: int | None) -> Invert | Latents:
        if steps == 0:
            return self.latents(chunk)
        shallower = [n for n in self.trajectories.get((inverter, seed), []) if 0 < n < steps]
        stage = Invert(self.latents(chunk), inverter, self._identity(inverter), steps, seed)
        if not shallower:
            return stage
        before = self._start(chunk, inverter, shallower[-1], seed)
        assert isinstance(before, Invert)
        return replace(stage, before=before)

    def _round_trip(self, chunk: ImageSet, inverter: Spec, steps: int, seed: int) -> RoundTrip:
        return self._round_trip_from(chunk, inverter, steps, self._inversion_seed(inverter, seed))

    @_once
    def _round_trip_from(self, chunk: ImageSet, inverter: Spec, steps: int, seed: int | None) -> RoundTrip:
        return RoundTrip(self._start(chunk, inverter, steps, seed))

    @_once
    def _inversion_seed(self, inverter: Spec, seed: int) -> int | None:
        return seed if self.registry.make(inverter, Inverter).uses_noise() else None  # type: ignore[type-abstract]

    def _confine(self, part: Corrupted, cell: Cell) -> Confine:
        seed = self.grid.selection_seed_of(cell.seed)
        chunks = self._chunks(part.images)
        round_trips = tuple(self._part_round_trip(part, part.corruptor, chunk, seed) for chunk in chunks)
        return Confine(self.corrupt(part, cell), round_trips, self.select(part, cell))

    def _part_round_trip(self, part: Corrupted, spec: Spec, chunk: ImageSet, seed: int) -> RoundTrip | Choose:
        """Return the round trip of a corruptor's steps; for a composite, of the steps of each image's part."""
        round_trips = tuple(self._part_round_trip(part, inner, chunk, seed) for inner in self._parts(spec))
        if round_trips and any(other != round_trips[0] for other in round_trips):
            return Choose(round_trips, self.latents(chunk), spec, self._identity(spec), seed)
        if round_trips:
            return round_trips[0]
        corruptor = self._corruptor(spec)
        steps = corruptor.steps if isinstance(corruptor, LatentCorruptor) else 0
        return self._round_trip(chunk, part.inverter, steps, seed)


def check_steps(spec: Spec, corruptor: LatentCorruptor, steps: int, images: int) -> None:
    """Raise BenchkitError for more steps than the schedule has, or where no image can be the reference image."""
    if not 0 <= corruptor.steps <= steps:
        raise BenchkitError(f"corruptor '{spec.short}': steps must lie in 0...{steps}, the schedule's length")
    if corruptor.needs_reference() and images < 2:
        raise BenchkitError(
            f"corruptor '{spec.short}' draws a reference image for each image: give a source of two or more"
        )
