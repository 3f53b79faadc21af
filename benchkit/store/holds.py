"""Which artifacts of a cache a run rests on: a note beside them, so that pruning can spare them.

The note lies in the cache and not in the result store: keys mean something in this cache only, a result store may be
shared by several, and a plan made again later would have other keys wherever a plugin has been edited since.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.store.artifacts import CacheUnwritable
from benchkit.store.encoding import json_from_bytes, json_to_bytes
from benchkit.store.files import read_regular, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROOM = "runs"


def hold(root: Path, run: str, stages: Mapping[str, str]) -> None:
    """Note in the cache `root` that `run` rests on these keys, each with a few words for people."""
    try:
        (root / ROOM).mkdir(exist_ok=True)
        write_atomic(root / ROOM / f"{run}.json", json_to_bytes({"run": run, "stages": dict(stages)}))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space there" if full else "check the folder"
        raise CacheUnwritable(f"cannot write to the cache {root}: {error.strerror or error}; {remedy}") from error


def held(root: Path, run: str) -> dict[str, str]:
    """The keys that a run rests on, and their words; `run` is its id or the unique start of it.

    Raises BenchkitError for a run that the cache has no note of, or several, or whose note is damaged.
    """
    known = noted(root)
    matches = [name for name in known if name == run] or [name for name in known if run and name.startswith(run)]
    if len(matches) > 1:
        raise BenchkitError(f"run '{run}' is ambiguous: {', '.join(matches)}")
    if not matches:
        raise UnknownNameError("run of this cache", run, known)
    stages = _read(root / ROOM / f"{matches[0]}.json")
    if stages is None:
        raise BenchkitError(
            f"{root / ROOM / matches[0]}.json does not say what the run rests on: run its command again, which mends it"
        )
    return stages


def noted(root: Path) -> list[str]:
    """The runs that the cache has a note of, sorted, and so oldest first."""
    return sorted(path.stem for path in (root / ROOM).glob("*.json") if not path.name.startswith("."))


def words(root: Path) -> dict[str, str]:
    """Key -> what it is, of every key that some run rests on."""
    found: dict[str, str] = {}
    for run in noted(root):
        found |= _read(root / ROOM / f"{run}.json") or {}
    return found


def _read(path: Path) -> dict[str, str] | None:
    try:
        return {str(key): str(text) for key, text in json_from_bytes(read_regular(path))["stages"].items()}
    except (OSError, BenchkitError, LookupError, TypeError, AttributeError):
        return None
