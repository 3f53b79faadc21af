"""The hooks a plugin may implement; each returns a list of classes. Names carry the prefix `benchkit_`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from benchkit.api import Corruptor, Dataset, Detector, Inverter, RegionSelector

hookspec = pluggy.HookspecMarker("benchkit")


@hookspec
def benchkit_corruptors() -> list[type[Corruptor]]:  # type: ignore[empty-body]
    """Corruptors: what happens inside the mask."""


@hookspec
def benchkit_selectors() -> list[type[RegionSelector]]:  # type: ignore[empty-body]
    """Region selectors: image -> mask."""


@hookspec
def benchkit_detectors() -> list[type[Detector]]:  # type: ignore[empty-body]
    """Detectors: networks from image to two-class logits."""


@hookspec
def benchkit_inverters() -> list[type[Inverter]]:  # type: ignore[empty-body]
    """Inverters: z_0 -> the trajectory z_1 ... z_steps."""


@hookspec
def benchkit_datasets() -> list[type[Dataset]]:  # type: ignore[empty-body]
    """Datasets: index -> sample."""
