"""Weights named by a path or a URL: where the file lies, and its sha256. Loads no torch: planning asks for both.

urllib and not torch.hub, which would load torch; a URL is fetched once into the user's cache ($BENCHKIT_CACHE, or the
platform's), whole or not at all, with its sha256 written beside it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from benchkit.api import BenchkitError

#: Seconds without a byte after which a download has failed.
PATIENCE = 60
#: The first digits of a file's sha256 at the end of its name, as OpenMMLab publishes weights; all digits may be a date.
PUBLISHED = re.compile(r"-(?=\d*[a-f])([0-9a-f]{8})\.[a-z]+$")


def is_url(source: str) -> bool:
    """Return whether `source` is downloaded rather than opened."""
    return source.startswith(("http://", "https://"))


def located(source: str) -> Path:
    """Return the file that a path or URL names; raise BenchkitError if it cannot be downloaded or is damaged."""
    return _fetched(source) if is_url(source) else Path(source)


def is_here(source: str) -> bool:
    """Return whether `located` would download nothing."""
    return not is_url(source) or all(file.is_file() for file in _kept(source))


def sha256(path: Path) -> str:
    """Return the file's digest (hex), computed once as long as the file does not change."""
    state = path.stat()
    return _sha256(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=32)
def _sha256(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept(url: str) -> tuple[Path, Path]:
    """Return the paths of a URL's file and of its sha256."""
    root = os.environ.get("BENCHKIT_CACHE")
    folder = (Path(root) if root and "://" not in root else user_cache_path("benchkit")) / "downloads"
    name = re.sub(r"[^\w.-]", "_", Path(urllib.parse.urlsplit(url).path).name) or "weights"
    target = folder / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    return target, target.with_name(name + ".sha256")


def _fetched(url: str) -> Path:
    target, record = _kept(url)
    name = target.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(name + ".lock")):
            if not (target.is_file() and record.is_file()):
                aside = target.with_name(name + ".part")
                try:
                    _download(url, aside)
                    record.write_text(sha256(aside) + "\n")
                    aside.replace(target)
                finally:
                    aside.unlink(missing_ok=True)
            elif sha256(target) != record.read_text().strip():
                raise BenchkitError(f"{target}: is no longer what was downloaded; delete it to fetch it again")
    except OSError as error:
        raise BenchkitError(f"{url}: cannot be kept in {target.parent}: {error.strerror or error}") from None
    return target


def _download(url: str, target: Path) -> None:
    """Write what the URL gives to `target`; raises BenchkitError unless it is whole and no web page."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer, target.open("wb") as file:
            if answer.headers.get_content_type() == "text/html":
                raise BenchkitError(f"{url}: is a web page, not a file of weights; name the file's own address")
            shutil.copyfileobj(answer, file, 1 << 20)
            promised = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        raise BenchkitError(f"{url}: the server says {error.code} {error.reason}; check the address") from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise BenchkitError(f"{url}: cannot be downloaded ({reason}); fetch it yourself and name the file") from None
    size = target.stat().st_size
    if promised is not None and size != int(promised):
        raise BenchkitError(f"{url}: only {size:,} of {int(promised):,} bytes were received; try again")
    expected = PUBLISHED.search(urllib.parse.urlsplit(url).path)
    if expected and not sha256(target).startswith(expected[1]):
        raise BenchkitError(f"{url}: its sha256 begins with {sha256(target)[:8]}, its name promises {expected[1]}")
