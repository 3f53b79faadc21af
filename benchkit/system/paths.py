"""Paths as a user writes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchkit.errors import ArgumentTypeError, BenchkitError, describe_value


def expand_path(path: Path | str) -> Path:
    """Return `path` with a leading ~ expanded; `./~x` is a file or folder of that name.

    Raises BenchkitError for the home of an unknown user, and for a null character, for which system calls raise
    various exceptions.
    """
    if "\0" in str(path):
        raise BenchkitError(f"{str(path)!r} is not a path: it contains a null character")
    plain = Path(path)
    if isinstance(path, str) and not path.startswith("~"):
        return plain.absolute() if str(plain).startswith("~") else plain  # `./~x` is no home, and `~x` would be one
    try:
        return plain.expanduser()
    except RuntimeError as error:
        raise BenchkitError(f"'{path}' is not a path: {error}; write a folder of that name as './{path}'") from error


def resolve_links(path: Path | str) -> Path:
    """Return the absolute path with every link followed; links in a circle are followed as far as possible."""
    return Path(os.path.realpath(path))


def check_path(name: str, value: Any) -> Path:
    """Return a path that is given as text or as a Path; raise ArgumentTypeError for anything else."""
    if not isinstance(value, str | Path):
        raise ArgumentTypeError(f"{name}: {describe_value(value)} is no path: give it as text or a Path")
    return Path(value)
