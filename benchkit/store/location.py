"""The location of a cache: a folder or a URL."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from platformdirs import user_cache_path

from benchkit.errors import BenchkitError
from benchkit.system.files import make_absolute

_LOCAL = ("file", "local")


@dataclass(frozen=True)
class CacheUrl:
    """A cache at a URL that fsspec opens; as text it shows no password."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        return self.hide_password(self.url)

    @property
    def scheme(self) -> str:
        """What stands before `://`."""
        return self.url.partition("://")[0]

    @property
    def copies(self) -> Path:
        """This machine's folder for the cache: copies of artifacts, scratch folders of stages, log, rows by default."""
        parent = os.environ.get("BENCHKIT_COPIES")
        folder = make_absolute(parent) if parent else user_cache_path("benchkit") / "copies"
        # Without user and password: they may change while the cache stays the same.
        bare = self.url.rpartition("@")[2] if self._secret else self.url.partition("://")[2]
        return folder / f"{self.scheme}-{hashlib.sha256(bare.encode()).hexdigest()[:16]}"

    def hide_password(self, text: str) -> str:
        """Return `text` with this URL's password replaced by `***`."""
        for secret in (self._secret, unquote(self._secret)):
            text = text.replace(secret, "***") if secret else text
        return text

    @property
    def _secret(self) -> str:
        # No URL parser: it would cut at an odd character in the password and show the rest.
        user, at, _ = self.url.partition("://")[2].rpartition("@")
        return user.partition(":")[2] if at else ""


Location = Path | CacheUrl


def parse_location(text: str | Path) -> Location:
    """Return the folder or URL that an option or a variable names; `file://` is a folder.

    Raises BenchkitError for a malformed URL.
    """
    if not isinstance(text, str) or "://" not in text:
        return Path(text)
    scheme, _, rest = text.partition("://")
    if scheme in _LOCAL:
        return Path(rest)
    if not rest.strip("/") or "::" in text or set(rest) & set("?*[]") or not scheme.isalnum():
        # The text is not repeated: it may hold a password.
        raise BenchkitError("a cache's URL is SCHEME://BUCKET/FOLDER, without '::' and any of ?*[]")
    return CacheUrl(text.rstrip("/"))


def get_default_cache() -> Location:
    """Return $BENCHKIT_CACHE, or else the platform's cache folder for benchkit."""
    chosen = os.environ.get("BENCHKIT_CACHE")
    return parse_location(chosen) if chosen else user_cache_path("benchkit")


def get_local_folder(location: Location) -> Path:
    """Return this machine's folder for the rows (unless a database is named), log and scratch of a cache."""
    return location.copies if isinstance(location, CacheUrl) else location
