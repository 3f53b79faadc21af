"""The rates of finished stages on this machine: a file in the cache's folder, from which later runs are estimated."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from benchkit.planning.workloads import Workload
from benchkit.system.files import write_atomic

RATES = "rates.json"
SCHEMA = 1
#: Stages that are kept of each kind: the last ones.
KEPT = 64
#: What identifies a machine, as `describe_environment` states it.
MACHINE = ("processor", "cores", "device", "accelerator")
#: The kind under which whole runs are kept: seconds that passed for each second of their stages.
WHOLE_RUN = "run"
#: Where fewer stages than this were measured, or others, the rate is taken to be this many times lower or higher.
FEW, FEW_MARGIN, OTHER_MARGIN = 3, 1.5, 2.0


class Measurement(NamedTuple):
    """One finished stage: units of work, seconds, bytes of memory of its process, bytes written."""

    amount: float
    seconds: float
    memory: int = 0
    size: int = 0


@dataclass(frozen=True)
class Rate:
    """Seconds for a unit of work: low and high, and the mean. is_own: measured on the same work, not on similar."""

    low: float
    mean: float
    high: float
    is_own: bool = True

    def times(self, factor: float, margin: float = 1.0) -> Rate:
        """Return this rate for other images or networks, with a wider range."""
        return Rate(self.low * factor / margin, self.mean * factor, self.high * factor * margin, False)


Key = tuple[str, str, int]  # kind, what, pixels


@dataclass
class Rates:
    """The measurements of one machine, by kind of stage, what it ran, and pixels of an image."""

    measured: dict[Key, list[Measurement]] = field(default_factory=dict)

    def add(self, work: Workload, measurement: Measurement) -> None:
        """Add a finished stage; only the last ones are kept."""
        if not work.amount > 0:
            return
        kept = self.measured.setdefault((work.kind, work.what, work.pixels), [])
        kept.append(measurement)
        del kept[:-KEPT]

    def find(self, work: Workload) -> Rate | None:
        """Return the rate of a stage's work; None where no stage of its kind was measured.

        Without a measurement of the same work those of its kind are used: first of the same network at another size,
        whose time is taken to grow with the pixels, then of other networks. Both get a wider range.
        """
        if own := self.measured.get((work.kind, work.what, work.pixels)):
            return _rate(own)
        similar = [(key, found) for key, found in self.measured.items() if key[0] == work.kind]
        similar = [one for one in similar if one[0][1] == work.what] or similar
        if not similar:
            return None
        rates = [_rate(found).times(_compare_pixels(work.pixels, key[2])) for key, found in similar]
        low, high = min(rate.low for rate in rates), max(rate.high for rate in rates)
        return Rate(low, float(np.mean([rate.mean for rate in rates])), high).times(1, OTHER_MARGIN)

    def find_memory(self, works: Iterable[Workload]) -> int | None:
        """Return the most memory that a process had after a stage of one of these kinds; None where none is known."""
        kinds = {work.kind for work in works}
        found = [one for key, kept in self.measured.items() if key[0] in kinds for one in kept]
        return max((one.memory for one in found), default=0) or None

    def find_size(self, work: Workload) -> int | None:
        """Return the bytes that a stage writes: known before, or those of the largest such stage; None if unknown."""
        if work.size is not None:
            return work.size
        found = self.measured.get((work.kind, work.what, work.pixels))
        return max(one.size for one in found) if found else None

    @classmethod
    def load(cls, folder: Path, machine: Mapping[str, Any]) -> Rates:
        """Return the rates of a machine; none where the file is missing or damaged. machine: see `select_machine`."""
        found = [one for one in _read(folder) if _is_machine(one, machine)]
        return cls({tuple(key): [Measurement(*m) for m in kept] for key, kept in found[-1]["rates"]} if found else {})

    def save(self, folder: Path, machine: Mapping[str, Any]) -> None:
        """Add these measurements to the machine's; do nothing where it cannot be written."""
        if not self.measured or not folder.is_dir():
            return
        facts = {name: machine[name] for name in MACHINE}
        with suppress(OSError), FileLock(folder / f".{RATES}.lock"):
            merged = self.load(folder, facts)
            for (kind, what, pixels), kept in self.measured.items():
                for one in kept:
                    merged.add(Workload(kind, what, one.amount, pixels), one)
            others = [one for one in _read(folder) if not _is_machine(one, facts)]
            own = {**facts, "rates": list(merged.measured.items())}
            data = {"schema": SCHEMA, "machines": [*others, own]}
            write_atomic(folder / RATES, json.dumps(data).encode())


def select_machine(processor: str, device: str) -> dict[str, Any]:
    """Return what to look for in the file: this machine with a device. For `auto` it is the device used last."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": processor, "cores": cores, **({} if device == "auto" else {"device": device})}


def _read(folder: Path) -> list[Any]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads((folder / RATES).read_bytes())
        if data["schema"] == SCHEMA:
            return list(data["machines"])
    return []


def _is_machine(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(recorded.get(name) == value for name, value in wanted.items())


def _rate(found: list[Measurement]) -> Rate:
    """Return the mean rate of measurements, and their tenth and ninetieth percentile."""
    mean = sum(one.seconds for one in found) / sum(one.amount for one in found)
    each = [one.seconds / one.amount for one in found]
    low, high = (float(np.quantile(each, part)) for part in (0.1, 0.9))
    margin = FEW_MARGIN if len(found) < FEW else 1.0
    return Rate(min(low, mean) / margin, mean, max(high, mean) * margin)


def _compare_pixels(wanted: int, measured: int) -> float:
    return wanted / measured if wanted and measured else 1.0
