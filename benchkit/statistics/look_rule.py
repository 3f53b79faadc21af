"""The looks at which seeds are added, as they are fixed before the first result; see `benchkit.statistics.looks`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from benchkit.statistics.confidence_level import LEVEL

#: How much a look's number of seeds grows to the next one's: 3, 5, 8, 12, 18.
GROWTH = 1.5


@dataclass(frozen=True)
class LookRule:
    """What is fixed before the first result.

    seeds: all seeds in the order in which they are added. numbers: how many of them each look has, ascending. margin:
    the difference that pairs are to be resolved to.
    """

    seeds: tuple[int, ...]
    numbers: tuple[int, ...]
    margin: float

    @classmethod
    def make(cls, seeds: Sequence[int], most: int, margin: float) -> LookRule:
        """Return the rule that begins with these seeds and adds the smallest other ones, up to `most` in all."""
        others = [seed for seed in range(most + len(seeds)) if seed not in seeds]
        every = (*seeds, *others[: most - len(seeds)])
        return cls(every, plan_looks(len(seeds), most), margin)

    @property
    def level(self) -> float:
        """The level of each look's statements, such that all looks together have LEVEL."""
        return look_level(len(self.numbers))


def plan_looks(start: int, most: int) -> tuple[int, ...]:
    """Return the numbers of seeds at which one looks: each is GROWTH times the one before, rounded up; `most` ends."""
    numbers = [start]
    while numbers[-1] < most:
        numbers.append(min(most, ceil(GROWTH * numbers[-1])))
    return tuple(numbers)


def look_level(looks: int) -> float:
    """Return the level of the statements of each of several looks, such that all together have LEVEL."""
    return 1 - (1 - LEVEL) / looks
