"""Ids of images as file names that are valid on any file system."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from itertools import accumulate

#: Longest name of a file without its suffix, in characters.
LONGEST = 200
#: Names that Windows reserves for devices, with any suffix.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
_DIGITS = 16


def file_name(identifier: str, *, capitals: bool = True) -> str:
    """Return an id as a file name: 1 to LONGEST letters, digits, `_`, `-`, `%` and `~`.

    Every other character becomes the `%XX` of its UTF-8 bytes, as in a URL. So do a leading `-`, the first letter of a
    device's name and, with capitals=False, capitals. `urllib.parse.unquote` returns the id. A longer name is cut and
    ends with `~` and a digest of the id.
    """
    kept = re.compile("[A-Za-z0-9_-]" if capitals else "[a-z0-9_-]")
    parts = [char if kept.fullmatch(char) else _escaped(char) for char in identifier]
    if identifier.startswith("-") or _DEVICES.fullmatch(identifier):
        parts[0] = _escaped(identifier[0])
    if sum(map(len, parts)) > LONGEST:
        digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
        lengths = accumulate(map(len, parts))
        fitting = sum(length < LONGEST - _DIGITS for length in lengths)
        parts = [*parts[:fitting], "~", digest]
    return "".join(parts) or "~"


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


@dataclass
class Names:
    """Assigns a unique file name to each id; the same ids in the same order get the same names.

    Some file systems ignore case. So of two ids that differ only in case, the later one has its capitals as `%XX`. A
    repeated id gets its name with `~2`, `~3` and so on.
    """

    _taken: set[str] = field(default_factory=set)

    def of(self, identifier: str) -> str:
        """Return the name of the next id."""
        base = file_name(identifier)
        names = [base, file_name(identifier, capitals=False)]
        name = next((name for name in names if name.casefold() not in self._taken), base)
        number = 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{base}~{number}"
        self._taken.add(name.casefold())
        return name
