"""Faults found before work starts: collected one by one, raised together as one error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from benchkit.errors import ArgumentTypeError, ArgumentValueError, BenchkitError

#: More faults than these are counted, not listed.
LISTED = 20
#: Of the names in one fault as many are written out.
NAMED = 3

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """One fault in a grid, a set or an option.

    message: what is wrong, with the file or the key. remedy: what to do, in the imperative, unless the message says
    it. settings: values of the grid's keys that remove the fault.
    """

    message: str
    remedy: str = ""
    settings: Settings = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


class FaultsError(ArgumentValueError):
    """All faults as one error: one line for one fault, otherwise a list with a line each."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n  ".join(self.lines(_listed)))

    def __reduce__(self) -> tuple[type[FaultsError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of all faults; one for a whole set (`validation`) replaces those for its keys."""
        every = {key: value for fault in self.faults for key, value in fault.settings.items()}
        return {key: value for key, value in every.items() if key.rpartition(".")[0] not in every}

    def lines(self, written: Callable[[Settings], str]) -> list[str]:
        """Return the lines of the message; written: how settings are printed, for example as options."""
        fitting = f"with this data: {written(self.settings)}" if self.settings else ""
        if len(self.faults) == 1:
            return [f"{self.faults[0]}; {fitting}" if fitting else str(self.faults[0])]
        listed = [f"{number}. {fault}" for number, fault in enumerate(self.faults[:LISTED], 1)]
        more = [f"and {len(self.faults) - LISTED} more"] if len(self.faults) > LISTED else []
        head = f"{len(self.faults)} faults, found before any work:"
        return [head, *listed, *more, *([fitting] if fitting else [])]


def _listed(settings: Settings) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())


class Collector:
    """Collects faults in order, each message once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._messages: set[str] = set()
        self._wrong_type: ArgumentTypeError | None = None

    def add(self, *faults: Fault, place: str = "") -> None:
        """Keep new faults.

        place: the setting that causes them; it is put before their messages, and no other setting removes them.
        """
        for fault in faults:
            if fault.message not in self._messages:
                self._messages.add(fault.message)
                self.faults.append(replace(fault, message=f"{place}{fault.message}", settings={}) if place else fault)

    @contextmanager
    def collecting(self, place: str = "") -> Iterator[None]:
        """Keep the faults of a BenchkitError raised inside, and go on; place: put before each message."""
        try:
            yield
        except BenchkitError as error:
            self._wrong_type = error if isinstance(error, ArgumentTypeError) else self._wrong_type
            self.add(*list_faults(error), place=place)

    def check(self) -> None:
        """Raise FaultsError if there are faults, or the ArgumentTypeError that is the only one."""
        if self._wrong_type is not None and len(self.faults) == 1:
            raise self._wrong_type
        if self.faults:
            raise FaultsError(self.faults)


def list_faults(error: BenchkitError) -> tuple[Fault, ...]:
    """Return the faults of an error: itself as one fault if it contains no others."""
    return error.faults if isinstance(error, FaultsError) else (Fault(str(error)),)


def add_place(error: BenchkitError, place: str) -> BenchkitError:
    """Return the error with a place, `FILE, line N: `, before each of its messages."""
    if not place:
        return error
    if isinstance(error, FaultsError):
        return FaultsError([replace(fault, message=f"{place}{fault.message}") for fault in error.faults])
    return BenchkitError(f"{place}{error}")


def quote_some(names: Sequence[str]) -> str:
    """Return the first few names in quotes, and the number of the others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:NAMED]) + more
