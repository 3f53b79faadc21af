"""What frozen detectors mean for a plan: settings that have no effect on heads."""

from __future__ import annotations

from collections.abc import Iterator

from benchkit.config.grid import TRAININGS, Grid
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.plugin.networks import get_frozen
from benchkit.plugin.registry import Registry
from benchkit.specs.training_config import TrainingConfig

#: Settings of a training that features cannot follow. `flip` is on by default, so it is not remarked on.
_IMAGE_SETTINGS = ("crop", "positive_crop", "resize", "photometric")


def list_unused_settings(grid: Grid, registry: Registry) -> Iterator[str]:
    """Return a sentence for each frozen detector about the training settings that have no effect on its head."""
    settings = DetectorSettings(grid, registry)
    for detector in map(registry.complete, grid.detectors):
        plugin = get_frozen(registry, detector)
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
