"""Find the cache and the result store of a run, as named by the user or recorded in its output folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from benchkit.errors import BenchkitError
from benchkit.runs.run import RESULTS, RunLocations
from benchkit.store.location import Location, get_default_cache, get_local_folder, parse_location
from benchkit.store.results import ResultStore
from benchkit.store.run_id_file import RunMark, read_mark

#: What a mark contains instead of a password.
_HIDDEN = "***"


def find_run_locations(name: str, cache: Location | None = None, store: str | None = None) -> RunLocations:
    """Return the locations of the run `name`: an id, the start of one, or an output folder.

    cache, store: as the user named them. If they are not named, those that the output folder records are tried, then
    the default cache. Raises BenchkitError if an output folder's run is in none of them.
    """
    given = RunLocations(cache=cache or get_default_cache(), results=store)
    mark = read_mark(Path(name))
    if mark is None:
        return given
    tried = [_as_recorded(mark, cache, store), given] if cache is None or store is None else [given]
    for locations in tried:
        if locations is not None and _holds(locations, mark.run):
            return locations
    was = " and ".join(f"{what} '{text}'" for what, text in (("cache", mark.cache), ("store", mark.store)) if text)
    made = f"it was made with {was}: " if was else ""
    where = "the store" if given.results else f"cache '{given.cache}'"
    raise BenchkitError(
        f"run {mark.run}, shown in '{name}', is not in {where}: {made}name its place (`cache`, `store`)"
    )


def open_results(locations: RunLocations, name: str) -> ResultStore:
    """Open the result store of these locations; raise BenchkitError if there is none yet."""
    file = get_local_folder(locations.cache) / RESULTS
    if locations.results is None and not file.is_file():
        raise BenchkitError(f"no run '{name}': {file} does not exist; name the run's `cache`")
    return ResultStore(locations.results or file, create=False)


def _as_recorded(mark: RunMark, cache: Location | None, store: str | None) -> RunLocations | None:
    """Return the locations that the mark names; None if they need a password, which it does not contain."""
    recorded = [mark.cache if cache is None else None, mark.store if store is None else None]
    if any(text is not None and _HIDDEN in text for text in recorded):
        return None
    place, results = recorded
    with suppress(BenchkitError):
        return RunLocations(
            cache=cache or (parse_location(place) if place else get_default_cache()), results=store or results
        )
    return None


def _holds(locations: RunLocations, run: str) -> bool:
    try:
        results = open_results(locations, run)
        known = any(one.id == run for one in results.runs())
        results.close()
    except BenchkitError:
        return False
    return known
