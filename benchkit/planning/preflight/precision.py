"""Precisions of trainings and of sampling that a device does not have, or only emulates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.planning.detector_settings import DetectorSettings, Part, list_trained_for
from benchkit.plugin.networks import get_frozen
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import Fault
from benchkit.specs.spec import Spec
from benchkit.system.number_formats import has_bfloat16, has_float16, has_tf32

#: How much longer an evaluation of the denoiser takes in a number format that the processor emulates (measured with
#: the embedded checkpoint: bfloat16 without its instructions, 16 images; float16 on a processor without it, 4 images).
EMULATED = {"bfloat16": "about 1.7 times", "float16": "about 4 times"}


def list_precisions(grid: Grid, registry: Registry) -> dict[str, str]:
    """Return the precision of each training that is not in float32, by the grid's key that decides it.

    Settings that contradict each other are faults that are found elsewhere.
    """
    found: dict[str, str] = {}
    with suppress(BenchkitError):
        settings = DetectorSettings(grid, registry)
        detectors = list(map(registry.complete, grid.detectors))
        learned = [one for spec in grid.selectors for one in list_trained_for(registry, registry.complete(spec))]
        used: dict[Part, list[Spec]] = {"training": detectors, "selector_training": [*detectors, *learned]}
        for part, detector in ((part, one) for part, every in used.items() for one in every):
            head = get_frozen(registry, detector)
            if head is None or not head.fits_itself:
                found[settings.key(detector, part, "precision")] = settings.training(detector, part).precision
    return {key: precision for key, precision in found.items() if precision != "float32"}


def find_unsupported(precisions: Mapping[str, str], device: str) -> Iterator[Fault]:
    """Yield a fault where the device does not have a precision."""
    keys = [key for key, precision in precisions.items() if precision == "tf32"]
    if keys and not has_tf32(device):
        message = f"{' and '.join(keys)}: device '{device}' has no tf32; NVIDIA GPUs from compute capability 8 on do"
        yield Fault(message, "choose float32", dict.fromkeys(keys, "float32"))


def find_slow_sampling(grid: Grid, device: str) -> Iterator[Fault]:
    """Yield a fault where a device would emulate the number format of the sampling, which costs more than it saves."""
    precision = grid.sampling.precision
    known = {"bfloat16": has_bfloat16, "float16": has_float16}
    if precision in known and known[precision](device) is False:
        cost = f"takes {EMULATED[precision]} the time of float32" if device == "cpu" else "is slower than float32"
        yield Fault(
            f"sampling.precision: device '{device}' only emulates {precision}, which {cost}",
            "choose float32, or auto",
            {"sampling.precision": "float32"},
        )


def find_emulated(precisions: Mapping[str, str], device: str) -> Iterator[str]:
    """Yield a sentence where the device only emulates a precision."""
    keys = [key for key, precision in precisions.items() if precision == "bfloat16"]
    if keys and has_bfloat16(device) is False:
        yield (
            f"{' and '.join(keys)}: device '{device}' only emulates bfloat16, which can take more than twice the time "
            "of float32; float32 is faster here"
        )
