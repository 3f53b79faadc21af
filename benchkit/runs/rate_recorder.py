"""Record the rates of a run's stages, for the estimates of later runs on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchkit.executors.batch import Executor, StageResult
from benchkit.planning.rates import WHOLE_RUN, Measurement, Rates, select_machine
from benchkit.planning.workloads import Workload, Workloads
from benchkit.runs.provenance import read_processor_name
from benchkit.stages.base import Env
from benchkit.store.location import get_local_folder
from benchkit.store.manifest import DamagedResult

#: Runs of fewer seconds say little about how many stages run at once.
SHORTEST_RUN = 1.0


@dataclass
class RateRecorder:
    """Collects the measurements of one run, and adds them to the machine's when it ends, however it ends."""

    env: Env
    environment: Mapping[str, Any]
    executor: str
    rates: Rates = field(default_factory=Rates)

    def __post_init__(self) -> None:
        self._works = Workloads(self.env.registry)
        self._began = time.monotonic()
        self._seconds = 0.0

    def __enter__(self) -> RateRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        passed = time.monotonic() - self._began
        if self._seconds > SHORTEST_RUN:
            self.rates.add(Workload(WHOLE_RUN, self.executor, 1), Measurement(self._seconds, passed))
        self.rates.save(get_local_folder(self.env.store.location), self.environment)

    def record(self, result: StageResult) -> None:
        """Record a stage that was computed."""
        if result.state != "run":
            return
        work = self._works.of(result.stage)
        try:
            size = self.env.store.open(result.stage.key).size
        except DamagedResult:  # another process has pruned it meanwhile
            size = 0
        self._seconds += result.seconds
        self.rates.add(work, Measurement(work.amount, result.seconds, result.memory, size))


def load_rates(folder: Path, device: str) -> Rates:
    """Return the rates that earlier runs recorded on this machine. folder: of the cache. device: may be `auto`."""
    return Rates.load(folder, select_machine(read_processor_name(), device))


def name_executor(executor: Executor) -> str:
    """Return the name under which the time of whole runs is kept."""
    return type(getattr(executor, "executor", executor)).__name__.lower()
