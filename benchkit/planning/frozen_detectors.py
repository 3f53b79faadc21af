"""What frozen detectors mean for a plan: the size of their features, and settings that have no effect on heads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchkit.api import BenchkitError, FrozenDetector
from benchkit.config.grid import TRAININGS, Grid
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.preflight.facts import Facts
from benchkit.plugin.networks import frozen, maps_of
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.base import Stage
from benchkit.stages.features import Features
from benchkit.training.feature_size import feature_bytes

#: Settings of a training that features cannot follow. `flip` is on by default, so it is not remarked on.
_IMAGE_SETTINGS = ("crop", "positive_crop", "resize", "photometric")


def features_size(stages: Iterable[Stage], registry: Registry) -> int:
    """Return the bytes that the features among these stages take on disk, from the size of each set's first image.

    A set is not counted if its dataset does not know that size and the image cannot be read.
    """
    facts, total = Facts(registry), 0
    sizes: dict[tuple[Spec, str], tuple[int, int] | None] = {}
    for stage in (one for one in stages if isinstance(one, Features)):
        images = stage.source.images
        place = (images.dataset, images.split)
        if place not in sizes:
            sizes[place] = facts.of(ImageSet(*place, images.indices[:1]))[0].size
        if size := sizes[place]:
            maps = maps_of(registry.make(stage.trunk, FrozenDetector))  # type: ignore[type-abstract]
            total += len(images.indices) * feature_bytes(maps, *size)
    return total


def check_room(size: int, folder: Path) -> None:
    """Raise BenchkitError if features of this many bytes do not fit onto the disk of `folder`, which may not exist."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise BenchkitError(
            f"the features of frozen detectors take {size / 1e9:.1f} GB, and the disk of the cache {folder} has "
            f"{free / 1e9:.1f} GB left: free some space, put the cache onto another disk, or compare fewer images"
        )


def unused_settings(grid: Grid, registry: Registry) -> Iterator[str]:
    """Return a sentence for each frozen detector about the training settings that have no effect on its head."""
    settings = DetectorSettings(grid, registry)
    for detector in map(registry.complete, grid.detectors):
        plugin = frozen(registry, detector)
        if plugin is None or plugin.fits_itself:
            continue
        for part in TRAININGS:
            config = settings.training(detector, part)  # type: ignore[arg-type]
            defaults = TrainingConfig(iterations=1)
            names = [name for name in _IMAGE_SETTINGS if getattr(config, name) != getattr(defaults, name)]
            if names:
                yield (
                    f"{part}: {', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect on detector "
                    f"'{detector.short}': the features of its frozen trunk are those of whole images as they are"
                )
