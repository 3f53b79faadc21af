"""Cells of a notebook: code that runs from no file, with its source where Python's tools look for it."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import ModuleType
from typing import Any

_NUMBERS = count()


class Notebook:
    """A namespace in which cells run one after another, as those of a kernel do."""

    def __init__(self, name: str) -> None:
        self.module = ModuleType(name)
        self.module.__dict__.pop("__file__", None)

    def run(self, text: str) -> dict[str, Any]:
        """Run one cell and return the namespace."""
        name = f"<cell {next(_NUMBERS)} of {self.module.__name__}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), self.module.__dict__)
        return self.module.__dict__


@contextmanager
def notebook() -> Iterator[Notebook]:
    """Yield an empty notebook; its module is known while the context lasts."""
    name = f"notebook_{next(_NUMBERS)}"
    made = Notebook(name)
    sys.modules[name] = made.module
    try:
        yield made
    finally:
        del sys.modules[name]
