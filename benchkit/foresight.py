"""What is known of a plan before anything is computed: what it will cost, and what its images already tell.

One image of a set is looked at, and only where its stage is not finished; what the others hold is seen when they are
read. A set that cannot be read here is left to its stage, which names what is wrong with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from benchkit.api import BenchkitError, Dataset, Sample
from benchkit.plan import Plan, PlannedCell
from benchkit.registry import Registry
from benchkit.stages.base import Costs, Env, Model
from benchkit.stages.evaluate import Evaluate
from benchkit.stages.images import Images, check_labelled, unlabelled
from benchkit.stages.pairs import AnyPairs, CorruptedPairs, MixedPairs
from benchkit.stages.train import Train
from benchkit.store.artifacts import ArtifactStore, CorruptArtifact


@dataclass(frozen=True)
class Preview:
    """What a plan would do: pending and cached stages by kind, cells with their skips, denoiser forwards."""

    pending: Mapping[str, int]
    cached: Mapping[str, int]
    cells: tuple[PlannedCell, ...]
    forwards: int
    pending_forwards: int
    train_iterations: int


def preview(plan: Plan, registry: Registry, model: Model, store: ArtifactStore) -> Preview:
    """Look at a plan without running it; raises BenchkitError for what its images already tell (see `foresee`)."""
    from benchkit.diffusion.backend import timesteps_of

    foresee(plan, Env(registry, store))
    costs = Costs(registry, timesteps_of(model.location, model.steps))
    have = {stage.key for stage in plan.stages if store.has(stage.key)}
    pending = [stage for stage in plan.stages if stage.key not in have]
    return Preview(
        pending=Counter(type(s).__name__.lower() for s in pending),
        cached=Counter(type(s).__name__.lower() for s in plan.stages if s.key in have),
        cells=plan.cells,
        forwards=plan.forwards(costs),
        pending_forwards=sum(s.forwards(costs) for s in pending),
        train_iterations=sum(s.config.iterations for s in pending if isinstance(s, Train)),
    )


def foresee(plan: Plan, env: Env) -> None:
    """Raise BenchkitError for test or validation images without masks, and for crops larger than the images."""
    looks = _Looks(env)
    for stage in plan.stages:
        if isinstance(stage, Evaluate):
            for images in (*stage.test[:1], *stage.validation[:1]):
                looks.check_labelled(images)
        if isinstance(stage, Train) and stage.config.crop is not None and not env.store.has(stage.key):
            for images in _trained_on(stage.pairs):
                looks.check_crop(images, stage.config.crop)


class _Looks:
    """The first image of every set that was looked at, each once."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.labels: set[str] = set()
        self.samples: dict[str, Sample | None] = {}

    def check_labelled(self, images: Images) -> None:
        if images.key in self.labels:
            return
        self.labels.add(images.key)
        if self.env.store.has(images.key):
            with suppress(CorruptArtifact):  # what is damaged is mended when the stage is run
                check_labelled(images, self.env)
            return
        sample = self._first(images)
        if sample is not None and sample.mask is None:
            raise unlabelled(images, sample.id)

    def check_crop(self, images: Images, crop: int) -> None:
        sample = self._first(images)
        if sample is None:
            return
        height, width = sample.image.shape[:2]
        if crop > min(height, width):
            dataset = images.source.images.dataset.short
            raise BenchkitError(
                f"training: crop {crop} is more than the {width}x{height} pixels of the images of split "
                f"'{images.source.split}' of dataset '{dataset}': choose {min(height, width)} or "
                "less, or leave 'crop' out for whole images"
            )

    def _first(self, images: Images) -> Sample | None:
        """The set's first sample, or None where it cannot be read."""
        source = images.source
        if images.key not in self.samples:
            self.samples[images.key] = None
            with suppress(Exception):
                dataset = self.env.registry.make(source.images.dataset, Dataset)  # type: ignore[type-abstract]
                self.samples[images.key] = dataset.read(source.split, source.indices[:1])[0]
        return self.samples[images.key]


def _trained_on(pairs: AnyPairs) -> Iterator[Images]:
    """The first images of every set that a network is trained on."""
    if isinstance(pairs, MixedPairs):
        for part in pairs.parts:
            yield from _trained_on(part)
    elif isinstance(pairs, CorruptedPairs):
        yield from pairs.chunks[0].region.select.images[:1]
    else:
        yield from pairs.images[:1]
