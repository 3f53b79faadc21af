"""Command lines of tests: a helper's usual options, of which a test gives some another value."""

from __future__ import annotations

from collections.abc import Sequence

FLAGS = ("--cache", "--dataset", "--device", "--inverter", "--mask", "--model", "--out", "--seed", "--seeds", "--split")


def last_given(arguments: Sequence[object]) -> list[str]:
    """The words of a command line, of each of FLAGS only the last one with its value: none may be given twice."""
    words = [str(argument) for argument in arguments]
    last = {word: at for at, word in enumerate(words) if word in FLAGS}
    earlier = {at for at, word in enumerate(words) if word in last and last[word] != at}
    return [word for at, word in enumerate(words) if at not in earlier and at - 1 not in earlier]
