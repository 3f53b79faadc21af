"""Faults that are found before work: collected one by one, raised together as one error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from benchkit.errors import BenchkitError

#: More faults than these are counted, not listed.
LISTED = 20
#: Of the names in one fault as many are written out.
NAMED = 3

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    message: what is wrong, with the file or the key. remedy: what to do, in the imperative, where the message does not
    say it. settings: of the grid, by key, with which the fault is gone.
    """

    message: str
    remedy: str = ""
    settings: Settings = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


class FaultsError(BenchkitError):
    """All faults that were found, as one error: a line for one, else a headed list with a line each."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n  ".join(self.lines(_listed)))

    def __reduce__(self) -> tuple[type[FaultsError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of all faults together; what replaces a whole (`validation`) stands for its keys too."""
        every = {key: value for fault in self.faults for key, value in fault.settings.items()}
        return {key: value for key, value in every.items() if key.rpartition(".")[0] not in every}

    def lines(self, written: Callable[[Settings], str]) -> list[str]:
        """The message, line by line; written: how settings are written, as flags for example."""
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
    """Collects faults, each message once, in the order in which they are found."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._messages: set[str] = set()

    def add(self, *faults: Fault, place: str = "") -> None:
        """Keep faults that are not there yet.

        place: the setting that makes those that are new; it leads their messages, and no other setting mends them.
        """
        for fault in faults:
            if fault.message not in self._messages:
                self._messages.add(fault.message)
                self.faults.append(replace(fault, message=f"{place}{fault.message}", settings={}) if place else fault)

    @contextmanager
    def collecting(self, place: str = "") -> Iterator[None]:
        """Keep the faults of a BenchkitError that is raised inside, and go on; place: leads each message."""
        try:
            yield
        except BenchkitError as error:
            self.add(*faults_of(error), place=place)

    def check(self) -> None:
        """Raise FaultsError where there are faults."""
        if self.faults:
            raise FaultsError(self.faults)


def faults_of(error: BenchkitError) -> tuple[Fault, ...]:
    """What an error says, as faults: one for an error that holds no others."""
    return error.faults if isinstance(error, FaultsError) else (Fault(str(error)),)


def placed(error: BenchkitError, place: str) -> BenchkitError:
    """The same error with a place, `FILE, line N: `, before each of its messages."""
    if isinstance(error, FaultsError):
        return FaultsError([replace(fault, message=f"{place}{fault.message}") for fault in error.faults])
    return BenchkitError(f"{place}{error}")


def name_some(names: Sequence[str]) -> str:
    """The first few names in quotes, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:NAMED]) + more
