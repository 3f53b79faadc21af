"""Call plugins, and check the tensors that they return."""

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

    where: bool, broadcastable to `like`: only these values are read, so only these must be finite. Raises PluginError
    that names the plugin if it fails, draws from a global generator, or returns anything else.
    """
    who = f"{plugin.kind} '{plugin.name}'"
    before = _generators()
    try:
        result = work()
    except (BenchkitError, MemoryError, torch.OutOfMemoryError):
        # If memory runs out, an executor may try again with less work at a time.
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
            raise PluginError(f"{who} returned {aspect} {_format_value(got)}, expected {_format_value(wanted)}")
    read = result if where is None else torch.where(where, result, torch.zeros_like(result))
    if not bool(torch.isfinite(read).all()):
        raise PluginError(f"{who} returned values that are not finite")
    return result


def check_unchanged(plugin: Plugin, copy: object, original: object, fields: Sequence[str]) -> None:
    """Raise PluginError if a plugin has written to a tensor of the copy that it received."""
    for field in fields:
        if not torch.equal(getattr(copy, field), getattr(original, field)):
            raise PluginError(f"{plugin.kind} '{plugin.name}' changed its input {field} in place: work on a copy")


def check_repeats(plugin: Plugin, work: Callable[[], Tensor]) -> None:
    """Raise PluginError if a plugin's work, done twice on equal inputs, gives two results.

    This finds a plugin that draws from a generator of its own. Small differences are allowed, because an accelerator
    may change the order of sums.
    """
    first, second = work(), work()
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-3):
        by = float((first - second).abs().max())
        raise PluginError(
            f"{plugin.kind} '{plugin.name}' gave two results for the same images and seed, up to {by:.3g} apart: "
            "draw from at.rng alone"
        )


def choose_parts(plugin: CompositeCorruptor, rng: Noise, count: int) -> list[int]:
    """Return the part that a composite corruptor chooses for each of `count` images; raise PluginError for others."""
    rows = call(plugin, lambda: plugin.choose(rng), like=torch.zeros(count, dtype=torch.int64))
    if count and not 0 <= int(rows.min()) <= int(rows.max()) < len(plugin.parts()):
        raise PluginError(f"corruptor '{plugin.name}' chose parts that it does not have")
    return rows.tolist()


def _generators() -> dict[str, object]:
    """Return the states of the global generators of the CPU."""
    name, keys, *rest = np.random.get_state()
    return {
        "random": random.getstate(),
        "numpy": (name, np.asarray(keys).tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def _format_value(value: object) -> str:
    return str(tuple(value)) if isinstance(value, torch.Size) else str(value)
