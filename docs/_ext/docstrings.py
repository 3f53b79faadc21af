"""Docstrings as reStructuredText: they have single backticks, indented code and examples (`>>>`)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.pycode import ModuleAnalyzer

_CODE = re.compile(r"`([^`]+)`")
_SIGNS = re.compile(r"([*|\\]|_(?=\W|$))")
#: A heading that napoleon turns into a section; what is indented below it is text.
_HEADING = re.compile(r"(Args|Arguments|Returns|Raises|Yields|Attributes|Notes?|References|Examples?):")


def marked_up(paragraph: str) -> str:
    """Return a paragraph with its code in double backticks and every other sign escaped."""
    parts = _CODE.split(paragraph)
    return "".join(f"``{part}``" if i % 2 else _SIGNS.sub(r"\\\1", part) for i, part in enumerate(parts))


def converted(lines: list[str], names: Iterable[str] = ()) -> list[str]:
    """Return a docstring as reStructuredText. An indented paragraph is code, unless a heading stands above it.

    names: of parameters and fields; where the text explains them (`name: meaning`) they are shown in bold.
    """
    explained = re.compile(rf"((?:^|(?<=[.)] ))(?:(?:{_any_of(names)})(?:, | and )?)+):(?=\s)", re.MULTILINE)
    out: list[str] = []
    below_heading = False
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        paragraph = list(group)
        indented = not blank and all(line.startswith((" ", "\t")) for line in paragraph)
        if blank or paragraph[0].lstrip().startswith(">>>"):
            out += paragraph
        elif indented and not below_heading:
            out += ["::", "", *paragraph]
        else:
            text = marked_up("\n".join(paragraph))
            out += (explained.sub(r"**\1**:", text) if names else text).split("\n")
            below_heading = indented or bool(_HEADING.fullmatch(paragraph[0].strip()))
    return out


def _any_of(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or "(?!)"


def names_of(value: Any) -> list[str]:
    """Return the names that a docstring may explain: arguments of a function, fields of a class."""
    try:
        return [name for name in inspect.signature(value).parameters if name != "self"]
    except (TypeError, ValueError):
        return []


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Convert a docstring in place."""
    lines[:] = converted(lines, names_of(obj))


def without_overloads(analyze: Any) -> Any:
    """Return how Sphinx reads a module, less its overloads: they are for type checkers, a page shows the arguments."""

    def analyzed(module: ModuleAnalyzer) -> None:
        analyze(module)
        module.overloads = {}

    return analyzed


def setup(app: Any) -> dict[str, Any]:
    """Run before napoleon, which reads the sections Example, Args, Returns and Raises."""
    from sphinx.pycode import ModuleAnalyzer  # here, because tests without Sphinx import this module

    ModuleAnalyzer.analyze = without_overloads(ModuleAnalyzer.analyze)  # type: ignore[method-assign]
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"version": "1", "parallel_read_safe": True}
