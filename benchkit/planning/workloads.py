"""How much work a stage is, and how many bytes it writes: what its time and its place on disk are estimated from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchkit.api import FrozenDetector
from benchkit.planning.preflight.facts import Facts
from benchkit.plugin.networks import get_frozen, read_maps
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.base import Costs, Model, Stage
from benchkit.stages.confine import Confine
from benchkit.stages.corrupt import Choose, Corrupt, CorruptPixels, RoundTrip, split_start
from benchkit.stages.evaluate import Evaluate, TrivialPredictor
from benchkit.stages.features import Features, find_source
from benchkit.stages.images import Images, Latents, Source
from benchkit.stages.invert import Invert
from benchkit.stages.select import Select
from benchkit.stages.train import Train
from benchkit.training.feature_size import feature_bytes

#: Decoding an image takes about as long as this many network evaluations (measured with the embedded checkpoint).
DECODING = 3
#: Bytes of an image's latents for each of its pixels: 4 channels of float32 at an eighth of its height and width.
LATENT_BYTES = 4 * 4 / 64
#: Bytes of a stored image for each pixel: three colours, and with its label a fourth.
IMAGE_BYTES, LABELLED_BYTES = 3, 4


@dataclass(frozen=True)
class Workload:
    """The work of one stage.

    kind: the stage's class. what: the checkpoint or the plugins that it runs. amount: units of work; units of one kind
    and `what` take about the same time each for images of one size. pixels: of an image; 0 where its size is not
    known. size: bytes that it writes; None where they cannot be known before.
    """

    kind: str
    what: str
    amount: float
    pixels: int = 0
    size: int | None = None


@dataclass
class Workloads:
    """The workloads of stages. The size of a set's images is that of its first image."""

    registry: Registry
    _sizes: dict[tuple[Spec, str], tuple[int, int] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._facts = Facts(self.registry)
        self._costs = cache(self._make_costs)

    def of(self, stage: Stage) -> Workload:
        """Return the workload of a stage."""
        kind = type(stage).__name__.lower()
        measure = _MEASURES.get(type(stage))
        return Workload(kind, "", 1) if measure is None else Workload(kind, **measure(self, stage))

    def network_evaluations(self, stage: Stage, model: Model) -> int:
        """Return the network evaluations of a stage that runs this model."""
        return stage.network_evaluations(self._costs(model.location, model.steps))

    def find_size(self, source: Source) -> tuple[int, int] | None:
        """Return height and width of the first image of a source's set; None where it cannot be known."""
        images = source.images
        place = (images.dataset, images.split)
        if place not in self._sizes:
            self._sizes[place] = self._facts.of(ImageSet(*place, images.indices[:1]))[0].size
        return self._sizes[place]

    def count_pixels(self, source: Source) -> int:
        """Return the pixels of an image of a source; 0 where its size is not known."""
        height, width = self.find_size(source) or (0, 0)
        return height * width

    def _make_costs(self, location: str, steps: int) -> Costs:
        from benchkit.diffusion.backend import timesteps_of

        return Costs(self.registry, timesteps_of(location, steps))


def _of_images(works: Workloads, source: Source, what: str, amount: float, a_pixel: float) -> dict[str, Any]:
    """Return the fields of a workload on the images of a source. a_pixel: bytes written for each of their pixels."""
    pixels = works.count_pixels(source)
    size = round(len(source.indices) * pixels * a_pixel) if pixels else None
    return {"what": what, "amount": amount, "pixels": pixels, "size": size}


def _name(model: Model) -> str:
    """Return what identifies a checkpoint and its precision."""
    dtype = model.dtype if model.sampling == "float32" else model.sampling
    return f"{model.identity[:16]} {dtype} {model.vae}"


def _latents(works: Workloads, stage: Latents) -> dict[str, Any]:
    return _of_images(works, stage.source, _name(stage.model), len(stage.source.indices), LATENT_BYTES)


def _images(works: Workloads, stage: Images) -> dict[str, Any]:
    what = stage.source.images.dataset.name if stage.latents is None else _name(stage.latents.model)
    return _of_images(works, stage.source, what, len(stage.source.indices), LABELLED_BYTES)


def _invert(works: Workloads, stage: Invert) -> dict[str, Any]:
    evaluations = works.network_evaluations(stage, stage.latents.model)
    return _of_images(works, stage.latents.source, _name(stage.latents.model), evaluations, LATENT_BYTES)


def _resample(works: Workloads, stage: Corrupt | RoundTrip) -> dict[str, Any]:
    latents, _ = split_start(stage.start)
    amount = works.network_evaluations(stage, latents.model) + DECODING * len(latents.source.indices)
    size = LABELLED_BYTES if isinstance(stage, Corrupt) else IMAGE_BYTES
    masked = " masked" if getattr(stage, "resampling", "exact") == "masked" else ""
    return _of_images(works, latents.source, f"{_name(latents.model)}{masked}", amount, size)


def _pixels(works: Workloads, stage: CorruptPixels) -> dict[str, Any]:
    what = f"{stage.corruptor.name} {_name(stage.latents.model)}"
    return _of_images(works, stage.latents.source, what, len(stage.latents.source.indices), LABELLED_BYTES)


def _choose(works: Workloads, stage: Choose) -> dict[str, Any]:
    source = stage.latents.source
    return _of_images(works, source, stage.corruptor.name, len(source.indices), LABELLED_BYTES)


def _features(works: Workloads, stage: Features) -> dict[str, Any]:
    source = stage.source
    found = _of_images(works, source, stage.trunk.short, len(source.indices), 0)
    if size := works.find_size(source):
        maps = read_maps(works.registry.make(stage.trunk, FrozenDetector))  # type: ignore[type-abstract]
        found["size"] = len(source.indices) * feature_bytes(maps, *size)
    return found


def _select(works: Workloads, stage: Select) -> dict[str, Any]:
    what = f"{stage.selector.name} {stage.train.detector.short}" if stage.train else stage.selector.name
    found = _of_images(works, stage.images[0].source, what, _count(stage.images), 0)
    return {**found, "size": round(found["amount"] * found["pixels"] / 8) or None}


def _train(works: Workloads, stage: Train) -> dict[str, Any]:
    sources = [find_source(images) for images in stage.pairs.stages]
    head = get_frozen(works.registry, stage.detector)
    if head is not None and head.fits_itself:
        amount = sum(len(source.indices) for source in sources)
    else:
        amount = stage.config.iterations * stage.config.batch
    pixels = stage.config.crop**2 if stage.config.crop else works.count_pixels(sources[0])
    return {"what": f"{stage.detector.short} {stage.config.precision}", "amount": amount, "pixels": pixels}


def _evaluate(works: Workloads, stage: Evaluate) -> dict[str, Any]:
    predictor = stage.predictor
    what = predictor.rule if isinstance(predictor, TrivialPredictor) else predictor.detector.short
    pixels = works.count_pixels(stage.test[0].source)
    return {"what": what, "amount": _count(stage.test) + _count(stage.validation), "pixels": pixels}


def _confine(works: Workloads, stage: Confine) -> dict[str, Any]:
    return {
        "what": "",
        "amount": _count(stage.select.images),
        "pixels": works.count_pixels(stage.select.images[0].source),
    }


def _count(stages: tuple[Images, ...]) -> int:
    return sum(len(stage.source.indices) for stage in stages)


_MEASURES: Mapping[type[Stage], Callable[[Workloads, Any], dict[str, Any]]] = {
    Latents: _latents,
    Images: _images,
    Invert: _invert,
    Corrupt: _resample,
    RoundTrip: _resample,
    CorruptPixels: _pixels,
    Choose: _choose,
    Features: _features,
    Select: _select,
    Train: _train,
    Evaluate: _evaluate,
    Confine: _confine,
}
