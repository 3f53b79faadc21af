"""Forbid downloads while a dry run plans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ALLOWED = ContextVar("_ALLOWED", default=True)


def may_download() -> bool:
    """Return whether files may be downloaded now; if not, plan with the name instead of the content."""
    return _ALLOWED.get()


@contextmanager
def forbid_downloads(dry: bool = True) -> Iterator[None]:
    """Make `may_download` return False inside; `dry=False` changes nothing."""
    token = _ALLOWED.set(_ALLOWED.get() and not dry)
    try:
        yield
    finally:
        _ALLOWED.reset(token)
