"""Run batches of stages in processes of this machine: one for each accelerator, or for a part of the cores."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from benchkit.executors.batch import StageResult, failed
from benchkit.executors.driver import complete, run_stages
from benchkit.executors.inline import Inline
from benchkit.executors.limits import check_limit, format_limit
from benchkit.executors.retry import RETRIES, WorkerDied
from benchkit.executors.worker import Worker, WorkerConfig, WorkerReport, use_threads
from benchkit.stages.base import Env, Stage

#: Seconds beyond a batch's time limit after which its worker is killed. Python acts on the limit's alarm between two
#: of its own steps, so that a worker ends by itself unless compiled code never returns.
KILL_AFTER = 30.0


@dataclass(frozen=True)
class Processes:
    """The executor of several processes. If a process dies, its batch is tried again in a new one.

    workers: how many; None for one on each device of the Env, or on a CPU for one on each core. The cores are divided
    among them. Each computes with as many threads as it has cores (or as OMP_NUM_THREADS says), so that rows equal
    those of one process with that many threads. time_limit: seconds that a stage may take; None for no limit.
    """

    workers: int | None = None
    time_limit: float | None = None

    def check(self) -> None:
        """Raise BenchkitError if a time limit cannot be kept here."""
        check_limit(self.time_limit)

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[StageResult], None]) -> None:
        """Run the stages, see Executor. If all are finished, no worker starts and torch is not loaded."""
        if all(env.store.has(stage.key) for stage in stages):
            Inline(self.time_limit).execute(stages, env, report)
            return
        with self.keep_workers(env) as pool:
            pool.execute(stages, env, report)

    def divide_cores(self, env: Env) -> tuple[int, int]:
        """Return the number of workers, and the threads of each unless OMP_NUM_THREADS is set."""
        cores = len(os.sched_getaffinity(0))
        count = max(1, self.workers or (cores if env.device == "cpu" else len(env.devices)))
        return count, max(1, cores // count)

    @contextmanager
    def keep_workers(self, env: Env) -> Iterator[ProcessPool]:
        """Yield an executor for several plans of one Env, one after another; its processes end with the context."""
        self.check()
        count, threads = self.divide_cores(env)
        devices = [env.devices[i % len(env.devices)] for i in range(count)]
        with use_threads(threads):
            pool = ProcessPool([WorkerConfig.from_env(env, device, self.time_limit) for device in devices], env)
            try:
                yield pool
            finally:
                pool.close()


class ProcessPool:
    """Worker processes, one for each config, started when they are first needed; an executor that keeps them."""

    def __init__(self, configs: Sequence[WorkerConfig], env: Env) -> None:
        self.retries = RETRIES
        self._env = env
        self._plan: Sequence[Stage] = ()
        self._workers = [_WorkerProcess(config) for config in configs]

    def check(self) -> None:
        """Do nothing: `Processes.keep_workers` has checked."""

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[StageResult], None]) -> None:
        """Run the stages, see Executor."""
        self._plan = tuple(stages)
        run_stages(stages, env, report, self)

    def count_workers(self) -> int:
        return len(self._workers)

    def submit(self, batch: tuple[Stage, ...]) -> Future[list[StageResult]]:
        worker = next(worker for worker in self._workers if worker.future is None)
        try:
            worker.send(batch, self._plan)
        except BrokenPipeError:  # it died while it was idle
            worker.kill()
            worker.send(batch, self._plan)
        self._env.progress(batch[0].describe())
        worker.future = Future()
        return worker.future

    def wait(self, timeout: float | None) -> None:
        busy = [worker for worker in self._workers if worker.future is not None]
        limits = [max(0.0, worker.deadline - time.monotonic()) for worker in busy if worker.deadline is not None]
        limits += [] if timeout is None else [timeout]
        ready = wait([worker.pipe for worker in busy if worker.pipe is not None], min(limits, default=None))
        for worker in busy:
            if worker.pipe in ready:
                worker.finish(worker.receive)
            elif worker.deadline is not None and time.monotonic() >= worker.deadline:
                worker.finish(worker.kill_overdue)

    def close(self) -> None:
        """Kill all workers; what they were computing is lost."""
        for worker in self._workers:
            worker.kill()


class _WorkerProcess:
    """One process, the pipe to it, and the future of the batch it runs, which must be done by `deadline`."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.process: Any = None
        self.pipe: Connection | None = None
        self.plan: Sequence[Stage] | None = None
        self.batch: tuple[Stage, ...] = ()
        self.future: Future[list[StageResult]] | None = None
        self.deadline: float | None = None

    def send(self, batch: tuple[Stage, ...], plan: Sequence[Stage]) -> None:
        """Start a batch of a plan; start the process for its first batch, and again after it died."""
        if self.pipe is None:
            context = get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_serve_driver, args=(theirs, self.config), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send((None if self.plan is plan else plan, [stage.key for stage in batch]))
        self.plan, self.batch, limit = plan, batch, self.config.time_limit
        self.deadline = None if limit is None else time.monotonic() + limit * len(batch) + KILL_AFTER

    def finish(self, work: Callable[[], list[StageResult]]) -> None:
        """Complete the batch's future with what `work` returns or raises."""
        if self.future is not None:
            complete(self.future, work)
            self.future = None

    def receive(self) -> list[StageResult]:
        """Return the batch's results; raise WorkerDied if the process is dead."""
        assert self.pipe is not None
        try:
            report: WorkerReport = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()  # before it is killed here, so that its own exit code is known
            raise WorkerDied(f"its worker process died ({_describe_exit(self.kill())})") from None
        return report.to_results(self.batch)

    def kill_overdue(self) -> list[StageResult]:
        """Kill a process that the alarm of its time limit could not stop."""
        self.kill()
        reason = format_limit(self.config.time_limit or 0)
        if len(self.batch) > 1:  # each is tried by itself, so that only the faulty one fails
            raise WorkerDied(reason)
        return [failed(self.batch[0], f"{reason} (its worker process was killed)")]

    def kill(self) -> int | None:
        """Stop the process at once and return its exit code; None if it was not running."""
        if self.pipe is None:
            return None
        self.pipe.close()
        self.process.kill()  # a process that hangs in compiled code acts on no other signal
        self.process.join()
        code, self.pipe, self.process, self.plan = self.process.exitcode, None, None, None
        return int(code)


def _describe_exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"signal {name}" + (", as when memory runs out" if name == "SIGKILL" else "")


def _serve_driver(pipe: Connection, config: WorkerConfig) -> None:
    """Run in the worker process: receive plans and keys of batches, send reports, until the driver ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C
    os.dup2(2, 1)  # what plugins print is not output of the command
    threading.Thread(target=_end_with_driver, daemon=True).start()
    worker = Worker(config)
    while True:
        try:
            plan, keys = pipe.recv()
            if plan is not None:
                worker.set_plan(plan)
            pipe.send(worker.run_stages(keys))
        except (EOFError, BrokenPipeError):  # the driver was killed; finished stages are in the store
            return


def _end_with_driver() -> None:
    """End this process when the driver is killed. Otherwise its lease would keep the next run waiting."""
    driver = parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
