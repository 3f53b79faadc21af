"""Runs batches of stages in processes of this machine: one for each accelerator, or for a fraction of the cores."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from benchkit.executors.batch import Done, failed
from benchkit.executors.driver import BatchResult, run_stages
from benchkit.executors.limits import check_limit, format_limit
from benchkit.executors.worker import BatchReport, Setup, Worker, threads
from benchkit.stages.base import Env, Stage

#: Seconds beyond a batch's time limit after which its worker is killed. Python acts on the limit's alarm between two
#: of its own steps, so that a worker ends by itself unless compiled code never returns.
KILL_AFTER = 30.0


@dataclass(frozen=True)
class Processes:
    """The executor of several processes; one that dies takes one batch with it, which is tried again.

    workers: how many; None for one on each device of the Env, or on a CPU for one on each core. The cores are divided
    among them, and each computes with as many threads as its share (or as OMP_NUM_THREADS says), so that rows equal
    those of one process with that many threads. time_limit: seconds that a stage may take, None for no limit.
    """

    workers: int | None = None
    time_limit: float | None = None

    def check(self) -> None:
        """Raise BenchkitError where a time limit cannot be kept."""
        check_limit(self.time_limit)

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run every stage that `env.store` lacks, and whose inputs did not fail.

        Raises CacheUnwritable where nothing can be kept any more, BenchkitError where a worker cannot start.
        """
        with self.keep_workers(env) as executor:
            executor.execute(stages, env, report)

    @contextmanager
    def keep_workers(self, env: Env) -> Iterator[KeptWorkers]:
        """The same for several plans of one Env, one after another: workers that have started stay."""
        self.check()
        cores = len(os.sched_getaffinity(0))
        several = cores if env.device == "cpu" else len(env.devices)
        count = max(1, self.workers or several)
        setups = [Setup.of(env, env.devices[i % len(env.devices)], self.time_limit) for i in range(count)]
        with threads(max(1, cores // count)):
            pool = _Workers(setups, env)
            try:
                yield KeptWorkers(pool)
            finally:
                pool.close()


@dataclass(frozen=True)
class KeptWorkers:
    """The executor of workers that outlive a plan."""

    pool: _Workers

    def check(self) -> None:
        """Nothing: whoever made the pool has checked."""

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run every stage that `env.store` lacks, and whose inputs did not fail."""
        self.pool.plan = tuple(stages)
        run_stages(stages, env, report, self.pool)


@dataclass
class _Worker:
    """One process and the pipe to it.

    knows: the plan that it was sent last. deadline: when its batch must have ended.
    """

    setup: Setup
    process: Any = None
    pipe: Connection | None = None
    knows: Sequence[Stage] | None = None
    deadline: float | None = None

    def give(self, batch: tuple[Stage, ...], plan: Sequence[Stage]) -> None:
        """Have it run a batch of a plan; it is started for its first one, and again after it died."""
        if self.pipe is None:
            context = get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_work, args=(theirs, self.setup), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send((None if self.knows is plan else plan, [stage.key for stage in batch]))
        self.knows = plan
        limit = self.setup.time_limit
        self.deadline = None if limit is None else time.monotonic() + limit * len(batch) + KILL_AFTER

    @property
    def overdue(self) -> bool:
        """Whether its batch should have ended."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def end(self) -> int | None:
        """Stop it at once; its exit code."""
        if self.pipe is None:
            return None
        self.pipe.close()
        self.process.kill()  # one that hangs in compiled code does not act on anything gentler
        self.process.join()
        code, self.pipe, self.process, self.knows = self.process.exitcode, None, None, None
        return int(code)


@dataclass
class _Workers:
    """The pool: as many workers as setups, started when they are first needed. plan: whose batches it is given."""

    setups: Sequence[Setup]
    env: Env
    plan: Sequence[Stage] = ()
    retries: int = 1
    _idle: list[_Worker] = field(default_factory=list)
    _busy: dict[Connection, tuple[_Worker, tuple[Stage, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._idle = [_Worker(setup) for setup in reversed(self.setups)]

    def free(self) -> int:
        return len(self._idle)

    def submit(self, batch: tuple[Stage, ...]) -> None:
        worker = self._idle.pop()
        try:
            worker.give(batch, self.plan)
        except BrokenPipeError:  # it died while it had nothing to do
            worker.end()
            worker.give(batch, self.plan)
        assert worker.pipe is not None
        self._busy[worker.pipe] = (worker, batch)
        self.env.progress(batch[0].describe())

    def wait(self, timeout: float | None) -> Sequence[BatchResult]:
        deadlines = [worker.deadline for worker, _ in self._busy.values() if worker.deadline is not None]
        left = [max(0.0, deadline - time.monotonic()) for deadline in deadlines]
        ready = wait(list(self._busy), min(left if timeout is None else [timeout, *left], default=None))
        results = [self._collect(pipe) for pipe in ready if isinstance(pipe, Connection)]
        return results + [self._kill_overdue(pipe) for pipe, (worker, _) in list(self._busy.items()) if worker.overdue]

    def _kill_overdue(self, pipe: Connection) -> BatchResult:
        """End a worker that the alarm of its own process could not stop."""
        worker, batch = self._busy.pop(pipe)
        worker.end()
        self._idle.append(worker)
        reason = format_limit(worker.setup.time_limit or 0)
        if len(batch) > 1:  # each is tried by itself, so that the one to blame is named
            return BatchResult(batch, lost=reason)
        return BatchResult(batch, [failed(batch[0], f"{reason} (its worker process was killed)")])

    def _collect(self, pipe: Connection) -> BatchResult:
        worker, batch = self._busy.pop(pipe)
        self._idle.append(worker)
        try:
            report: BatchReport = pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()  # or it could be ended here before its own exit code is known
            return BatchResult(batch, lost=f"its worker process died ({_cause(worker.end())})")
        return report.to_result(batch)

    def close(self) -> None:
        """End all workers; what they were computing is lost."""
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.end()


def _cause(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in {int(one) for one in signal.Signals} else str(-code)
    return f"signal {name}" + (", as when memory runs out" if name == "SIGKILL" else "")


def _work(orders: Connection, setup: Setup) -> None:
    """A worker's life: plans and keys of batches in, how they ended out, until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    os.dup2(2, 1)  # what plugins print is not the command's own output
    threading.Thread(target=_end_with_driver, daemon=True).start()
    worker = Worker(setup)
    while True:
        try:
            plan, keys = orders.recv()
            if plan is not None:
                worker.learn(plan)
            orders.send(worker.run_stages(keys))
        except (EOFError, BrokenPipeError):  # the driver was killed; what was computed is in the store
            return


def _end_with_driver() -> None:
    """Give up a stage whose driver was killed: its lease would keep the next run waiting."""
    driver = parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
