"""What a corrupted image costs: network evaluations of the diffusion model, as its plugins declare them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from benchkit.report.aggregate import read_object
from benchkit.report.format_values import known
from benchkit.specs.spec import Spec

if TYPE_CHECKING:
    from benchkit.plugin.registry import Registry

#: Timesteps that a diffusion model is trained on.
_TRAINED_ON = 1000


class Costs:
    """Counts the network evaluations of rows from the plugins that are installed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._count = cache(self._count_evaluations)

    def evaluations(self, line: Mapping[str, Any]) -> int | None:
        """Return the evaluations for one corrupted image of a board's line; None where a plugin is not installed.

        Inversion is counted from the clean end, resampling one step at a time. The timesteps are spread evenly over the
        1000 of the training, as diffusers does by default.
        """
        if line["role"] != "corrupted" or not known(line.get("corruptor")):
            return None
        return self._count(*map(line.get, ("corruptor", "corruptor_params", "num_inference_steps", "inverter")))

    def _count_evaluations(self, corruptor: Any, given: Any, inference_steps: Any, inverted_by: Any) -> int | None:
        from benchkit.api import Inverter, PixelCorruptor, ResamplingCorruptor
        from benchkit.errors import BenchkitError

        parameters = read_object(given)
        try:
            entry = self._registry.entry("corruptor", str(corruptor))
            if issubclass(entry.cls, PixelCorruptor):
                return 0
            steps, of = int(parameters.get("steps", 0)), int(inference_steps or 0)
            if not steps:
                return 0
            if not of or not known(inverted_by):
                return None
            plugin: Any = self._registry.make(Spec.of("corruptor", entry.name, **parameters), entry.cls)
            a_step = plugin.network_evaluations() if isinstance(plugin, ResamplingCorruptor) else 1
            inverter = self._registry.make(Spec.parse("inverter", str(inverted_by)), Inverter)  # type: ignore[type-abstract]
            timesteps = [1 + k * (_TRAINED_ON // of) for k in range(steps)]
            return steps * a_step + sum(inverter.network_evaluations(t) for t in timesteps)
        except (BenchkitError, TypeError, ValueError):
            return None  # an unknown plugin, or one of another version: its cost is unknown
