"""Check grids before work: names, sets of images, checkpoint, and what is known of the images.

Faults are collected over all grids (a comparison's one, an ablation's variants, the ends of a search) and raised as one
error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TypeVar

from benchkit.api import BenchkitError, Corruptor, Detector, LatentCorruptor
from benchkit.config.grid import Grid
from benchkit.diffusion import checkpoint
from benchkit.diffusion.options import parse_model
from benchkit.planning.cells import check_can_be_shared
from benchkit.planning.detector_settings import DetectorSettings, Part, list_trained_for
from benchkit.planning.image_sets import Sets
from benchkit.planning.planner import check_steps
from benchkit.planning.preflight.facts import Facts
from benchkit.planning.preflight.images import check_between_sets, check_set
from benchkit.planning.preflight.needs import Chosen, list_needs
from benchkit.planning.preflight.remarks import latent_factor
from benchkit.planning.preflight.sets import choose_sets
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import Collector, Fault
from benchkit.specs.spec import Spec
from benchkit.system.fetching import forbid_downloads
from benchkit.system.paths import expand_path

T = TypeVar("T")
Progress = Callable[[str], None]
#: How the names of files of weights end.
WEIGHTS = (".pth", ".pt", ".safetensors", ".bin", ".ckpt")
#: Text before messages about a grid (`vary` and the values of a variant; empty for the base), and the grid.
Named = tuple[str, Grid]


def check_grids(grids: Sequence[Named], registry: Registry) -> None:
    """Raise FaultsError for every fault of the grids that can be known without a look at images.

    Where there is one, the images are looked at too, so that all faults are named at once.
    """
    _Checks(registry).run(grids, images=False)


def check_images(
    grids: Sequence[Named], registry: Registry, progress: Progress = lambda _: None, test: bool = True
) -> None:
    """Raise FaultsError for every fault of the grids, those of their images included
    (`benchkit.planning.preflight.needs`).

    test: whether the test sets are looked at.
    """
    _Checks(registry, progress, test).run(grids, images=True)


def _check_rows(grid: Grid, faults: Collector, may_be_empty: bool) -> None:
    """Check that there is a row, and that no list is empty without which rows would vanish.

    may_be_empty: a search's grid has no rows where none of its trials can be made, which is a fault of its own.
    """
    selected = [*map(str, grid.corruptors + grid.with_human), *(name for name in grid.baselines if name == "pseudo")]
    trained = [*selected, *(name for name in grid.baselines if name != "pseudo")]
    if not (trained or grid.trivial or may_be_empty):
        faults.add(Fault("the comparison has no rows: corruptors, with_human, baselines and trivial are all empty"))
    for key, rows in {"selectors": selected, "detectors": trained}.items():
        if rows and not getattr(grid, key):
            faults.add(Fault(f"{key} is empty: name one for {'row' if len(rows) == 1 else 'rows'} {', '.join(rows)}"))


def _find_missing_weights(registry: Registry, detector: Spec) -> Iterator[Fault]:
    """Yield a fault for each file of weights that a built-in detector names and that does not exist.

    Third-party detectors may give such names another meaning, so they are not checked.
    """
    if not registry.entry(detector.kind, detector.name).is_built_in:
        return
    for key, value in detector.values.items():
        is_file = isinstance(value, str) and "://" not in value and PurePath(value).suffix in WEIGHTS
        if is_file and not expand_path(str(value)).is_file():
            yield Fault(f"detector '{detector.short}': {key}: no file '{value}'", "name a file of weights, or a URL")


@dataclass
class _Checks:
    """The checks of several grids; checkpoints are read once for all of them."""

    registry: Registry
    progress: Progress = lambda _: None
    test: bool = True
    checkpoints: dict[str, checkpoint.Checkpoint] = field(default_factory=dict)
    faults: Collector = field(default_factory=Collector)

    def run(self, grids: Sequence[Named], images: bool) -> None:
        """Collect every grid's faults and raise them; images: check images even if there is no other fault."""
        chosen = [(place, self._of_each(place, self._chosen, grid)) for place, grid in grids]
        for place, grid in grids:
            # What lies elsewhere is not asked for where something is wrong here.
            if not (self.faults.faults and checkpoint.is_remote(parse_model(grid.model)[0])):
                self._of_each(place, self._check_checkpoint, grid)
        for place, one in chosen:
            with forbid_downloads(bool(self.faults.faults)):
                self._of_each(place, self._check_identities, one)
        if images or self.faults.faults:
            facts = Facts(self.registry, self.progress)
            for place, one in chosen:
                self._of_each(place, self._check_images, one, facts)
        self.faults.check()

    def _of_each(self, place: str, check: Callable[..., T], *given: object) -> T:
        """Return the result of `check` for one grid; the grid's place is put before faults that no other grid has."""
        own = Collector()
        found = check(*given, own)
        self.faults.add(*own.faults, place=place)
        return found

    def _chosen(self, grid: Grid, faults: Collector) -> Chosen:
        """Return the plugins and sets of a grid."""
        detectors = tuple(self._complete(grid, "detectors", grid.detectors, faults))
        selectors = tuple(self._complete(grid, "selectors", grid.selectors, faults))
        named = {"corruptors": grid.corruptors, "with_human": grid.with_human}
        corruptors = [spec for key, some in named.items() for spec in self._complete(grid, key, some, faults)]
        list(self._complete(grid, "inverters" if grid.inverters else "inverter", grid.every_inverter, faults))
        settings = DetectorSettings(grid.replaced(on_detector={}), self.registry)
        with faults.collecting():
            settings = DetectorSettings(grid, self.registry)
        self._check_detectors(settings, detectors, selectors, faults)
        _check_rows(grid, faults, may_be_empty=not self.test)
        plugins = Chosen(grid, settings, detectors, selectors, tuple(dict.fromkeys(corruptors)))
        chosen = choose_sets(plugins, Sets(grid, self.registry), faults, self.test)
        self._check_steps_of(chosen, faults)
        return chosen

    def _complete(self, grid: Grid, key: str, named: Sequence[Spec], faults: Collector) -> Iterator[Spec]:
        """Yield the complete Specs of usable plugins; rows of plugins that cannot run here are skipped."""
        for one in named:
            with faults.collecting(), grid.origin.placing(key, one):
                spec = self.registry.complete(one)
                every = (self.registry.entry(one.kind, one.name) for one in self.registry.with_parts(spec))
                if not any(entry.cls.unavailable() for entry in every):
                    yield spec

    def _check_detectors(
        self, settings: DetectorSettings, detectors: Sequence[Spec], selectors: Sequence[Spec], faults: Collector
    ) -> None:
        """Check the detectors that selectors are trained with, and that every batch is large enough."""
        learned = []
        for selector in selectors:
            with faults.collecting():
                check_can_be_shared(settings.grid, self.registry, selector)
            with faults.collecting(f"selector '{selector.short}': "):
                learned += list_trained_for(self.registry, selector)
        used: dict[Part, Sequence[Spec]] = {"training": detectors, "selector_training": (*detectors, *learned)}
        for part, spec in ((part, spec) for part, specs in used.items() for spec in specs):
            least = self.registry.make(spec, Detector).smallest_batch  # type: ignore[type-abstract]
            with faults.collecting():
                if (batch := settings.training(spec, part).batch) < least:
                    key = settings.key(spec, part, "batch")
                    message = f"{key} is {batch}: detector '{spec.short}' trains on batches of {least} or more"
                    faults.add(Fault(message, settings={key: least}))

    def _check_identities(self, chosen: Chosen, faults: Collector) -> None:
        """Check what plugins read for their identity, such as files of weights."""
        for spec in (*chosen.detectors, *chosen.selectors, *chosen.corruptors):
            with faults.collecting():
                self.registry.identity(spec)
        learned: list[Spec] = []
        for selector in chosen.selectors:
            with suppress(BenchkitError):  # reported before
                learned += list_trained_for(self.registry, selector)
        for spec in dict.fromkeys((*chosen.detectors, *learned)):
            with faults.collecting():
                faults.add(*_find_missing_weights(self.registry, spec))

    def _check_steps_of(self, chosen: Chosen, faults: Collector) -> None:
        images = min((len(one.indices) for _, one in chosen.sources), default=2)
        for spec in (part for whole in chosen.corruptors for part in self.registry.with_parts(whole)):
            corruptor = self.registry.make(spec, Corruptor)
            if isinstance(corruptor, LatentCorruptor):
                with faults.collecting():
                    check_steps(spec, corruptor, chosen.grid.num_inference_steps, images)

    def _check_checkpoint(self, grid: Grid, faults: Collector) -> None:
        with faults.collecting(), grid.origin.placing("model", grid.model):
            if grid.model not in self.checkpoints:
                self.checkpoints[grid.model] = checkpoint.find(grid.model)
        if grid.model not in self.checkpoints:
            return
        known = self.checkpoints[grid.model].scheduler_config().get("num_train_timesteps", 1000)
        if grid.num_inference_steps > known:
            message = (
                f"num_inference_steps: {grid.num_inference_steps} is more than the {known} timesteps of '{grid.model}'"
            )
            faults.add(Fault(message, f"choose {known} or less"))

    def _check_images(self, chosen: Chosen, facts: Facts, faults: Collector) -> None:
        factor = None
        with suppress(KeyError, BenchkitError):  # no checkpoint: reported before
            factor = latent_factor(self.checkpoints[chosen.grid.model])
        needs = []
        with suppress(BenchkitError):  # settings that contradict each other: reported before
            needs = list(list_needs(chosen, self.registry))
        for need in needs:
            autoencoded = self.registry.dataset(need.images.dataset).autoencode
            with faults.collecting():
                faults.add(*check_set(replace(need, encoded=need.encoded or autoencoded), facts, factor))
        with suppress(BenchkitError):  # reported for the set itself
            faults.add(*check_between_sets(chosen, facts))
