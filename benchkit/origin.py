"""Where a grid's values were written: the file and its lines, for mistakes that only planning can find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.faults import placed
from benchkit.specs import Spec


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

        value: as the grid has it: a Spec's text, which the file may write otherwise or as one of a sweep, a set's
        fields, a number.
        """
        said = self.data.get(key)
        entries = said if isinstance(said, list) else [said]
        at = next((i for i, entry in enumerate(entries) if _means(entry, value)), None)
        found = (key, at) if isinstance(said, list) else (key,)
        known = at is not None and found in self.lines
        return f"{self.where}, line {self.lines[found]}: " if known else ""

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
