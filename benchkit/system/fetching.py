"""Whether what lies elsewhere may be downloaded: always, but while a dry run plans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ALLOWED = ContextVar("_ALLOWED", default=True)


def may_download() -> bool:
    """Whether a download of any size is wanted now; if not, a name has to do for what it names."""
    return _ALLOWED.get()


@contextmanager
def forbid_downloads(dry: bool = True) -> Iterator[None]:
    """Inside, `may_download()` is false; with `dry=False` nothing changes."""
    token = _ALLOWED.set(_ALLOWED.get() and not dry)
    try:
        yield
    finally:
        _ALLOWED.reset(token)
