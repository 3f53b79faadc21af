"""The text form of values: how they are quoted, read and printed (docs/reference/names.md).

The one grammar of `NAME:key=value,key=a|b` in options, grid files, settings, ablations, search spaces and composites.
A value in quotes is text. A value without quotes is a number, true, false or null where it is written as one, else
text; the type of the parameter that it is given to has the last word (benchkit.specs.parameters).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from benchkit.errors import BenchkitError, shortened

Scalar = bool | int | float | str | None

QUOTES = ("'", '"')
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
#: As Python prints them, so that a whole number can be written again as it was: no `+1`, no `007`, no `1_000`.
#: Python reads no more than 4300 digits.
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,4000}")
_NUMBER = re.compile(r"-?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?")


class WrittenFloat(float):
    """A number that was written otherwise than Python prints it, such as 1e-3 or 1.50, with that text.

    A parameter of type `str` takes the text; all others see an ordinary float.
    """

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __reduce__(self) -> tuple[type[WrittenFloat], tuple[str]]:
        return WrittenFloat, (self.text,)  # or it could not come back from a worker process


def read_value(text: str) -> Scalar:
    """Return the value that one text stands for; blanks around it do not count.

    Raises BenchkitError for no text at all, and for quotes that are not closed, or closed before the end.
    """
    text = text.strip()
    if not text:
        raise BenchkitError("a value is missing: write '' for the empty text")
    if text[0] in QUOTES:
        if _quote_end(text, 0) != len(text):
            raise BenchkitError(f"{shortened(text)}: text follows the closing quote: write {quoted(text)}")
        return text[1:-1].replace(2 * text[0], text[0])
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number if repr(number) == text else WrittenFloat(text)
    return text


def print_value(value: Scalar) -> str:
    """Return the text that `read_value` reads as this value; text is quoted where it has to be."""
    if isinstance(value, str):
        return value if _needs_no_quotes(value) else quoted(value)
    return plain_text(value)


def plain_text(value: Scalar) -> str:
    """Return what stands between the quotes, or the text as which an unquoted value was written."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, WrittenFloat):
        return value.text
    return repr(float(value)) if isinstance(value, float) else str(value)


def quoted(text: str) -> str:
    """Return the text in quotes. Inside them a quote of the same kind is doubled, and nothing else has a meaning."""
    mark = '"' if "'" in text and '"' not in text else "'"
    return f"{mark}{text.replace(mark, 2 * mark)}{mark}"


def _needs_no_quotes(text: str) -> bool:
    """Whether the text is read as itself wherever it stands: alone, in a list, in brackets, before other values."""
    if not text.isprintable() or any(mark in text for mark in (*QUOTES, "|")) or text != text.strip():
        return False
    balanced = text.count("(") == text.count(")") and all(_bracket_end(text, at) for at in _openings(text))
    return bool(text) and balanced and len(split(text, ",")) == 1 and isinstance(read_value(text), str)


def _openings(text: str) -> Iterator[int]:
    return (at for at, character in enumerate(text) if character == "(")


def split(text: str, separator: str) -> list[str]:
    """Split where the separator stands outside of brackets and quotes; a bracket that nothing closes is a character."""
    parts, start = [], 0
    while (end := value_end(text, start, separator)) < len(text):
        parts.append(text[start:end])
        start = end + 1
    return [*parts, text[start:]]


def value_end(text: str, start: int, separators: str) -> int:
    """Return where the value that begins at `start` ends: at one of the separators, or at the end of the text.

    Raises BenchkitError where the value begins with a quote that nothing closes.
    """
    at = _quoted_end(text, start) or start
    while at < len(text) and text[at] not in separators:
        at = (_bracket_end(text, at) if text[at] == "(" else None) or at + 1
    return at


def _quoted_end(text: str, start: int) -> int | None:
    """Return the end of the quotes with which a value begins; None if it begins with none."""
    at = _skip_blanks(text, start)
    if text[at : at + 1] not in QUOTES:
        return None
    end = _quote_end(text, at)
    if end is None:
        value = text[at:].strip()
        raise BenchkitError(f"{shortened(value)}: its first quote is not closed: write {shortened(quoted(value))}")
    return end


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _quote_end(text: str, start: int) -> int | None:
    """Return the position after the quote that closes the one at `start`, or None; doubled quotes are text."""
    mark, at = text[start], start + 1
    while (at := text.find(mark, at)) >= 0:
        if text[at + 1 : at + 2] != mark:
            return at + 1
        at += 2
    return None


def _bracket_end(text: str, start: int) -> int | None:
    """Return the position after the bracket that closes the one at `start`; None if there is none.

    Inside of brackets stands a name with parameters: quotes count where a value begins, after `=` or `|`.
    """
    depth, at, begins = 0, start, False
    while at < len(text):
        character = text[at]
        if begins and character in QUOTES and (end := _quote_end(text, at)) is not None:
            at, begins = end, False
            continue
        depth += {"(": 1, ")": -1}.get(character, 0)
        at += 1
        if not depth:
            return at
        begins = character in "=|" or (begins and character.isspace())
    return None


def unbracketed(text: str) -> str:
    """Return what one pair of brackets around the whole text holds; the text itself where there is none."""
    text = text.strip()
    whole = text[:1] == "(" and _bracket_end(text, 0) == len(text)
    return text[1:-1].strip() if whole else text


def bracketed_pieces(text: str) -> list[str]:
    """Return the outermost brackets, each with what it holds, and what stands between them; joined they are the text.

    A value in quotes is one piece.
    """
    if text.strip()[:1] in QUOTES:
        return [text]
    pieces, start, at = [], 0, 0
    while at < len(text):
        end = _bracket_end(text, at) if text[at] == "(" else None
        if end is None:
            at += 1
            continue
        pieces += [text[start:at], text[at:end]]
        start = at = end
    return [*pieces, text[start:]]


def split_parts(text: str) -> tuple[str, ...]:
    """Return the Specs in one parameter, joined by `+`; one that contains `,` or `+` is in brackets.

    `a+(b:x=1,y=2)` is `a` and `b:x=1,y=2`. Raises BenchkitError for an empty part.
    """
    parts = tuple(map(unbracketed, split(text, "+")))
    if not all(parts):
        raise BenchkitError(f"'{text}' names no plugin in one place: write A+B or A+(B:key=value,key=value)")
    return parts


def split_values(text: str) -> tuple[str, ...]:
    """The values in `a,b,c`, in order; one that holds a `,` itself stands in quotes, or, where it is a name
    with parameters, in brackets: `(b:x=1,y=2)`. Quotes stay, for `read_value`."""
    return tuple(map(unbracketed, split(text, ",")))


def read_items(text: str) -> list[tuple[str, list[str]]]:
    """Return each key of `key=value|value,key=value` with the texts of its alternatives, for `read_value`.

    Raises BenchkitError for what is not key=value, for a key given twice, and for a value that is not there.
    """
    items: list[tuple[str, list[str]]] = []
    start = 0
    while start <= len(text):
        equals = value_end(text, start, "=,")
        key = text[start:equals].strip()
        if text[equals : equals + 1] != "=" or not key.isidentifier():
            raise BenchkitError(_no_item(text, start, items))
        if key in dict(items):
            raise BenchkitError(f"parameter '{key}' is given twice: give it once, or as {key}=VALUE|VALUE")
        values: list[str] = []
        start = equals + 1
        while not values or text[start - 1 : start] == "|":
            end = value_end(text, start, ",|")
            values.append(text[start:end])
            start = end + 1
        if not all(value.strip() for value in values):
            what = f"has an empty alternative; write {key}=VALUE|VALUE" if len(values) > 1 else "has no value"
            raise BenchkitError(f"'{key}={'|'.join(values)}' {what}; the empty text is written {key}=''")
        items.append((key, values))
    return items


def _no_item(text: str, start: int, items: list[tuple[str, list[str]]]) -> str:
    """Return what is wrong with the text from `start`; it may belong to the value before it, if that has no quotes."""
    item = text[start : value_end(text, start, ",")].strip()
    message = f"'{shortened(item)}' is not key=value"
    if not items or any(value.strip()[0] in QUOTES for value in items[-1][1]):
        return message
    key, values = items[-1]
    rest = []
    for part in text[start:].split(","):
        if "=" in part:
            break
        rest.append(part)
    whole = ",".join(["|".join(values), *rest]).strip()
    return f"{message}; if it belongs to the value before it, write {key}={quoted(whole)}"
