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

from benchkit.config.grid import Grid
from benchkit.config.settings import fields_of, read_setting
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.plugin.registry import Registry, parameters
from benchkit.specs.faults import Collector
from benchkit.specs.grammar import print_value, read_value, split, split_values
from benchkit.specs.spec import Spec

_log = logging.getLogger(__name__)

#: The grid's field of each axis that replaces a plugin, or, as `KIND.PARAMETER`, one of its parameters.
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
    "selection_seed",
    "inverters",
    "on_detector",
}
#: More variants are refused: each one is a comparison.
VARIANTS = 1000
_MEASURE = ("dataset", "test", "validation", "seeds")


@dataclass(frozen=True)
class Axis:
    """A setting that is varied, such as `corruptor.steps`, and its values as written."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Axis:
        """Read `AXIS=v1,v2`; a value that contains a `,` is in quotes, a plugin with several parameters in brackets.

        Raises BenchkitError for another form.
        """
        name, equals, rest = text.partition("=")
        name = name.strip()
        values = split_values(rest)
        if not equals or not name or not all(values):
            hint = "" if equals or not name else f"; name what is varied: AXIS={','.join(re.split(r'[|,]', name))}"
            raise BenchkitError(f"`vary` '{text}': write AXIS=VALUE,VALUE, such as corruptor.steps=5,10{hint}")
        single = _singles(name, values)
        if len(single) > len(values):
            remedy = shlex.quote(str(cls(name, tuple(single))))
            raise BenchkitError(f"`vary` '{text}': values are separated by ',': write `vary` {remedy}")
        for value in dict.fromkeys(value for value in values if values.count(value) > 1):
            _log.warning("`vary` %s: '%s' is given twice: it is run once", name, value, extra={"tell": True})
        return cls(name, tuple(dict.fromkeys(values)))

    def __str__(self) -> str:
        return f"{self.name}={','.join(f'({one})' if len(split(one, ',')) > 1 else one for one in self.values)}"


def _singles(axis: str, values: Sequence[str]) -> list[str]:
    """Return the values; alternatives, `5|10` or `a:x=1|2`, as several."""
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
        """The settings as in a row's name: `corruptor.steps=5, inverter=ddim`."""
        return ", ".join(f"{name}={value}" for name, value in self.settings)

    @property
    def place(self) -> str:
        """The text before messages about it; empty for the base."""
        return f"`vary` {self.label}: " if self.settings else ""


def expand(base: Grid, axes: Sequence[Axis], registry: Registry, crossed: bool = False) -> tuple[Variant, ...]:
    """Return the base, then a variant for every value of every axis, or for every combination of them.

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
            f"`vary`: {number} variants, the limit is {VARIANTS}: name fewer values, or do not set `crossed`"
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
    # Whole plugins first, so that a parameter is set on the new plugin.
    for name, value in sorted(plugins, key=lambda setting: setting[0] not in FIELDS):
        with _name_settings([(name, value)]):
            grid = grid.replaced(**_change_plugins(grid, name, value, registry))
    # All other settings at once: two of them may be allowed together, and one alone not.
    own = [setting for setting in settings if setting not in plugins]
    changes: dict[str, Any] = {}
    for name, value in own:
        with _name_settings([(name, value)]):
            changes |= _change_setting(grid, changes, name, value, registry)
    with _name_settings(own):
        return Variant(settings, grid.replaced(**changes, trivial=()))


@contextmanager
def _name_settings(settings: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Put the settings that make it before the message of a BenchkitError."""
    try:
        yield
    except BenchkitError as error:
        text = str(error).removeprefix("the arguments: ")
        raise BenchkitError(f"`vary` {', '.join(f'{name}={value}' for name, value in settings)}: {text}") from None


def _change_plugins(grid: Grid, name: str, value: str, registry: Registry) -> dict[str, Any]:
    """Return the grid's fields that an axis of plugins replaces."""
    kind, _, key = name.partition(".")
    specs = _specs(grid, kind)
    if kind == "inverter" and len(specs) > 1:
        raise BenchkitError("the base has several inverters: name one with `inverters`")
    if not specs:
        raise BenchkitError(f"applies to no row: the base has no {kind}; name one with `{kind}s`")
    if key:
        changed = {one: one for one in specs}
        having = [spec for spec in specs if key in _parameters(registry, spec)]
        if not having:
            raise _inapplicable(grid, kind, key, registry)
        changed |= {one: Spec.of(kind, one.name, **{**one.values, key: read_value(value)}) for one in having}
    elif len(specs) > 1:
        listed = ", ".join(map(str, specs))
        raise BenchkitError(f"the base has {len(specs)} of them ({listed}): name one with `{kind}s`")
    else:
        changed = {specs[0]: Spec.parse(kind, value)}
    complete = [registry.complete(spec) for spec in changed.values()]
    same = next((i for i, spec in enumerate(complete) if spec in complete[:i]), None)
    if same is not None:
        first = list(changed)[complete.index(complete[same])]
        raise BenchkitError(
            f"makes {kind}s '{first}' and '{list(changed)[same]}' equal: remove one of them with `{kind}s`"
        )
    if kind == "inverter":
        return {"inverter": changed[specs[0]], "inverters": []}
    fields = [FIELDS[kind], *(["with_human"] if kind == "corruptor" else [])]
    return {field: [changed[spec] for spec in getattr(grid, field)] for field in fields}


def _change_setting(
    grid: Grid, changes: Mapping[str, Any], name: str, value: str, registry: Registry
) -> dict[str, Any]:
    """Return the grid's field that an axis of its other settings replaces, on top of other changes."""
    kind, _, key = name.partition(".")
    if name not in _settings(grid):
        if kind in _MEASURE:
            raise BenchkitError(f"'{kind}' defines what is measured: its variants could not be paired with the base")
        raise UnknownNameError("axis", name, list_axes(grid, registry))
    own = read_setting(Grid, name.split("."), value)
    return {kind: {**(changes.get(kind) or grid.as_data()[kind]), key: own} if key else own}


def _specs(grid: Grid, kind: str) -> tuple[Spec, ...]:
    """Return the plugins of a kind that the grid names."""
    if kind == "inverter":
        return grid.every_inverter
    return tuple(dict.fromkeys((*getattr(grid, FIELDS[kind]), *(grid.with_human if kind == "corruptor" else ()))))


def _parameters(registry: Registry, spec: Spec) -> set[str]:
    return {f.name for f in parameters(registry.entry(spec.kind, spec.name).cls)}


def _inapplicable(grid: Grid, kind: str, key: str, registry: Registry) -> BenchkitError:
    """Return why no plugin of the grid has a parameter: others have it, or none."""
    if any(key in {f.name for f in parameters(entry.cls)} for entry in registry.entries(kind)):
        names = ", ".join(map(str, _specs(grid, kind)))
        return BenchkitError(f"applies to no row: of {names} none has the parameter '{key}'")
    return UnknownNameError("axis", f"{kind}.{key}", list_axes(grid, registry))


def _settings(grid: Grid) -> list[str]:
    """Return the grid's own settings that can be an axis: `labelled`, `source.size`, `training.iterations` …."""
    found: list[str] = []
    for name in type(grid).model_fields:
        value = getattr(grid, name)
        if name in _NO_AXES or name in FIELDS.values() or value is None:
            continue
        inner = fields_of(type(value))
        found += [f"{name}.{key}" for key in inner] if inner else [name]
    return found


def list_axes(grid: Grid, registry: Registry) -> list[str]:
    """Return every axis that applies to the grid: plugins, their parameters, settings."""
    specs = [spec for kind in FIELDS for spec in _specs(grid, kind)]
    own = [f"{spec.kind}.{key}" for spec in specs for key in sorted(_parameters(registry, spec))]
    return list(dict.fromkeys([*FIELDS, *_settings(grid), *own]))


def format_base_value(grid: Grid, axis: str, spec: Spec | None) -> str:
    """Return the base's value of an axis, for a row that uses the complete Spec `spec` of the axis's kind."""
    kind, _, key = axis.partition(".")
    if kind in FIELDS:
        if spec is None:
            return "base"
        if not key:
            return next((str(one) for one in _specs(grid, kind) if one.name == spec.name), spec.name)
        return print_value(spec.values[key]) if key in spec.values else ""
    value = getattr(grid, kind)
    value = getattr(value, key) if key else value
    return str(value).lower() if isinstance(value, bool) else str(value)
