"""Open the artifact store of a folder or a URL."""

from __future__ import annotations

from benchkit.store.artifacts import ArtifactStore
from benchkit.store.bucket import Bucket
from benchkit.store.location import CacheUrl, Location, parse_location
from benchkit.store.remote import RemoteStore


def open_store(location: Location | str, *, create: bool = True) -> ArtifactStore:
    """Open the store in a folder or behind a URL; raises BenchkitError as ArtifactStore and RemoteStore do."""
    place = parse_location(location) if isinstance(location, str) else location
    return RemoteStore(place, create=create) if isinstance(place, CacheUrl) else ArtifactStore(place, create=create)


def is_cache(location: Location) -> bool:
    """Return whether a location holds a cache."""
    if isinstance(location, CacheUrl):
        return Bucket(location).read("VERSION") is not None
    return (location / "VERSION").is_file()
