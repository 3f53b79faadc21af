"""Record in a cache which artifacts each run uses, so that pruning keeps them.

The record is in the cache and not in the result store, which several caches may share. It is not computed again from
the grid: the keys of a new plan differ after a plugin was edited.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from benchkit.errors import BenchkitError
from benchkit.store.artifacts import CacheUnwritable, explain_unwritable
from benchkit.store.bucket import Bucket
from benchkit.store.encoding import json_to_bytes, parse_json
from benchkit.store.location import CacheUrl
from benchkit.store.run_id_file import match_run
from benchkit.system.files import read_regular, write_atomic

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from benchkit.store.location import Location

ROOM = "runs"


def pin(place: Location, run: str, stages: Mapping[str, str]) -> None:
    """Record in the cache at `place` that `run` uses these stages: key -> description."""
    _open_records(place).write(f"{ROOM}/{run}.json", json_to_bytes({"run": run, "stages": dict(stages)}))


def write_plan(place: Location, run: str, plan: bytes) -> None:
    """Write a run's encoded plan to the cache at `place`, replacing an earlier one."""
    _open_records(place).write(f"{ROOM}/{run}.plan", plan)


def read_plan(place: Location, run: str) -> bytes | None:
    """Return the encoded plan of a run; None if the cache has none."""
    return _open_records(place).read(f"{ROOM}/{run}.plan")


def read_pins(place: Location, run: str) -> dict[str, str]:
    """Return the stages that a run uses: key -> description. `run` is its id or the unique start of it.

    Raises BenchkitError if the cache has no record of the run, or several, or a damaged one.
    """
    known = list_pinned_runs(place)
    match = match_run(run, known)
    if match is None:
        raise BenchkitError(f"run '{run}' is none of the {len(known)} runs in the cache {place}: name another cache")
    stages = _read(_open_records(place), match)
    if stages is None:
        raise BenchkitError(
            f"{place}/{ROOM}/{match}.json does not list the run's stages: run its command again, which repairs it"
        )
    return stages


def list_pinned_runs(place: Location) -> list[str]:
    """Return the runs that the cache has a record of, oldest first."""
    names = _open_records(place).list_entries(ROOM)
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith("."))


def describe_pins(place: Location) -> dict[str, str]:
    """Return key -> description of every stage that some run uses."""
    found: dict[str, str] = {}
    for run in list_pinned_runs(place):
        found |= _read(_open_records(place), run) or {}
    return found


class _Folder:
    """The methods of Bucket that are needed here, for a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        with suppress(OSError):
            return read_regular(self._root / name)
        return None

    def write(self, name: str, data: bytes) -> None:
        with explain_unwritable(self._root):
            (self._root / name).parent.mkdir(exist_ok=True)
            write_atomic(self._root / name, data)

    def list_entries(self, room: str) -> Collection[str]:
        return [path.name for path in (self._root / room).glob("*")]


def _open_records(place: Location) -> _Folder | Bucket:
    return Bucket(place) if isinstance(place, CacheUrl) else _Folder(place)


def _read(records: _Folder | Bucket, run: str) -> dict[str, str] | None:
    try:
        data = records.read(f"{ROOM}/{run}.json")
        return {str(key): str(text) for key, text in parse_json(data or b"")["stages"].items()}
    except CacheUnwritable:
        raise
    except (BenchkitError, LookupError, TypeError, AttributeError):
        return None
