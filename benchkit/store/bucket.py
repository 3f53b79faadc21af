"""Read and write whole objects behind a URL, by fsspec; raise every failure as one line."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from benchkit.errors import BenchkitError
from benchkit.store.artifacts import CacheUnwritable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchkit.store.location import CacheUrl

#: The extra that brings the package of a scheme.
EXTRAS = {"s3": "s3", "s3a": "s3"}

#: What fsspec's file systems call the time of an object's last change.
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")

_REMEDIES = {
    "credentials": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "connect": "check the network, and AWS_ENDPOINT_URL_S3 for a server of your own",
}


class CacheUnreachable(CacheUnwritable):
    """The cache behind a URL does not answer, or refuses. No further result could be stored either."""


@dataclass(frozen=True)
class Entry:
    """An object: its bytes, and when it was last written, in seconds since the epoch by the server's clock."""

    size: int
    changed: float


class Bucket:
    """The objects under a URL; names are relative to it. An object is written whole or not at all."""

    def __init__(self, location: CacheUrl) -> None:
        """Find the file system of the URL; raises BenchkitError for an unknown scheme or a missing package."""
        from fsspec.core import url_to_fs

        self.location = location
        try:
            self._fs, self._base = url_to_fs(location.url, use_listings_cache=False)
        except ImportError as error:
            extra = EXTRAS.get(location.scheme)
            remedy = f"pip install 'artifact-benchkit[{extra}]'" if extra else _summarize(error)
            raise BenchkitError(f"the cache {location} needs another package: {remedy}") from error
        except ValueError as error:
            reason = location.hide_password(_summarize(error))
            raise BenchkitError(f"the cache {location} cannot be opened: {reason}; use s3://, or a folder") from error

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes, or None if there is none."""
        with self._explain_errors(), suppress(FileNotFoundError):
            data: bytes = self._fs.cat_file(self._path(name))
            return data
        return None

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return name -> bytes of those objects that exist, with few requests if the file system can."""
        paths = {self._path(name): name for name in names}
        with self._explain_errors():
            found = self._fs.cat(list(paths), on_error="return") if paths else {}
            for value in found.values():
                if isinstance(value, Exception) and not isinstance(value, FileNotFoundError):
                    raise value
        return {paths[path]: data for path, data in found.items() if isinstance(data, bytes)}

    def fetch(self, name: str, target: Path) -> bool:
        """Copy an object into the file `target`; False if there is none."""
        with self._explain_errors(), suppress(FileNotFoundError):
            self._fs.get_file(self._path(name), str(target))
            return True
        return False

    def write(self, name: str, data: bytes) -> None:
        """Write an object, replacing an earlier one."""
        with self._explain_errors(writing=True):
            self._fs.pipe_file(self._path(name), data)

    def send(self, name: str, source: Path) -> None:
        """Write a file's bytes, replacing an earlier object."""
        with self._explain_errors(writing=True):
            self._fs.put_file(str(source), self._path(name))

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless it exists; return whether it was written.

        If the store has no conditional write, two processes may both succeed at once; the last object stays.
        """
        path = self._path(name)
        with self._explain_errors(writing=True), suppress(FileExistsError):
            try:
                self._fs.pipe_file(path, data, mode="create")
            except NotImplementedError:
                if self._fs.exists(path):
                    return False
                self._fs.pipe_file(path, data)
            return True
        return False

    def remove(self, name: str) -> None:
        """Delete an object, if there is one."""
        with self._explain_errors(), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def list_entries(self, folder: str) -> dict[str, Entry]:
        """Return the objects below a folder, at any depth: name relative to it -> Entry."""
        start = self._path(folder)
        with self._explain_errors(), suppress(FileNotFoundError):
            found = self._fs.find(start, detail=True).items()
            return {path[len(start) + 1 :]: Entry(int(info["size"]), _get_change_time(info)) for path, info in found}
        return {}

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    @contextmanager
    def _explain_errors(self, *, writing: bool = False) -> Iterator[None]:
        """Raise any error of the file system or its libraries as CacheUnreachable, in one line."""
        try:
            yield
        except FileNotFoundError as error:
            if not writing:
                raise
            raise self._failure(_summarize(error), "create the bucket, or use another `cache`") from error
        except FileExistsError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._failure(os.strerror(error.errno), f"free some space in {self.location.copies}") from error
            text = _summarize(error)
            found = next((remedy for sign, remedy in _REMEDIES.items() if sign in text.lower()), None)
            raise self._failure(text, found or "check the URL, the credentials and the network") from error

    def _failure(self, text: str, remedy: str) -> CacheUnreachable:
        return CacheUnreachable(f"cannot use the cache {self.location}: {self.location.hide_password(text)}; {remedy}")


def _get_change_time(info: dict[str, Any]) -> float:
    found = next((info[name] for name in _TIMES if info.get(name) is not None), 0.0)
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    return found.timestamp() if isinstance(found, datetime) else float(found)


def _summarize(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
