"""Which artifacts of a cache a run rests on: a note beside them, so that pruning can spare them.

The note lies in the cache and not in the result store: keys mean something in this cache only, a result store may be
shared by several, and a plan made again later would have other keys wherever a plugin has been edited since.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from benchkit.errors import BenchkitError
from benchkit.store.artifacts import CacheUnwritable
from benchkit.store.bucket import Bucket
from benchkit.store.encoding import json_to_bytes, parse_json
from benchkit.store.location import CacheUrl
from benchkit.system.files import read_regular, write_atomic

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from benchkit.store.location import Location

ROOM = "runs"


def pin(place: Location, run: str, stages: Mapping[str, str]) -> None:
    """Note in the cache at `place` that `run` rests on these keys, each with a few words for people."""
    _notes(place).write(f"{ROOM}/{run}.json", json_to_bytes({"run": run, "stages": dict(stages)}))


def write_plan(place: Location, run: str, plan: bytes) -> None:
    """Keep a run's encoded plan in the cache at `place`, in the place of an earlier one."""
    _notes(place).write(f"{ROOM}/{run}.plan", plan)


def read_plan(place: Location, run: str) -> bytes | None:
    """The encoded plan of a run; None where the cache has none."""
    return _notes(place).read(f"{ROOM}/{run}.plan")


def read_pins(place: Location, run: str) -> dict[str, str]:
    """The keys that a run rests on, and their words; `run` is its id or the unique start of it.

    Raises BenchkitError for a run that the cache has no note of, or several, or whose note is damaged.
    """
    known = list_pinned_runs(place)
    matches = [name for name in known if name == run] or [name for name in known if run and name.startswith(run)]
    if len(matches) > 1:
        raise BenchkitError(f"run '{run}' is ambiguous: {', '.join(matches)}")
    if not matches:
        raise BenchkitError(f"run '{run}' is none of the {len(known)} runs in the cache {place}: name another cache")
    stages = _read(_notes(place), matches[0])
    if stages is None:
        raise BenchkitError(
            f"{place}/{ROOM}/{matches[0]}.json does not say what the run rests on: "
            "run its command again, which mends it"
        )
    return stages


def list_pinned_runs(place: Location) -> list[str]:
    """The runs that the cache has a note of, sorted, and so oldest first."""
    names = _notes(place).entries(ROOM)
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith("."))


def describe_pins(place: Location) -> dict[str, str]:
    """Key -> what it is, of every key that some run rests on."""
    found: dict[str, str] = {}
    for run in list_pinned_runs(place):
        found |= _read(_notes(place), run) or {}
    return found


class _Folder:
    """What a Bucket is, in a folder: as much of it as notes need."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        with suppress(OSError):
            return read_regular(self._root / name)
        return None

    def write(self, name: str, data: bytes) -> None:
        try:
            (self._root / name).parent.mkdir(exist_ok=True)
            write_atomic(self._root / name, data)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = "free some space there" if full else "check the folder"
            reason = error.strerror or error
            raise CacheUnwritable(f"cannot write to the cache {self._root}: {reason}; {remedy}") from error

    def entries(self, room: str) -> Collection[str]:
        return [path.name for path in (self._root / room).glob("*")]


def _notes(place: Location) -> _Folder | Bucket:
    return Bucket(place) if isinstance(place, CacheUrl) else _Folder(place)


def _read(notes: _Folder | Bucket, run: str) -> dict[str, str] | None:
    try:
        data = notes.read(f"{ROOM}/{run}.json")
        return {str(key): str(text) for key, text in parse_json(data or b"")["stages"].items()}
    except CacheUnwritable:
        raise
    except (BenchkitError, LookupError, TypeError, AttributeError):
        return None
