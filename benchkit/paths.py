"""Paths as a user writes them."""

from __future__ import annotations

import os
from pathlib import Path

from benchkit.errors import BenchkitError


def expanded(path: Path | str) -> Path:
    """Return `path` with ~ expanded; raises BenchkitError for the home of an unknown user, and for a null character,
    which the system's calls refuse each with an exception of its own."""
    if "\0" in str(path):
        raise BenchkitError(f"{str(path)!r} is nowhere: there is a null character in it")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BenchkitError(f"'{path}' is nowhere: {error}") from error


def real(path: Path | str) -> Path:
    """The path from the root on with every link followed; of links in a circle as far as they lead."""
    return Path(os.path.realpath(path))
