"""What a run will need, known beforehand: time, memory and disk, from the rates of earlier stages on this machine."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.planning.rates import WHOLE_RUN, Rate, Rates
from benchkit.planning.workloads import Workload, Workloads
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Stage
from benchkit.system.quantities import format_range, format_size


@dataclass(frozen=True)
class Estimate:
    """What the pending stages of a plan need.

    seconds: from, to; None where no kind of them has a rate. unmeasured: number of stages without a rate, by kind;
    their time is not in `seconds`. similar: number of stages whose rate is that of other images or networks. memory:
    bytes of a process at its largest so far; None where unknown. size: bytes to write. unsized: number of stages, by
    kind, whose bytes are unknown. free: bytes left on the cache's disk.
    """

    stages: int = 0
    seconds: tuple[float, float] | None = None
    unmeasured: Mapping[str, int] = field(default_factory=dict)
    similar: int = 0
    memory: int | None = None
    size: int = 0
    unsized: Mapping[str, int] = field(default_factory=dict)
    free: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as plain data."""
        return {
            "seconds": None if self.seconds is None else [round(one, 1) for one in self.seconds],
            "stages_without_rate": dict(self.unmeasured),
            "stages_with_similar_rate": self.similar,
            "memory": self.memory,
            "disk": {"size": self.size, "free": self.free, "stages_without_size": dict(self.unsized)},
        }

    def lines(self) -> list[str]:
        """Return time, memory and disk, a line each; none where nothing is to run."""
        if not self.stages:
            return []
        unsized = f", and {_format_counts(self.unsized)} of unknown size" if self.unsized else ""
        disk = f"disk: {format_size(self.size)} to write{unsized}; {format_size(self.free)} free"
        if self.seconds is None:
            return [
                "time and memory: not known, because no stage of these kinds was measured on this machine yet; a "
                "calibration (`calibrate`) or a run with a small `scale` measures them",
                disk,
            ]
        notes = []
        if self.similar:
            notes.append(f"{self.similar} stages by the rates of other images or networks")
        if self.unmeasured:
            notes.append(f"without {_format_counts(self.unmeasured)}, which were never measured here")
        time = f"time: {format_range(*self.seconds)}" + (f" ({'; '.join(notes)})" if notes else "")
        memory = "not known" if self.memory is None else f"up to {format_size(self.memory)} in a process"
        return [time, f"memory: {memory}", disk]


def estimate(
    stages: Sequence[Stage], workloads: Workloads, rates: Rates, folder: Path, executor: str = "inline"
) -> Estimate:
    """Return what pending stages need. folder: of the cache. executor: the name under which its runs are recorded."""
    works = list(map(workloads.of, stages))
    known = [rates.find(work) for work in works]
    sizes = [rates.find_size(work) for work in works]
    parallel = rates.find(Workload(WHOLE_RUN, executor, 1)) or Rate(1, 1, 1)
    timed = [(work, rate) for work, rate in zip(works, known, strict=True) if rate is not None]
    low = parallel.low * sum(work.amount * rate.low for work, rate in timed)
    high = parallel.high * sum(work.amount * rate.high for work, rate in timed)
    return Estimate(
        stages=len(works),
        seconds=(low, high) if timed else None,
        unmeasured=Counter(work.kind for work, rate in zip(works, known, strict=True) if rate is None),
        similar=sum(not rate.is_own for _, rate in timed),
        memory=rates.find_memory(works),
        size=sum(size for size in sizes if size is not None),
        unsized=Counter(work.kind for work, size in zip(works, sizes, strict=True) if size is None),
        free=read_free_space(folder),
    )


def read_free_space(folder: Path) -> int:
    """Return the bytes left on the disk of a folder, which may not exist."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free


def check_room(stages: Sequence[Stage], registry: Registry, folder: Path) -> None:
    """Raise BenchkitError if what pending stages write does not fit onto the disk of `folder`.

    Only bytes that are known before any measurement count: images, latents, selections and features.
    """
    works = list(map(Workloads(registry).of, stages))
    size, free = sum(work.size or 0 for work in works), read_free_space(folder)
    if size <= free:
        return
    kinds: Counter[str] = Counter()
    for work in works:
        kinds[work.kind] += work.size or 0
    largest = ", ".join(f"{kind} {format_size(number)}" for kind, number in kinds.most_common(3) if number)
    raise BenchkitError(
        f"the run writes at least {format_size(size)} ({largest}), and the disk of the cache {folder} has "
        f"{format_size(free)} left: delete what is not needed with `benchkit cache prune`, put the cache onto another "
        "disk (`cache`), or compare fewer images (`scale`)"
    )


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.items()) + " stages"
