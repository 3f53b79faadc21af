"""What is demanded of a plugin's work and of the tensor that it returns."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchkit.errors import BenchkitError, PluginError
from benchkit.plugin.loading import place_of

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import CompositeCorruptor, Noise, Plugin


def call(plugin: Plugin, work: Callable[[], Tensor], like: Tensor, where: Tensor | None = None) -> Tensor:
    """Run a plugin's work and return its result, a tensor of the shape, dtype and device of `like`.

    where: bool, broadcastable to `like`: the only cells that will be read, and so the only ones that must be finite.
    Raises PluginError naming the plugin when it fails, draws from a global generator (whatever ran before would
    change its result) or returns something else.
    """
    who = f"{plugin.kind} '{plugin.name}'"
    before = _generators()
    try:
        result = work()
    except (BenchkitError, MemoryError, torch.OutOfMemoryError):
        # Running out of memory is the machine's doing: an executor may try again with less at once.
        raise
    except (Exception, SystemExit) as error:
        file = getattr(sys.modules.get(type(plugin).__module__), "__file__", None)
        place = place_of(error, Path(file)) if file else None
        at = f" ({place})" if place else ""
        raise PluginError(f"{who} failed: {type(error).__name__}: {error}{at}") from error
    if drawn := [name for name, state in _generators().items() if state != before[name]]:
        raise PluginError(f"{who} drew from the global generator of {' and '.join(drawn)}: draw from at.rng alone")
    if not isinstance(result, torch.Tensor):
        raise PluginError(f"{who} returned {type(result).__name__}, not a tensor")
    for aspect in ("shape", "dtype", "device"):
        got, wanted = getattr(result, aspect), getattr(like, aspect)
        if got != wanted:
            raise PluginError(f"{who} returned {aspect} {_plain(got)} where {_plain(wanted)} was wanted")
    read = result if where is None else torch.where(where, result, torch.zeros_like(result))
    if not bool(torch.isfinite(read).all()):
        raise PluginError(f"{who} returned values that are not finite")
    return result


def check_unchanged(plugin: Plugin, shown: object, given: object, fields: Sequence[str]) -> None:
    """Raise PluginError where a plugin has written to a tensor of the copy that it was shown."""
    for field in fields:
        if not torch.equal(getattr(shown, field), getattr(given, field)):
            raise PluginError(f"{plugin.kind} '{plugin.name}' changed its input {field} in place: work on a copy")


def check_repeats(plugin: Plugin, work: Callable[[], Tensor]) -> None:
    """Raise PluginError where a plugin's work, done twice on equal inputs, comes to two results.

    A generator of the plugin's own, which no seed reaches, shows in nothing else. Results of one seed may differ by
    what another order of sums makes on an accelerator.
    """
    first, second = work(), work()
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-3):
        by = float((first - second).abs().max())
        raise PluginError(
            f"{plugin.kind} '{plugin.name}' came to two results for the same images and seed, up to {by:.3g} apart: "
            "draw from at.rng alone"
        )


def chosen(plugin: CompositeCorruptor, rng: Noise, count: int) -> list[int]:
    """The part that a composite corruptor chooses for each of `count` images; raises PluginError for no such part."""
    rows = call(plugin, lambda: plugin.choose(rng), like=torch.zeros(count, dtype=torch.int64))
    if count and not 0 <= int(rows.min()) <= int(rows.max()) < len(plugin.parts()):
        raise PluginError(f"corruptor '{plugin.name}' chose parts that it does not have")
    return rows.tolist()


def _generators() -> dict[str, object]:
    """Where the global generators stand, those of the processor."""
    name, keys, *rest = np.random.get_state()
    return {
        "random": random.getstate(),
        "numpy": (name, np.asarray(keys).tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def _plain(value: object) -> str:
    return str(tuple(value)) if isinstance(value, torch.Size) else str(value)
