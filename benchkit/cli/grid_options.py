"""The grid of a command line: a preset or a file, changed by the options of `compare`, `ablate` and `tune`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchkit.cli import options
from benchkit.cli.common import tell
from benchkit.cli.unused_options import note_unused
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.plugin.registry import Registry
    from benchkit.specs.spec import Spec


@dataclass(frozen=True)
class GridOptions:
    """The options that change a grid, as the user wrote them; None or empty where an option was not given."""

    dataset: str | None = None
    model: str | None = None
    seeds: str | None = None
    selectors: Sequence[str] | None = None
    corruptors: Sequence[str] | None = None
    detectors: Sequence[str] | None = None
    inverters: Sequence[str] | None = None
    settings: Sequence[str] | None = None
    scale: float | None = None
    until_resolved: float | None = None
    max_seeds: int | None = None

    @property
    def lists(self) -> Mapping[str, Sequence[str]]:
        """The lists of plugins that were given, by the grid's field."""
        names = ("selectors", "corruptors", "detectors", "inverters")
        return {name: texts for name in names if (texts := getattr(self, name))}

    def load(self, preset: str, registry: Registry | None = None) -> Grid:
        """Return the grid of a preset or a file with all options applied, `--set` and `--scale` last.

        registry: see `choose`. Raises BenchkitError for an option that cannot be applied.
        """
        from benchkit.config.grid import load_grid

        names = ("dataset", "model", "seeds", "until_resolved", "max_seeds")
        single = {name for name in names if getattr(self, name) is not None}
        options.check_settings({*single, *self.lists}, self.settings or ())
        return self._adapt(self.choose(load_grid(preset), registry), registry)

    def choose(self, grid: Grid, registry: Registry | None = None) -> Grid:
        """Return the grid with the dataset, model, seeds and plugins of the command line.

        `--dataset` also brings the settings that the preset changes for this dataset. If `--corruptor` is given, rows
        `human+CORRUPTOR` stay only for corruptors that are still compared. With a registry, `x` and `x:key=default`
        are the same corruptor. `--seeds` holds for every row, also of detectors with seeds of their own.
        """
        from benchkit.config.overrides import apply_seeds, change_dataset

        for field, texts in self.lists.items():
            options.check_single_plugins(field, texts)
        if self.dataset is not None:
            grid = change_dataset(grid, self.dataset)
        changes: dict[str, Any] = dict(self.lists)
        if len(self.inverters or ()) == 1:  # one inverter, or a sweep
            changes |= {"inverter": changes["inverters"][0], "inverters": []}
        single = ("model", "until_resolved", "max_seeds")
        changes |= {name: value for name in single if (value := getattr(self, name)) is not None}
        if self.seeds is not None:
            grid = apply_seeds(grid, options.parse_numbers("--seeds", self.seeds))
        changed = grid.replaced(**changes) if changes else grid
        return _drop_mixed_rows(changed, registry) if "corruptors" in changes else changed

    def _adapt(self, grid: Grid, registry: Registry | None) -> Grid:
        """Return the grid with `--set`, then `--scale`, applied; print remarks about the result."""
        from benchkit.config.overrides import apply_settings, find_idle_settings, scale_grid

        grid = apply_settings(grid, self.settings) if self.settings else grid
        if self.scale is not None:
            smaller = scale_grid(grid, self.scale)
            if smaller.replaced(scale=grid.scale, title=grid.title) == grid:
                tell(f"note: --scale {self.scale:g} changes nothing: no number of images or iterations gets smaller")
            grid = smaller
        overruled = () if registry is None else _find_overruled(grid, registry, self.settings or ())
        for remark in (*overruled, *find_idle_settings(grid)):
            tell(f"note: {remark}")
        return grid


def _find_overruled(grid: Grid, registry: Registry, settings: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each training setting of `--set` that a detector with its own settings does not follow."""
    from benchkit.config.grid import TRAININGS
    from benchkit.config.overrides import split_setting
    from benchkit.planning.detector_settings import DetectorSettings

    try:
        detectors, own = [registry.complete(spec) for spec in grid.detectors], DetectorSettings(grid, registry)
    except BenchkitError:
        return  # planning reports it
    for path, _ in map(split_setting, settings):
        if len(path) != 2 or path[0] not in TRAININGS:
            continue
        for detector in detectors:
            key = own.key(detector, path[0], path[1])  # type: ignore[arg-type]
            if key != ".".join(path):
                name = ".".join(path)
                yield f"`set` {name} does not change detector '{detector.short}': write {key}=VALUE"


def _drop_mixed_rows(grid: Grid, registry: Registry | None) -> Grid:
    """Return the grid without rows `human+CORRUPTOR` of corruptors that it no longer compares; name each one."""
    compared = {_complete(spec, registry) for spec in grid.corruptors}
    mixed = tuple(spec for spec in grid.with_human if _complete(spec, registry) in compared)
    for spec in grid.with_human:
        if spec not in mixed:
            tell(f"row 'human+{spec}' of '{grid.title}' is skipped: --corruptor does not name '{spec}'")
    return grid if mixed == grid.with_human else grid.replaced(with_human=mixed)


def _complete(spec: Spec, registry: Registry | None) -> Spec:
    """Return the corruptor's Spec with its defaults; unchanged if it is unknown, which planning reports later."""
    try:
        return spec if registry is None else registry.complete(spec)
    except BenchkitError:
        return spec


def note_unused_inverter(grid: Grid, registry: Registry) -> None:
    """Print a note if --inverter was given and no corruptor of the grid works on inverted latents."""
    from benchkit.api import PixelCorruptor

    names = [spec.name for spec in (*grid.corruptors, *grid.with_human)]
    known = [registry.entry("corruptor", name).cls for name in names if registry.has("corruptor", name)]
    if len(known) == len(names) and all(issubclass(cls, PixelCorruptor) for cls in known):
        note_unused({"inverter"}, "no corruptor of this comparison works on latents")
