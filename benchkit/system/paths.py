"""Paths as a user writes them."""

from __future__ import annotations

import os
from pathlib import Path

from benchkit.errors import BenchkitError


def expand_path(path: Path | str) -> Path:
    """Return `path` with a ~ at its beginning expanded; `./~x` is a file or folder of that name.

    Raises BenchkitError for the home of an unknown user, and for a null character, which the system's calls refuse each
    with an exception of its own.
    """
    if "\0" in str(path):
        raise BenchkitError(f"{str(path)!r} is nowhere: there is a null character in it")
    plain = Path(path)
    if isinstance(path, str) and not path.startswith("~"):
        return plain.absolute() if str(plain).startswith("~") else plain  # `./~x` is no home, and `~x` would be one
    try:
        return plain.expanduser()
    except RuntimeError as error:
        raise BenchkitError(f"'{path}' is nowhere: {error}; a folder of that name is written './{path}'") from error


def resolve_links(path: Path | str) -> Path:
    """The path from the root on with every link followed; of links in a circle as far as they lead."""
    return Path(os.path.realpath(path))
