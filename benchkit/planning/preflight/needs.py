"""Requirements of a grid for its sets of images: masks, annotated pixels, sizes, captions, attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchkit.api import Plugin, RegionSelector
from benchkit.config.grid import Grid
from benchkit.planning.detector_settings import DetectorSettings, Part, list_trained_for
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet


@dataclass(frozen=True)
class Chosen:
    """The usable plugins and the sets of a grid, as far as they could be found; labelled: one set a seed."""

    grid: Grid
    settings: DetectorSettings
    detectors: tuple[Spec, ...] = ()
    selectors: tuple[Spec, ...] = ()
    corruptors: tuple[Spec, ...] = ()
    test: ImageSet | None = None
    validation: ImageSet | None = None
    oracle: ImageSet | None = None
    sources: tuple[tuple[str, ImageSet], ...] = ()
    labelled: tuple[ImageSet, ...] = ()


@dataclass(frozen=True)
class Need:
    """The requirements for one set. key: the grid's key of the set.

    mask: on every image. positive: sets in each of which some pixel must be annotated. reason: of `positive`. crops:
    (the training's key, side of its crops) of the trainings on it. encoded: the autoencoder reads the images.
    of_samples: `mask`, `caption` or an attribute, the plugin that needs it, and its name in messages.
    """

    key: str
    images: ImageSet
    mask: bool = False
    positive: tuple[ImageSet, ...] = ()
    reason: str = ""
    crops: tuple[tuple[str, int], ...] = ()
    encoded: bool = False
    of_samples: tuple[tuple[str, Plugin, str], ...] = ()


def list_needs(chosen: Chosen, registry: Registry) -> Iterator[Need]:
    """Yield the requirements for each set of a grid."""
    grid = chosen.grid
    crop = _crops(chosen.settings, "training", chosen.detectors)
    if chosen.test is not None:
        reason = "so artifact IoU, AP and AUROC have no meaning"
        yield Need("test", chosen.test, mask=True, positive=(chosen.test,), reason=reason)
    if chosen.validation is not None:
        reason = "so no threshold can be chosen on them" if chosen.test else "so nothing can be scored on them"
        yield Need("validation", chosen.validation, mask=True, positive=(chosen.validation,), reason=reason)
    if chosen.labelled:
        yield from _need_of_labelled(chosen, registry)
    is_read = bool(chosen.corruptors) or "pseudo" in grid.baselines
    wanted = tuple(_of_samples((*chosen.selectors, *chosen.corruptors), registry))
    for key, images in chosen.sources if is_read else ():
        yield Need(key, images, crops=crop, encoded=bool(chosen.corruptors), of_samples=wanted)
    if chosen.oracle is not None:
        reason = "so nothing can be learned from them"
        yield Need("oracle", chosen.oracle, mask=True, positive=(chosen.oracle,), reason=reason, crops=crop)


def _need_of_labelled(chosen: Chosen, registry: Registry) -> Iterator[Need]:
    """Yield the requirements for the labelled images of all seeds as one set, if a row reads them."""
    grid, first = chosen.grid, chosen.labelled[0]
    every = [part for spec in chosen.selectors for part in registry.with_parts(spec)]
    plugins = [registry.make(spec, RegionSelector) for spec in every]  # type: ignore[type-abstract]
    learned = [plugin for plugin in plugins if plugin.required_detector() is not None]
    own = "human" in grid.baselines or any(plugin.required_detector() == "same" for plugin in learned)
    trained = [detector for spec in chosen.selectors for detector in list_trained_for(registry, spec)]
    trained += chosen.detectors if own else ()
    crops = _crops(chosen.settings, "selector_training", trained)
    crops += _crops(chosen.settings, "training", chosen.detectors) if grid.with_human else ()
    if not (learned or "human" in grid.baselines or grid.with_human or "mean-mask" in grid.trivial):
        return
    matched = any(plugin.threshold() is None for plugin in learned)
    indices = dict.fromkeys(index for one in chosen.labelled for index in one.indices)
    together = ImageSet(first.dataset, first.split, tuple(indices))
    reason = "so nothing can be learned from them"
    if matched:
        reason = "so the selector's threshold cannot be matched to the annotated area"
    trains = matched or bool(learned) or "human" in grid.baselines
    yield Need("labelled", together, mask=True, positive=chosen.labelled if trains else (), reason=reason, crops=crops)


def _crops(settings: DetectorSettings, part: Part, detectors: Sequence[Spec]) -> tuple[tuple[str, int], ...]:
    """Return the grid's key and the side of the crops of every training of these detectors."""
    keys = {
        settings.key(one, part, "crop").removesuffix(".crop"): settings.training(one, part).crop for one in detectors
    }
    return tuple((key, crop) for key, crop in keys.items() if crop is not None)


def _of_samples(specs: Sequence[Spec], registry: Registry) -> Iterator[tuple[str, Plugin, str]]:
    for spec in specs:
        for part in registry.with_parts(spec):
            plugin = registry.make(part, Plugin)
            for name in plugin.needs():
                yield name, plugin, f"{spec.kind} '{spec.short}'"
