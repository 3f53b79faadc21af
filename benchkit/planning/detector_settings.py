"""How each detector is trained: the grid's own settings, and what `on_detector` puts in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchkit.api import RegionSelector
from benchkit.config.grid import Grid
from benchkit.config.grid_parts import OnDetector, change_training
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import add_place
from benchkit.specs.grammar import print_value
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig

#: The two settings of trainings in a grid.
Part = Literal["training", "selector_training"]


@dataclass(frozen=True)
class _Entry:
    """One entry of `on_detector`: its key, and the complete values of the parameters that the key writes."""

    key: Spec
    values: dict[str, str]
    settings: OnDetector

    def applies_to(self, detector: Spec) -> bool:
        """Whether a complete detector has the name and the parameter values of the key."""
        has = {key: print_value(value) for key, value in detector.params}
        return self.key.name == detector.name and self.values.items() <= has.items()


class DetectorSettings:
    """The trainings and seeds of a grid's detectors.

    An entry of `on_detector` applies to every detector with its name and all parameter values that it writes. Where
    several apply, they are merged in order of their number of parameters: the most precise one wins.
    """

    def __init__(self, grid: Grid, registry: Registry) -> None:
        """Read the grid's entries; raises BenchkitError for an unknown detector or parameter among them."""
        self.grid, self.registry = grid, registry
        entries = []
        for key, settings in grid.on_detector.items():
            try:
                complete = registry.complete(key).values
            except BenchkitError as error:
                raise add_place(error, f"{grid.origin.place_of('on_detector', str(key))}on_detector: ") from None
            values = {name: print_value(complete[name]) for name in key.values}
            entries.append(_Entry(key, values, settings))
        self._entries = sorted(entries, key=lambda entry: len(entry.values))

    def training(self, detector: Spec, part: Part = "training") -> TrainingConfig:
        """Return how a complete detector is trained; raises BenchkitError where its settings contradict each other.

        part: `selector_training` is for `human` rows and for selectors.
        """
        changes: dict[str, Any] = {}
        for entry in self._of(detector):
            changes |= getattr(entry.settings, part).written()
        try:
            return change_training(getattr(self.grid, part), changes)
        except ValueError as error:
            raise BenchkitError(f"on_detector: {part} of detector '{detector.short}': {error}") from None

    def key(self, detector: Spec, part: Part, name: str) -> str:
        """Return the grid's key that decides one setting of a training: `on_detector.dot.training.lr`, say."""
        keys = [entry.key for entry in self._of(detector) if name in getattr(entry.settings, part).model_fields_set]
        return f"on_detector.{keys[-1]}.{part}.{name}" if keys else f"{part}.{name}"

    def seeds(self, detector: Spec) -> tuple[int, ...]:
        """Return the seeds of the rows of a complete detector."""
        own = [entry.settings.seeds for entry in self._of(detector) if entry.settings.seeds is not None]
        return own[-1] if own else self.grid.seeds

    def unused(self) -> list[str]:
        """Return the keys of the entries that apply to no detector that the grid trains."""
        detectors = [self.registry.complete(spec) for spec in self.grid.detectors]
        for spec in self.grid.selectors:
            detectors += list_trained_for(self.registry, self.registry.complete(spec))
        return [str(entry.key) for entry in self._entries if not any(map(entry.applies_to, detectors))]

    def _of(self, detector: Spec) -> list[_Entry]:
        return [entry for entry in self._entries if entry.applies_to(detector)]


def list_trained_for(registry: Registry, selector: Spec) -> list[Spec]:
    """Return the detectors that a complete selector or its parts name to be trained for them; not the row's own."""
    parts = (registry.make(part, RegionSelector) for part in registry.with_parts(selector))  # type: ignore[type-abstract]
    names = (part.required_detector() for part in parts)
    return [registry.complete(Spec.parse("detector", name)) for name in names if name not in (None, "same")]
