"""Errors that a user can correct. Each has one clear line; the command line ends with exit code 2.

Messages name settings of the library in backticks, such as `time_limit`; the command line prints them as its flags.
"""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def shortened(text: str, longest: int = 80) -> str:
    """Return text of the user's for a message, cut after `longest` characters."""
    return text if len(text) <= longest else f"{text[:longest]}…"


class BenchkitError(Exception):
    """An error that the caller can correct. The message names the file, key or setting, and the remedy.

    Example:
        >>> import benchkit
        >>> try:
        ...     benchkit.compare("quick", seeds=[], dry_run=True)
        ... except benchkit.BenchkitError as error:
        ...     print(error)
        seeds: the list is empty: give one seed or more, such as range(5)
    """


class ArgumentValueError(BenchkitError, ValueError):
    """An argument of a Python call that has the right type and an unusable value: a shape, a range, a length."""


class ArgumentTypeError(BenchkitError, TypeError):
    """An argument of a Python call that has the wrong type: a generator, a class in place of an instance."""


@contextmanager
def as_argument_error(argument: str = "") -> Iterator[None]:
    """Raise a plain BenchkitError as an ArgumentValueError whose message begins with the argument."""
    try:
        yield
    except BenchkitError as error:
        if type(error) is not BenchkitError:
            raise
        named = not argument or str(error).lstrip("`").startswith(argument)
        raise ArgumentValueError(str(error) if named else f"{argument}: {error}") from error.__cause__


def describe_value(value: Any) -> str:
    """Return what an argument is, for a message: a short value as it is written, or else its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, str | bytes | int | float | None):
        return shortened(repr(value))
    return f"this {type(value).__name__}"


class UnknownNameError(ArgumentValueError):
    """An unknown name. The message suggests the nearest known name.

    remedy: what to do if the name is correct.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        known = sorted(known)
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"unknown {kind} '{name}': {hint}" + (f" ({remedy})" if remedy else ""))
        self.arguments = (kind, name, known, remedy)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str], str]]:
        return type(self), self.arguments  # so that a worker process can return it


class PluginError(BenchkitError):
    """A plugin failed or broke its contract while it ran. The message names the plugin and what it did."""


def describe_error(error: Exception) -> str:
    """Return the message of another library's exception, on one line."""
    deep = isinstance(error, RecursionError)
    return "nested too deep" if deep else shortened(" ".join(str(error).split()) or type(error).__name__, 120)
