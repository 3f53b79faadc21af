"""Check that a device can compute what grids ask of it: number formats of training and sampling, and the chunk."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from benchkit.config.grid import Grid, Sampling
from benchkit.planning.auto_sampling import find_large_chunk
from benchkit.planning.preflight.masked_resampling import find_useless_masking
from benchkit.planning.preflight.precision import find_emulated, find_slow_sampling, find_unsupported, list_precisions
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import Collector
from benchkit.stages.base import each_device
from benchkit.system.devices import resolve_device

_log = logging.getLogger(__name__)


def check_precisions(grids: Sequence[tuple[str, Grid]], registry: Registry, device: str) -> None:
    """Raise FaultsError for trainings in a precision that the device does not have; log those that it emulates.

    device: resolved only where a training is not in float32, because that may load torch.
    """
    faults = Collector()
    for place, grid in grids:
        if precisions := list_precisions(grid, registry):
            device = resolve_device(device, several=True)
            faults.add(*find_unsupported(precisions, each_device(device)[0]), place=place)
            for text in find_emulated(precisions, each_device(device)[0]):
                _log.warning("%s", text, extra={"tell": "note"})
    faults.check()


def check_sampling(grids: Sequence[tuple[str, Grid]], registry: Registry, device: str) -> None:
    """Raise FaultsError for a number format that the device only emulates, a large chunk, and useless masking.

    device: resolved only for other settings than the default's, because that may load torch.
    """
    faults = Collector()
    for place, grid in grids:
        if grid.sampling != Sampling():
            device = each_device(resolve_device(device, several=True))[0]
            faults.add(*find_slow_sampling(grid, device), *find_large_chunk(grid, registry, device), place=place)
            faults.add(*find_useless_masking(grid, registry), place=place)
    faults.check()
