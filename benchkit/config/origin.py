"""File and line of a grid's values, for faults that only planning can find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from benchkit.errors import BenchkitError
from benchkit.specs.faults import add_place
from benchkit.specs.spec import Spec

#: What PyYAML raises beside YAMLError: impossible dates, numbers or brackets without end, tags no value fits.
UNREADABLE = (ValueError, RecursionError, AttributeError, LookupError, TypeError)
#: Of a grid file: more entries, or deeper nesting, are refused.
ENTRIES, DEPTH = 20_000, 50


@dataclass(frozen=True)
class Origin:
    """The grid file that a grid was read from; empty if there is none.

    lines: of every key and list entry by its path. data: the content of the file itself, without what it extends.
    Origins do not count when grids are compared.
    """

    where: str = field(default="", compare=False)
    lines: Mapping[tuple[Any, ...], int] = field(default_factory=dict, compare=False)
    data: Mapping[Any, Any] = field(default_factory=dict, compare=False)

    def place(self, key: str, value: Any) -> str:
        """Return `FILE, line N: ` of the entry of a key that has this value; "" if the file does not contain it.

        value: as the grid has it, a Spec or a set's fields; the file may write it otherwise, or as one of a sweep.
        """
        value = str(value) if isinstance(value, Spec) else value
        written = self.data.get(key)
        if not isinstance(written, list):
            return self.place_of(key) if _has_value(written, value) else ""
        at = next((i for i, entry in enumerate(written) if _has_value(entry, value)), None)
        return "" if at is None else self.place_of(key, at)

    def place_of(self, *path: Any) -> str:
        """Return `FILE, line N: ` of a path of keys; "" if the file does not contain it."""
        return f"{self.where}, line {self.lines[path]}: " if path in self.lines else ""

    @contextmanager
    def placing(self, key: str, value: Any) -> Iterator[None]:
        """Put the place of a value before the message of a BenchkitError; an option may have replaced the value."""
        try:
            yield
        except BenchkitError as error:
            raise add_place(error, self.place(key, value)) from None


def _has_value(entry: Any, value: Any) -> bool:
    """Whether an entry of a file gives a value of the grid."""
    if isinstance(entry, Mapping) and isinstance(value, Mapping):
        return all(name in value and _has_value(inner, value[name]) for name, inner in entry.items())
    return bool(entry == value) or (isinstance(entry, str) and isinstance(value, str) and value in _texts(entry))


def _texts(text: str) -> set[str]:
    """Return the texts of all Specs that an entry names."""
    try:
        return {text.strip(), *map(str, Spec.parse_all("", text))}
    except BenchkitError:
        return {text.strip()}


def lines_of(root: yaml.Node | None, where: str) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Yield the line of every key and list entry with its path; aliases are followed wherever they are used.

    Raises BenchkitError for a key that a mapping has twice, and for aliases that make a short text too large.
    """
    left: list[tuple[yaml.Node | None, tuple[Any, ...]]] = [(root, ())]
    seen = 0
    while left:
        node, at = left.pop()
        for key, value, line in _entries(node, where):
            seen += 1
            if seen > ENTRIES or len(at) > DEPTH:
                raise BenchkitError(
                    f"{where}: nested deeper than {DEPTH}, or more than {ENTRIES} entries (does an alias repeat "
                    "itself?): write it out"
                )
            yield (*at, key), line
            left.append((value, (*at, key)))


def _entries(node: yaml.Node | None, where: str) -> Iterator[tuple[Any, yaml.Node, int]]:
    """Yield what a node contains directly: key or position, node, line."""
    if isinstance(node, yaml.SequenceNode):
        yield from ((i, value, value.start_mark.line + 1) for i, value in enumerate(node.value))
    if not isinstance(node, yaml.MappingNode):
        return
    keys: set[str] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise BenchkitError(f"{where}, line {line}: not YAML that can be read: a key is a list or a mapping")
        if key.value in keys and key.value != "<<":
            raise BenchkitError(f"{where}, line {line}: key '{key.value}' is here twice: keep one")
        keys.add(key.value)
        yield key.value, value, line
