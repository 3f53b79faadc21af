"""The grid of a call: a preset, a file or a Grid, changed by the arguments of `compare`, `ablate` and `tune`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    BenchkitError,
    as_argument_error,
    describe_value,
    shortened,
)
from benchkit.functions.arguments import check_number, check_texts, check_whole
from benchkit.functions.plugin_arguments import PluginLike, name_plugin, name_plugins
from benchkit.inference.models import check_schedule, name_model
from benchkit.specs.training_sets import SEEDS

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.functions.plugin_arguments import DatasetLike
    from benchkit.inference.models import ModelLike
    from benchkit.plugin.registry import Registry
    from benchkit.specs.spec import Spec

_log = logging.getLogger(__name__)

Plugins = PluginLike | Sequence[PluginLike] | None
#: Replaced settings of a grid: by their keys, or as texts `KEY=VALUE`.
Settings = Mapping[str, Any] | Sequence[str]
#: The grid's field of each list of plugins, and the kind of its plugins.
_LISTS = {"selectors": "selector", "corruptors": "corruptor", "detectors": "detector", "inverters": "inverter"}


@dataclass(frozen=True)
class GridArguments:
    """The arguments that change a grid, as the caller gave them; None where one was not given."""

    dataset: DatasetLike | None = None
    model: ModelLike | None = None
    seeds: Iterable[int] | None = None
    selectors: Plugins = None
    corruptors: Plugins = None
    detectors: Plugins = None
    inverters: Plugins = None
    settings: Settings | None = None
    scale: float | None = None
    until_resolved: float | None = None
    max_seeds: int | None = None

    def load(self, grid: str | Path | Grid, registry: Registry) -> Grid:
        """Return the grid of a preset, a file or a Grid with all arguments applied, `settings` and `scale` last.

        registry: see `choose`. Raises BenchkitError for an argument that cannot be applied.
        """
        texts = list_settings(self.settings)
        for name, remedy in (
            ("until_resolved", "give points of IoU"),
            ("max_seeds", "give one"),
            ("scale", "give one"),
        ):
            check_number(name, getattr(self, name), remedy)
        names = (*_LISTS, "dataset", "model", "seeds", "until_resolved", "max_seeds")
        self._refuse_repeated({name for name in names if getattr(self, name) is not None}, texts)
        with as_argument_error():
            adapted = self._adapt(self.choose(load_base(grid), registry), registry, texts)
        check_schedule(self.model, adapted.num_inference_steps)
        return adapted

    def choose(self, grid: Grid, registry: Registry | None = None) -> Grid:
        """Return the grid with the dataset, model, seeds and plugins of the arguments.

        `dataset` also brings the settings that the preset changes for this dataset. If `corruptors` are given, rows
        `human+CORRUPTOR` stay only for corruptors that are still compared; `x` and `x:key=default` are the same
        corruptor. `seeds` hold for every row, also of detectors with seeds of their own. Classes among the plugins are
        added to the registry.
        """
        from benchkit.config.overrides import apply_seeds, change_dataset
        from benchkit.plugin.registry import Registry

        registry = registry or Registry()
        lists = {name: name_plugins(getattr(self, name), kind, registry, name) for name, kind in _LISTS.items()}
        changes: dict[str, Any] = {name: texts for name, texts in lists.items() if texts is not None}
        if self.dataset is not None:
            grid = change_dataset(grid, name_plugin(self.dataset, "dataset", registry, "dataset"))
        if len(changes.get("inverters", ())) == 1:  # one inverter, or a sweep
            changes |= {"inverter": changes["inverters"][0], "inverters": []}
        changes |= {} if self.model is None else {"model": name_model(self.model)}
        changes |= {name: v for name in ("until_resolved", "max_seeds") if (v := getattr(self, name)) is not None}
        if self.seeds is not None:
            grid = apply_seeds(grid, list_seeds(self.seeds))
        changed = grid.replaced(**changes) if changes else grid
        return _drop_mixed_rows(changed, registry) if "corruptors" in changes else changed

    def _adapt(self, grid: Grid, registry: Registry, texts: Sequence[str]) -> Grid:
        """Return the grid with `settings`, then `scale`, applied; log remarks about the result."""
        from benchkit.config.overrides import apply_settings, find_idle_settings, scale_grid

        grid = apply_settings(grid, texts) if texts else grid
        if self.scale is not None:
            smaller = scale_grid(grid, self.scale)
            if smaller.replaced(scale=grid.scale, title=grid.title) == grid:
                note(f"`scale` {self.scale:g} changes nothing: no number of images or iterations gets smaller")
            grid = smaller
        for remark in (*_find_overruled(grid, registry, texts), *find_idle_settings(grid)):
            note(remark)
        return grid

    def _refuse_repeated(self, given: set[str], texts: Sequence[str]) -> None:
        """Raise ArgumentValueError if `settings` repeat what another argument gives."""
        for text in texts:
            field = re.split(r"[.=]", text, maxsplit=1)[0].strip()
            field = "inverters" if field == "inverter" else field
            if field in given:
                raise ArgumentValueError(f"`settings` {shortened(text)}: `{field}` sets the same; give one of the two")


def note(text: str) -> None:
    """Log a note for the caller; the command line prints it."""
    _log.warning("%s", text, extra={"tell": "note"})


def load_base(grid: str | Path | Grid) -> Grid:
    """Return the grid of a preset's name, of a YAML file, or a Grid as it is; raise BenchkitError for anything else."""
    from benchkit.config.grid import Grid, load_grid

    if isinstance(grid, Grid):
        return grid
    if not isinstance(grid, str | Path):
        raise ArgumentTypeError(f"grid: give a preset's name, a YAML file or a Grid, not {describe_value(grid)}")
    return load_grid(str(grid))


def list_seeds(seeds: Any) -> list[int]:
    """Return seeds as whole numbers; raise ArgumentTypeError for anything that is no list of them."""
    if isinstance(seeds, int | str) or not isinstance(seeds, Iterable):
        raise ArgumentTypeError(
            f"seeds: {describe_value(seeds)} is no list: give a list or a range of whole numbers, such as range(5)"
        )
    listed = list(seeds)
    if not listed:
        raise ArgumentValueError("seeds: the list is empty: give one seed or more, such as range(5)")
    for seed in listed:
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            raise ArgumentTypeError(f"seeds: {describe_value(seed)} is no whole number: give some, such as range(5)")
    return [check_whole("seeds", seed, 0, SEEDS - 1) for seed in listed]


def list_settings(settings: Any) -> list[str]:
    """Return settings as texts `KEY=VALUE`; raise ArgumentTypeError for anything but a mapping or texts."""
    from benchkit.specs.grammar import print_value

    if isinstance(settings, Mapping):
        return [f"{key}={_setting_text(key, value, print_value)}" for key, value in settings.items()]
    if isinstance(settings, str) or not isinstance(settings, Sequence | None):
        raise ArgumentTypeError(
            f"settings: {describe_value(settings)} is no dict: give one, such as {{'source.size': 64}}"
        )
    return check_texts("settings", settings or (), "source.size=64")


def _setting_text(key: Any, value: Any, print_value: Any) -> str:
    """Return a value as the text of a setting: lists and mappings as JSON, which YAML contains."""
    if not isinstance(key, str):
        raise ArgumentTypeError(f"settings: the key {key!r} is no text: write it as 'source.size'")
    value = to_plain(value)
    if isinstance(value, bool | int | float | str | None):
        return str(print_value(value))
    try:
        return json.dumps(list(value) if isinstance(value, tuple | range) else value)
    except (TypeError, ValueError):
        raise ArgumentTypeError(
            f"settings: {key} is {describe_value(value)}: give a number, a text, a list or a dict"
        ) from None


def to_plain(value: Any) -> Any:
    """Return a number of numpy or torch as Python's, a path as text, and any other value unchanged."""
    if isinstance(value, Path):
        return str(value)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _find_overruled(grid: Grid, registry: Registry, settings: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each training setting that a detector with its own settings does not follow."""
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
                yield f"`settings` {name} does not change detector '{detector.short}': write {key}=VALUE"


def _drop_mixed_rows(grid: Grid, registry: Registry) -> Grid:
    """Return the grid without rows `human+CORRUPTOR` of corruptors that it no longer compares; name each one."""
    compared = {_complete(spec, registry) for spec in grid.corruptors}
    mixed = tuple(spec for spec in grid.with_human if _complete(spec, registry) in compared)
    for spec in grid.with_human:
        if spec not in mixed:
            note(f"row 'human+{spec}' of '{grid.title}' is skipped: `corruptors` do not name '{spec}'")
    return grid if mixed == grid.with_human else grid.replaced(with_human=mixed)


def _complete(spec: Spec, registry: Registry) -> Spec:
    """Return the corruptor's Spec with its defaults; unchanged if it is unknown, which planning reports later."""
    try:
        return registry.complete(spec)
    except BenchkitError:
        return spec


def note_unused_inverter(arguments: GridArguments, grid: Grid, registry: Registry) -> None:
    """Log a note if inverters were given and no corruptor of the grid works on inverted latents."""
    from benchkit.api import PixelCorruptor

    names = [spec.name for spec in (*grid.corruptors, *grid.with_human)]
    known = [registry.entry("corruptor", name).cls for name in names if registry.has("corruptor", name)]
    unused = len(known) == len(names) and all(issubclass(cls, PixelCorruptor) for cls in known)
    if arguments.inverters is not None and unused:
        note("`inverters` changes nothing: no corruptor of this comparison works on latents")
