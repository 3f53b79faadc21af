"""Variants of a comparison: axes that are varied one value at a time, or crossed; each variant is a Grid."""

from __future__ import annotations

import logging
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import BaseModel

from benchkit.config.grid import Grid
from benchkit.config.settings import read_setting
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.plugin.registry import Registry, parameters
from benchkit.specs.faults import Collector
from benchkit.specs.grammar import print_value, read_value, split, split_values
from benchkit.specs.spec import Spec

_log = logging.getLogger(__name__)

#: An axis that replaces a whole plugin, or `KIND.PARAMETER` one of its parameters, and the grid's field it stands in.
FIELDS = {"corruptor": "corruptors", "selector": "selectors", "detector": "detectors", "inverter": "inverter"}
#: Another test set would leave nothing to pair; texts, lists and seeds are no axes.
_NO_AXES = {
    "title",
    "note",
    "dataset",
    "test",
    "validation",
    "baselines",
    "trivial",
    "with_human",
    "seeds",
    "inverters",
    "on_detector",
}
#: More than these are a mistake: each is a comparison of its own.
VARIANTS = 1000
_MEASURE = ("dataset", "test", "validation", "seeds")


@dataclass(frozen=True)
class Axis:
    """What is varied, `corruptor.steps` say, and its values as they were written."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Axis:
        """Read `AXIS=v1,v2`; a value that holds a `,` stands in quotes, a plugin with several parameters in brackets.

        Raises BenchkitError for another form.
        """
        name, equals, rest = text.partition("=")
        name = name.strip()
        values = split_values(rest)
        if not equals or not name or not all(values):
            meant = "" if equals or not name else f"; say what is varied: AXIS={','.join(re.split(r'[|,]', name))}"
            raise BenchkitError(f"`vary` '{text}': write AXIS=VALUE,VALUE, such as corruptor.steps=5,10{meant}")
        single = _singles(name, values)
        if len(single) > len(values):
            meant = shlex.quote(str(cls(name, tuple(single))))
            raise BenchkitError(f"`vary` '{text}': values are separated by ',': write `vary` {meant}")
        for value in dict.fromkeys(value for value in values if values.count(value) > 1):
            _log.warning("`vary` %s: '%s' is given twice: it is run once", name, value, extra={"tell": True})
        return cls(name, tuple(dict.fromkeys(values)))

    def __str__(self) -> str:
        return f"{self.name}={','.join(f'({one})' if len(split(one, ',')) > 1 else one for one in self.values)}"


def _singles(axis: str, values: Sequence[str]) -> list[str]:
    """The values, those with alternatives as several: `5|10`, or of plugins `a:x=1|2`."""
    if axis in FIELDS:
        return [str(spec) for value in values for spec in Spec.parse_all(axis, value)]
    return [part.strip() for value in values for part in split(value, "|")]


@dataclass(frozen=True)
class Variant:
    """A grid that differs from the base by these settings, (axis, value) each; the base has none."""

    settings: tuple[tuple[str, str], ...]
    grid: Grid

    @property
    def label(self) -> str:
        """The settings as a row's name shows them: `corruptor.steps=5, inverter=ddim`."""
        return ", ".join(f"{name}={value}" for name, value in self.settings)

    @property
    def place(self) -> str:
        """What leads a message about it; nothing for the base."""
        return f"`vary` {self.label}: " if self.settings else ""


def expand(base: Grid, axes: Sequence[Axis], registry: Registry, crossed: bool = False) -> tuple[Variant, ...]:
    """The base, then a variant for every value of every axis, or for every combination of them.

    Trivial predictions learn nothing and stay the base's alone. Raises BenchkitError for an axis that does not exist,
    applies to no row or is given twice, for a value that a parameter refuses, and where two rows become one.
    """
    names = [axis.name for axis in axes]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BenchkitError(f"`vary` {twice[0]}: given twice; write {twice[0]}=VALUE,VALUE once")
    pairs = [[(axis.name, value) for value in axis.values] for axis in axes]
    number = math.prod(map(len, pairs)) if crossed else sum(map(len, pairs))
    if number > VARIANTS:
        raise BenchkitError(
            f"`vary`: {number} variants, the limit is {VARIANTS}: name fewer values, or leave `crossed`"
        )
    chosen = product(*pairs) if crossed else ((pair,) for own in pairs for pair in own)
    faults, variants = Collector(), [Variant((), base)]
    for settings in chosen:
        with faults.collecting():
            variants.append(_variant(base, tuple(settings), registry))
    faults.check()
    return tuple(variants)


def _variant(base: Grid, settings: tuple[tuple[str, str], ...], registry: Registry) -> Variant:
    grid = base
    plugins = [setting for setting in settings if setting[0].partition(".")[0] in FIELDS]
    # Whole plugins first, so that a parameter is set on the plugin that stands there then.
    for name, value in sorted(plugins, key=lambda setting: setting[0] not in FIELDS):
        with _told([(name, value)]):
            grid = grid.replaced(**_changed_plugins(grid, name, value, registry))
    # All other settings at once: two of them may be allowed together, and one alone not.
    own = [setting for setting in settings if setting not in plugins]
    changes: dict[str, Any] = {}
    for name, value in own:
        with _told([(name, value)]):
            changes |= _changed_setting(grid, changes, name, value, registry)
    with _told(own):
        return Variant(settings, grid.replaced(**changes, trivial=()))


@contextmanager
def _told(settings: Sequence[tuple[str, str]]) -> Iterator[None]:
    """A BenchkitError in here is led by the settings that make it."""
    try:
        yield
    except BenchkitError as error:
        text = str(error).removeprefix("the command line: ")
        raise BenchkitError(f"`vary` {', '.join(f'{name}={value}' for name, value in settings)}: {text}") from None


def _changed_plugins(grid: Grid, name: str, value: str, registry: Registry) -> dict[str, Any]:
    """The grid's fields that a setting of plugins replaces."""
    kind, _, key = name.partition(".")
    changed = _plugins(grid, kind, key, value, registry)
    fields = [FIELDS[kind], "with_human"] if kind == "corruptor" else [FIELDS[kind]]
    return {field: _texts_of(grid, field, changed) for field in fields}


def _changed_setting(
    grid: Grid, changes: Mapping[str, Any], name: str, value: str, registry: Registry
) -> dict[str, Any]:
    """The grid's field that a setting of its own replaces, on top of other changes."""
    kind, _, key = name.partition(".")
    if name not in _settings(grid):
        if kind in _MEASURE:
            raise BenchkitError(f"'{kind}' says what is measured: variants of it have nothing to be paired with")
        raise UnknownNameError("axis", name, axis_names(grid, registry))
    own = read_setting(Grid, name.split("."), value)
    if not key:
        return {kind: own}
    return {kind: {**(changes.get(kind) or getattr(grid, kind).model_dump(mode="json")), key: own}}


def _texts_of(grid: Grid, field: str, changed: dict[str, str]) -> Any:
    old = getattr(grid, field)
    return changed[old] if isinstance(old, str) else [changed[text] for text in old]


def _plugins(grid: Grid, kind: str, key: str, value: str, registry: Registry) -> dict[str, str]:
    """Every text of a kind in the grid -> what the setting makes of it."""
    if kind == "inverter" and (grid.inverters or len(grid.every_inverter) > 1):
        raise BenchkitError("the base has several inverters: name one with `inverter`")
    texts = _texts(grid, kind)
    if not texts:
        raise BenchkitError(f"applies to no row: the base has no {kind}; name one with `{kind}`")
    if key:
        having = [text for text in texts if key in _parameters(registry, Spec.parse(kind, text))]
        if not having:
            raise _inapplicable(grid, kind, key, registry)
        made = {text: _with(kind, text, key, value) if text in having else text for text in texts}
    elif len(texts) > 1:
        raise BenchkitError(f"the base has {len(texts)} of them ({', '.join(texts)}): name one with `{kind}`")
    else:
        made = {texts[0]: str(Spec.parse(kind, value))}
    complete = [registry.complete(Spec.parse(kind, text)) for text in made.values()]
    same = next((i for i, spec in enumerate(complete) if spec in complete[:i]), None)
    if same is not None:
        first = list(made)[complete.index(complete[same])]
        raise BenchkitError(f"makes {kind}s '{first}' and '{list(made)[same]}' one: leave one out with `{kind}`")
    return made


def _with(kind: str, text: str, key: str, value: str) -> str:
    spec = Spec.parse(kind, text)
    return str(Spec.of(kind, spec.name, **{**spec.values, key: read_value(value)}))


def _texts(grid: Grid, kind: str) -> tuple[str, ...]:
    """The plugins of a kind that the grid names."""
    found = getattr(grid, FIELDS[kind])
    texts = (found,) if isinstance(found, str) else tuple(found)
    return tuple(dict.fromkeys((*texts, *(grid.with_human if kind == "corruptor" else ()))))


def _parameters(registry: Registry, spec: Spec) -> set[str]:
    return {f.name for f in parameters(registry.entry(spec.kind, spec.name).cls)}


def _inapplicable(grid: Grid, kind: str, key: str, registry: Registry) -> BenchkitError:
    """Why no plugin of the grid has a parameter: others have it, or nobody does."""
    if any(key in {f.name for f in parameters(entry.cls)} for entry in registry.entries(kind)):
        return BenchkitError(f"applies to no row: of {', '.join(_texts(grid, kind))} none has the parameter '{key}'")
    return UnknownNameError("axis", f"{kind}.{key}", axis_names(grid, registry))


def _settings(grid: Grid) -> list[str]:
    """The grid's own settings that can be an axis: `labelled`, `source.size`, `training.iterations` ..."""
    found: list[str] = []
    for name in type(grid).model_fields:
        value = getattr(grid, name)
        if name in _NO_AXES or name in FIELDS.values():
            continue
        if isinstance(value, BaseModel):
            found += [f"{name}.{inner}" for inner in type(value).model_fields]
        elif value is not None:
            found.append(name)
    return found


def axis_names(grid: Grid, registry: Registry) -> list[str]:
    """Every axis that applies to the grid: plugins, their parameters, settings."""
    names = [*FIELDS, *_settings(grid)]
    for kind in FIELDS:
        for text in _texts(grid, kind) if kind != "inverter" else map(str, grid.every_inverter):
            names += [f"{kind}.{key}" for key in sorted(_parameters(registry, Spec.parse(kind, text)))]
    return list(dict.fromkeys(names))


def base_value(grid: Grid, axis: str, spec: Spec | None) -> str:
    """What an axis stands at in the base, for a row that uses the complete Spec `spec` of the axis's kind."""
    kind, _, key = axis.partition(".")
    if kind in FIELDS:
        if spec is None:
            return "base"
        if not key:
            return next((t for t in _texts(grid, kind) if Spec.parse(kind, t).name == spec.name), spec.name)
        return print_value(spec.values[key]) if key in spec.values else ""
    value = getattr(grid, kind)
    value = getattr(value, key) if key else value
    return str(value).lower() if isinstance(value, bool) else str(value)
