"""Choose between one process and several by the device, the cores and the work; the default of the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchkit.executors.batch import Executor, StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.processes import Processes
from benchkit.stages.base import Env, Stage

#: Plans of fewer stages are done before a second process would have loaded torch.
FEWEST_STAGES = 100
#: A worker of the embedded model needs 1.5 GiB. Larger models on a CPU need more than this: name `inline` for them.
MEMORY_PER_WORKER = 4 * 2**30


@dataclass(frozen=True)
class Auto:
    """The executor that is fastest here: on a CPU one process for each core, else this process.

    Two processes of one thread each were 1.25 times as fast as one process of two threads. Only so many processes are
    started as the free memory allows, and none for a plan of few stages. time_limit: seconds that a stage may take.
    """

    time_limit: float | None = None

    def check(self) -> None:
        """Raise BenchkitError if this process cannot keep the time limit."""
        Inline(self.time_limit).check()

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[StageResult], None]) -> None:
        """Run the stages, see Executor."""
        self.choose(env.device, len(stages), read_free_memory()).execute(stages, env, report)

    def choose(self, device: str, stages: int, memory: int | None) -> Executor:
        """Return the executor of a plan with so many stages and so many bytes free (None: unknown).

        Finished stages count too, so that an interrupted run continues with as many threads as it began with: their
        number decides the last digits.
        """
        workers = len(os.sched_getaffinity(0))
        if memory is not None:
            workers = min(workers, memory // MEMORY_PER_WORKER)
        if device != "cpu" or workers < 2 or stages < FEWEST_STAGES:
            return Inline(self.time_limit)
        return Processes(workers, self.time_limit)


def read_free_memory() -> int | None:
    """Return how many bytes of memory programs can still allocate; None where the system does not say."""
    try:
        with Path("/proc/meminfo").open() as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
