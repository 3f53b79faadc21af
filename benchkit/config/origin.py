"""Where a grid's values were written: the file and its lines, for mistakes that only planning can find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from benchkit.errors import BenchkitError
from benchkit.specs.faults import placed
from benchkit.specs.spec import Spec

#: What PyYAML raises beside YAMLError: impossible dates, numbers or brackets without end, tags no value fits.
UNREADABLE = (ValueError, RecursionError, AttributeError, LookupError, TypeError)
#: Of a grid file: more entries, or deeper ones, are no grid.
ENTRIES, DEPTH = 20_000, 50


@dataclass(frozen=True)
class Origin:
    """The grid file that a grid was read from, if it was one.

    lines: of every key and list entry by its path. data: what the file itself says, without what it extends. No part
    of what a grid is: grids that say the same are equal wherever they were written.
    """

    where: str = field(default="", compare=False)
    lines: Mapping[tuple[Any, ...], int] = field(default_factory=dict, compare=False)
    data: Mapping[Any, Any] = field(default_factory=dict, compare=False)

    def place(self, key: str, value: Any) -> str:
        """`FILE, line N: ` of a key that has this value, or of the entry that means it; "" where the file says neither.

        value: as the grid has it: a Spec, which the file may write otherwise or as one of a sweep, a set's fields, a
        number.
        """
        value = str(value) if isinstance(value, Spec) else value
        said = self.data.get(key)
        entries = said if isinstance(said, list) else [said]
        at = next((i for i, entry in enumerate(entries) if _means(entry, value)), None)
        found = (key, at) if isinstance(said, list) else (key,)
        known = at is not None and found in self.lines
        return f"{self.where}, line {self.lines[found]}: " if known else ""

    def place_of(self, *path: Any) -> str:
        """Return `FILE, line N: ` of a key in other keys; "" where the file does not write it."""
        return f"{self.where}, line {self.lines[path]}: " if path in self.lines else ""

    @contextmanager
    def told(self, key: str, value: Any) -> Iterator[None]:
        """A BenchkitError in here is led by the place where the file says this; a flag may have replaced it."""
        try:
            yield
        except BenchkitError as error:
            place = self.place(key, value)
            if not place:
                raise
            raise placed(error, place) from None


def _means(entry: Any, value: Any) -> bool:
    """Whether an entry of a file is where a value of the grid comes from."""
    if isinstance(entry, Mapping) and isinstance(value, Mapping):
        return all(name in value and _means(said, value[name]) for name, said in entry.items())
    return bool(entry == value) or (isinstance(value, str) and value in _texts(entry))


def _texts(text: Any) -> set[str]:
    """What an entry of a file stands for, as a grid writes it."""
    if not isinstance(text, str):
        return set()
    try:
        return {text.strip(), *map(str, Spec.parse_all("", text))}
    except BenchkitError:
        return {text.strip()}


def lines_of(root: yaml.Node | None, where: str) -> Iterator[tuple[tuple[Any, ...], int]]:
    """The line of every key and list entry, by its path; an alias is walked wherever it stands.

    Raises BenchkitError for a key that stands twice in a mapping, and for aliases that make too much of a short text.
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
    """What is directly in a node: key or place, node, line."""
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
            raise BenchkitError(f"{where}, line {line}: key '{key.value}' stands here twice: keep one")
        keys.add(key.value)
        yield key.value, value, line
