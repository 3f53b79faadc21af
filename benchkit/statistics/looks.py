"""Add seeds only where pairs of methods are unresolved, at looks that are fixed beforehand.

The numbers of seeds at which the results are looked at follow from the first and the largest number alone. At each of L
looks every statement is made at the level 1 - (1 - LEVEL) / L: the probability that any statement of that look is wrong
is at most 0.05 / L, for all pairs together. So the probability that any statement at any look is wrong is at most 0.05
(Bonferroni). The bound counts every pair at every look, whether it is looked at or not. So results may decide in any
way which methods get more seeds, and a later board may repeat what an earlier look found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from benchkit.statistics.intervals import Pair, compute_differences, is_at_bound
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.look_rule import LookRule
from benchkit.statistics.multiple_comparisons import adjust_step_down, find_significant, simultaneous_half_widths

#: different: the difference is shown. small: it is smaller than the margin. known: its simultaneous interval reaches no
#: further than the margin to either side. undefined: it has no interval, and more seeds give none.
State = Literal["different", "small", "known", "unresolved", "undefined"]


@dataclass(frozen=True)
class Look:
    """What one look found. seeds: of the methods that were not stopped before. states: pairs by their State.

    stopped: methods whose pairs are all settled. failed: methods that lack a seed, because its cell failed. more: the
    methods that get the next look's seeds.
    """

    seeds: int
    states: Mapping[State, int]
    stopped: tuple[str, ...]
    failed: tuple[str, ...]
    more: tuple[str, ...]


def settle_pairs(methods: Mapping[str, Jackknife], margin: float, level: float) -> dict[Pair, State]:
    """Return the state of every pair of methods with a figure, over the seeds that both have."""
    names = [name for name, own in methods.items() if np.isfinite(own.estimate)]
    found = compute_differences(methods, list(combinations(names, 2)), level)
    different = find_significant(adjust_step_down(methods, found), level)
    states: dict[Pair, State] = {}
    for pair, half_width in simultaneous_half_widths(methods, found, level).items():
        if pair in different:
            states[pair] = "different"
        elif not np.isfinite(half_width):
            # Further seeds may leave the bound. They do not help a pair that has no interval for another reason.
            states[pair] = "unresolved" if is_at_bound(methods[pair[0]], methods[pair[1]]) else "undefined"
        elif abs(found[pair].estimate) + half_width < margin:
            states[pair] = "small"
        else:
            states[pair] = "known" if half_width <= margin else "unresolved"
    return states


def follow_looks(
    methods: Mapping[str, Jackknife], rule: LookRule, failed: Mapping[str, Collection[int]]
) -> tuple[list[Look], dict[str, int]]:
    """Return the looks that these results allow, and how many of the rule's seeds each method is to have.

    methods: with all seeds that are finished. failed: method -> the seeds that will not finish. A method goes on while
    one of its pairs with another method that goes on is unresolved. A look is taken when all its methods are finished.
    """
    running = {*methods, *failed}
    numbers = dict.fromkeys(sorted(running), rule.numbers[0])
    looks: list[Look] = []
    for place, number in enumerate(rule.numbers):
        due = set(rule.seeds[:number])
        numbers |= dict.fromkeys(running, number)
        done = {name: due & {*methods[name].seeds} if name in methods else set() for name in running}
        if any(due - done[name] - {*failed.get(name, ())} for name in running):
            break
        lacking = {name for name in running if due - done[name]}
        running -= lacking
        seen = {name: set(rule.seeds[: numbers[name]]).intersection(own.seeds) for name, own in methods.items()}
        drawn = {name: methods[name].of_seeds(sorted(seeds)) for name, seeds in seen.items() if seeds}
        states = settle_pairs(drawn, rule.margin, rule.level)
        unresolved = {pair for pair, state in states.items() if state == "unresolved" and running.issuperset(pair)}
        more = {name for pair in unresolved for name in pair} if place + 1 < len(rule.numbers) else set()
        looks.append(Look(number, Counter(states.values()), *map(_ordered, (running - more, lacking, more))))
        running = more
        if not running:
            break
    return looks, numbers


def _ordered(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
