"""Changes of a grid by options: another dataset, replaced settings, other seeds, a smaller scale."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchkit.config.grid import Grid
from benchkit.config.grid_parts import LEAST
from benchkit.config.settings import options_of, read_setting, setting_type
from benchkit.errors import BenchkitError, shortened
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig

_SETS = ("source", "oracle", "test", "validation")
_BUDGETS = ("selector_training", "training")
#: A setting of a detector, whose name may hold parameters: `on_detector.NAME:key=value.training.lr=0.1`.
_OF_DETECTOR = re.compile(r"\s*on_detector\.(.+?)\.((?:training|selector_training|seeds)(?:\.\w+)*)\s*=(.*)", re.DOTALL)
_FROM = "the arguments: "


def change_dataset(grid: Grid, text: str) -> Grid:
    """Return the grid on another dataset, with the settings that its `on_dataset` replaces there.

    Raises BenchkitError for a text that is not a dataset, or a wrong key or value in that replacement.
    """
    name = Spec.parse("dataset", text).name
    changes = dict(grid.on_dataset.get(name, {}))
    if "source" in changes:
        changes["sources"] = []
    try:
        return grid.replaced(**{"dataset": text, **changes})
    except BenchkitError as error:
        where = f"on_dataset.{name}: " if changes else _FROM
        raise BenchkitError(where + str(error).removeprefix(_FROM)) from None


def apply_seeds(grid: Grid, seeds: Sequence[int]) -> Grid:
    """Return the grid with these seeds for every row; seeds of `on_detector` are dropped."""
    own = grid.as_data().get("on_detector", {})
    kept = {detector: {k: v for k, v in settings.items() if k != "seeds"} for detector, settings in own.items()}
    return grid.replaced(seeds=seeds, on_detector=kept)


def apply_settings(grid: Grid, texts: Iterable[str]) -> Grid:
    """Return the grid with settings replaced: `KEY=VALUE`; inner keys follow a dot, positions in lists are numbers.

    Raises BenchkitError for another form, and for a key or value that a grid refuses.
    """
    data = grid.as_data()
    earlier: list[list[str]] = []
    for text in texts:
        path, value = split_setting(text)
        key = ".".join(path)
        if path[0] == "source" and grid.sources:
            raise BenchkitError(f"`settings` {text}: this grid has several sources: write sources.0{key[6:]}=VALUE")
        if path[0] == "inverter" and grid.inverters:
            raise BenchkitError(f"`settings` {text}: this grid has several inverters: write inverters=[A,B]")
        if any(path == one[: len(path)] for one in earlier):
            raise BenchkitError(f"`settings` {shortened(text)}: replaces what another one says; give '{key}' once")
        earlier.append(path)
        try:
            read = read_setting(Grid, path, value)
        except BenchkitError as error:
            raise BenchkitError(f"`settings` {shortened(text)}: {error}") from None
        is_text = str in options_of(setting_type(Grid, path))
        if isinstance(read, str) and not is_text and re.search(r",\s*[\w.]+=", value):
            raise BenchkitError(f"`settings` {shortened(text)}: give each setting by itself")
        _put(data, path, read, text)
    try:
        return grid.replaced(**data)
    except BenchkitError as error:
        raise BenchkitError(f"`settings`: {str(error).removeprefix(_FROM)}") from None


def split_setting(text: str) -> tuple[list[str], str]:
    """Return the keys of `KEY.KEY=VALUE`, and the value's text; raises BenchkitError for another form."""
    if found := _OF_DETECTOR.fullmatch(text):
        name, keys, value = found.groups()
        # The key as the grid has it, so that an entry of the file is changed and not a second one added.
        return ["on_detector", str(Spec.parse("detector", name)), *keys.split(".")], value
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise BenchkitError(f"`settings` '{text}': write KEY=VALUE, such as training.iterations=100")
    return path, value


def _put(data: dict[str, Any], path: list[str], value: Any, text: str) -> None:
    inner: Any = data
    for i, part in enumerate(path):
        index: Any = int(part) if isinstance(inner, list) and part.isdecimal() else part
        here = isinstance(inner, dict) or (isinstance(inner, list) and isinstance(index, int) and index < len(inner))
        if not here:
            raise BenchkitError(f"`settings` {text}: the grid has no '{'.'.join(path[: i + 1])}'")
        if i == len(path) - 1:
            inner[index] = value
            return
        if isinstance(inner, dict) and inner.get(index) is None:
            inner[index] = {}
        inner = inner[index]


def scale_grid(grid: Grid, factor: float) -> Grid:
    """Return the grid with every number of images and iterations multiplied by `factor`, in (0, 1].

    At least LEAST images of a set and one iteration remain. Seeds, batch, steps and rows do not change.
    """
    if not 0 < factor <= 1:
        raise BenchkitError(f"`scale` {factor:g}: give a factor above 0 and up to 1, such as 0.01")
    if factor == 1:
        return grid
    data = grid.as_data()
    changes: dict[str, Any] = {name: _smaller(data[name], factor) for name in _SETS if data[name] is not None}
    changes["sources"] = [_smaller(one, factor) for one in data.get("sources", ())]
    changes["labelled"] = max(LEAST, round(grid.labelled * factor))
    for name in _BUDGETS:
        changes[name] = _shorter(data[name], factor)
    changes["on_detector"] = {
        detector: {**own, **{name: _shorter(own[name], factor) for name in _BUDGETS if name in own}}
        for detector, own in data.get("on_detector", {}).items()
    }
    scale = grid.scale * factor
    return grid.replaced(**changes, scale=scale, title=f"{_unscaled_title(grid)} (scaled by {scale:g})")


def find_idle_settings(grid: Grid) -> Iterator[str]:
    """Yield a sentence for each setting of a grid that has no effect, or not the intended one."""
    if grid.oracle is not None and "oracle" not in grid.baselines:
        yield "oracle has no effect: 'baselines' has no row 'oracle'"
    for source in grid.every_source:
        if source.size is not None and source.fraction != 1:
            yield f"fraction={source.fraction:g} of source '{source.title}' has no effect: it has a size"
    for name in _BUDGETS:
        budget: TrainingConfig = getattr(grid, name)
        if budget.schedule != "linear-warmup-poly" and budget.warmup:
            yield f"{name}.warmup={budget.warmup} has no effect: only 'schedule: linear-warmup-poly' has a warm-up"
        elif budget.warmup >= budget.iterations:
            yield (
                f"{name}.warmup={budget.warmup} is not shorter than {name}.iterations={budget.iterations}: the "
                "learning rate never reaches lr"
            )
        if budget.schedule in ("constant", "one-cycle") and budget.power != 1:
            yield f"{name}.power={budget.power:g} has no effect: 'schedule: {budget.schedule}' has no polynomial"


def _smaller(images: Mapping[str, Any], factor: float) -> dict[str, Any]:
    size = images["size"]
    if size is None:
        smaller = {**images, "fraction": images.get("fraction", 1.0) * factor}
    else:
        smaller = {**images, "size": max(LEAST, round(size * factor))}
    return _shorter(smaller, factor) if images.get("iterations") else smaller


def _shorter(training: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return the settings of a training with iterations and warm-up, if written, multiplied by `factor`."""
    changes: dict[str, Any] = dict(training)
    if "iterations" in training:
        changes["iterations"] = max(1, round(training["iterations"] * factor))
    if "warmup" in training:
        changes["warmup"] = round(training["warmup"] * factor)
    return changes


def _unscaled_title(grid: Grid) -> str:
    return grid.title.removesuffix(f" (scaled by {grid.scale:g})")
