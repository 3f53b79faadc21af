"""The errors a user can mend: one clear line each, exit code 2 at the command line."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def shortened(text: str, longest: int = 80) -> str:
    """Foreign text in a message: no longer than it is worth."""
    return text if len(text) <= longest else f"{text[:longest]}…"


class BenchkitError(Exception):
    """A mistake of the caller's: the message names the file, key or flag at fault and the remedy."""


class UnknownNameError(BenchkitError):
    """A name that nothing answers to; the message suggests the nearest one that does.

    remedy: what to do where the name is right.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        known = sorted(known)
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"unknown {kind} '{name}': {hint}" + (f" ({remedy})" if remedy else ""))
        self.arguments = (kind, name, known, remedy)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str], str]]:
        return type(self), self.arguments  # or it could not come back from a worker process


class PluginError(BenchkitError):
    """A plugin failed or broke its contract at run time; the message names the plugin and what it did."""


class OutputTaken(BenchkitError):
    """What would be written is there already, and may be replaced if the user says so."""


class PluginNeeded(BenchkitError):
    """A finished run needs a plugin that is not there, or not as it was; file: where the run had it from, if a file."""

    def __init__(self, message: str, file: str | None = None) -> None:
        super().__init__(message)
        self.file = file

    def __reduce__(self) -> tuple[type[PluginNeeded], tuple[str, str | None]]:
        return type(self), (str(self), self.file)
