"""Ids of images as names of files, on any file system, and back."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from itertools import accumulate

#: Longest name of a file without its suffix, in characters.
LONGEST = 200
#: Names that Windows keeps for devices, whatever their suffix.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
_DIGITS = 16


def file_name(identifier: str, *, capitals: bool = True) -> str:
    """An id as the name of a file: of letters, digits, `_`, `-`, `%` and `~` alone, not empty, at most LONGEST long.

    Every other character becomes the `%XX` of its UTF-8 bytes, as in a URL; so do a `-` in front and what would make a
    name of a device, and capitals unless they may stay. `urllib.parse.unquote` gives the id back. A longer name is cut
    and ends in `~` and a digest of the id.
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
    """Gives each id a file name of its own, the same for the same ids in the same order.

    Names differ in more than capitals, which some file systems do not tell apart: the later of two ids that differ in
    them alone has its capitals as `%XX`. An id that comes again gets its name with `~2`, `~3` and so on.
    """

    _taken: set[str] = field(default_factory=set)

    def of(self, identifier: str) -> str:
        """A name for the next id."""
        base = file_name(identifier)
        names = [base, file_name(identifier, capitals=False)]
        name = next((name for name in names if name.casefold() not in self._taken), base)
        number = 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{base}~{number}"
        self._taken.add(name.casefold())
        return name
