"""The cells of a comparison in the order of the board: images, rows, names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from benchkit.api import Corruptor, LatentCorruptor, RegionSelector
from benchkit.config.grid import Grid
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.planning.image_sets import Sets
from benchkit.plugin.registry import Registry
from benchkit.specs.cell import Cell, Role
from benchkit.specs.faults import Fault, FaultsError
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import Corrupted, ImageSet, Labelled, Mix, Pseudo, TrainingSet, Trivial


def make_cells(grid: Grid, registry: Registry) -> Iterator[Cell]:
    """Yield the cells of a grid in the order of the board; Specs are complete with defaults, equal rows are one."""
    sets = Sets(grid, registry)
    test = sets.of("test", grid.test)
    specs = _GridSpecs(grid, registry)
    settings = DetectorSettings(grid, registry)
    for seed in grid.every_seed:
        labelled = sets.labelled(seed)
        for rule in grid.trivial if seed in grid.seeds else ():
            yield Cell("trivial", Trivial(rule), None, seed, test, rule)
        sources = sets.sources(grid.selection_seed_of(seed))
        for detector in (one for one in specs.detectors if seed in settings.seeds(one)):
            for row in _rows(grid, specs, sets, sources, labelled, detector):
                yield Cell(row.role, row.training, detector, seed, test, *row[2:])


class _GridSpecs:
    """The complete Specs of a grid, equal ones once.

    repeated: a sentence for each Spec that was skipped because an earlier one is the same.
    """

    def __init__(self, grid: Grid, registry: Registry) -> None:
        self.grid, self.registry = grid, registry
        self.repeated: dict[str, None] = {}
        self.detectors = self._complete_once("detectors", grid.detectors)
        self.inverters = self._inverters(grid)
        self.corruptors = self._complete_once("corruptors", grid.corruptors)
        self.with_human = self._complete_once("with_human", grid.with_human)
        self._selectors = self._complete_once("selectors", grid.selectors)

    def _inverters(self, grid: Grid) -> tuple[Spec, ...]:
        key = "inverters" if grid.inverters else "inverter"
        return self._complete_once(key, grid.every_inverter)

    def selectors(self, detector: Spec) -> tuple[Spec, ...]:
        """Return the selectors of the rows of one detector; `same` becomes this detector."""
        found: dict[Spec, str] = {}
        for named in self._selectors:
            check_can_be_shared(self.grid, self.registry, named)
            own = fill_in_detector(self.registry, named, detector)
            if own in found:
                self._repeat("selectors", named.short, f"'{found[own]}' for the detector '{detector.short}'")
            found.setdefault(own, named.short)
        return tuple(found)

    def list_inverters(self, corruptor: Spec) -> tuple[Spec | None, ...]:
        """Return the inverters of a corruptor's rows: all of the grid's, or None if it needs none."""
        if needs_inversion(self.registry, corruptor):
            return self.inverters
        if len(self.inverters) > 1:
            self.repeated[f"corruptor '{corruptor.short}' inverts nothing: it is run once, not once per inverter"] = (
                None
            )
        return (None,)

    def _complete_once(self, key: str, specs: tuple[Spec, ...]) -> tuple[Spec, ...]:
        found: dict[Spec, Spec] = {}
        for written in specs:
            with self.grid.origin.placing(key, written):
                spec = self.registry.complete(written)
            if spec in found:
                self._repeat(key, str(written), f"'{found[spec]}'")
                continue
            if spec.kind in ("corruptor", "inverter"):  # what was written names the row
                spec = replace(spec, defaults=spec.defaults.difference(written.values))
            found[spec] = written
        return tuple(found)

    def _repeat(self, key: str, text: str, same: str) -> None:
        self.repeated[f"{key}: '{text}' is the same as {same}: it is run once"] = None


def list_repeated_rows(grid: Grid, registry: Registry) -> tuple[str, ...]:
    """Return a sentence for each row that a grid names twice; it is run once."""
    specs = _GridSpecs(grid, registry)
    for detector in specs.detectors:
        specs.selectors(detector)
    for corruptor in dict.fromkeys((*specs.corruptors, *specs.with_human)):
        specs.list_inverters(corruptor)
    return tuple(specs.repeated)


def needs_inversion(registry: Registry, corruptor: Spec) -> bool:
    """Whether a corruptor, or a part of it, starts from inverted latents."""
    parts = registry.parts(corruptor)
    if parts:
        return any(needs_inversion(registry, part) for part in parts)
    plugin = registry.make(corruptor, Corruptor)
    return isinstance(plugin, LatentCorruptor) and plugin.steps > 0


class _Row(NamedTuple):
    role: Role
    training: TrainingSet
    method: str | None = None
    inverter: Spec | None = None
    source_name: str | None = None


def _rows(
    grid: Grid, specs: _GridSpecs, sets: Sets, sources: dict[str, ImageSet], labelled: Labelled, detector: Spec
) -> Iterator[_Row]:
    if "human" in grid.baselines:
        yield _Row("human", labelled)
    if "oracle" in grid.baselines:
        wanted = sets.oracle_size(len(next(iter(sources.values())).indices))
        yield _Row("oracle", Labelled(sets.of("oracle", wanted)))
    for selector, (name, source) in product(specs.selectors(detector), sources.items()):
        if "pseudo" in grid.baselines:
            yield _Row("pseudo", Pseudo(source, selector), source_name=name)
        for corruptor in dict.fromkeys((*specs.corruptors, *specs.with_human)):
            for inverter in specs.list_inverters(corruptor):
                inverted = inverter or specs.inverters[0]
                corrupted = Corrupted(source, selector, corruptor, inverted, grid.label, grid.paste_background)
                if corruptor in specs.corruptors:
                    yield _Row("corrupted", corrupted, corruptor.short, inverter, name)
                if corruptor in specs.with_human:
                    yield _Row("mixed", Mix((labelled, corrupted)), corruptor.short, inverter, name)


def check_can_be_shared(grid: Grid, registry: Registry, selector: Spec) -> None:
    """Raise FaultsError for a selector that each row's own detector makes, if all detectors share one selection."""
    if grid.selection_seed is None:
        return
    for part in registry.with_parts(selector):
        plugin = registry.make(part, RegionSelector)  # type: ignore[type-abstract]
        if plugin.required_detector() == "same":
            message = (
                f"selection_seed: selector '{selector.short}' trains each row's own detector, so detectors cannot "
                "share its selection"
            )
            remedy = f"name one detector for all, as in selectors: ['{part.name}:detector=NAME'], or remove the key"
            raise FaultsError([Fault(message, remedy)])


def fill_in_detector(registry: Registry, selector: Spec, detector: Spec) -> Spec:
    """Return the selector with `same` replaced by the row's own detector."""
    plugin = registry.make(selector, RegionSelector)  # type: ignore[type-abstract]
    if plugin.required_detector() != "same":
        return selector
    values = tuple((key, str(detector) if value == "same" else value) for key, value in selector.params)
    return replace(selector, params=values)
