"""Runs batches of stages in processes of this machine: one for each accelerator, or for a share of the cores."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.executors.batch import Done, attempt
from benchkit.executors.drive import Ended, drive
from benchkit.executors.limits import check_limits_work
from benchkit.executors.mending import TOLD
from benchkit.registry import Registry
from benchkit.stages.base import Env, Stage
from benchkit.store.artifacts import CacheUnwritable
from benchkit.store.location import Location
from benchkit.store.opening import open_store

_LOGGER = "benchkit"
_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Setup:
    """What a worker makes its Env of; the plugins are loaded again from where the driver's came from."""

    sources: tuple[tuple[Path, ...], tuple[Path, ...]]
    location: Location
    device: str
    time_limit: float | None

    def env(self) -> Env:
        """The worker's own."""
        return Env(Registry.load(*self.sources), open_store(self.location), self.device)


@dataclass(frozen=True)
class Processes:
    """The executor of several processes; one that dies takes one batch with it, which is tried again.

    workers: how many; None for one on each device of the Env, or on a CPU for one on each core. The cores are divided
    among them, and each computes with as many threads as its share (or as OMP_NUM_THREADS says), so that rows equal
    those of one process with that many threads. time_limit: seconds that a stage may take, None for no limit.
    """

    workers: int | None = None
    time_limit: float | None = None

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run every stage that `env.store` lacks, and whose inputs did not fail.

        Raises CacheUnwritable where nothing can be kept any more, BenchkitError where a worker cannot start.
        """
        with self.lasting(env) as executor:
            executor.execute(stages, env, report)

    @contextmanager
    def lasting(self, env: Env) -> Iterator[Lasting]:
        """The same for several plans of one Env, one after another: workers that have started stay."""
        if self.time_limit is not None:
            check_limits_work()
        cores = len(os.sched_getaffinity(0))
        several = cores if env.device == "cpu" else len(env.devices)
        count = max(1, self.workers or several)
        setups = [
            Setup(env.registry.sources, env.store.location, env.devices[i % len(env.devices)], self.time_limit)
            for i in range(count)
        ]
        with _threads(max(1, cores // count)):
            pool = _Workers(setups, env)
            try:
                yield Lasting(pool)
            finally:
                pool.close()


@dataclass(frozen=True)
class Lasting:
    """The executor of workers that outlive a plan."""

    pool: _Workers

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run every stage that `env.store` lacks, and whose inputs did not fail."""
        drive(stages, env, report, self.pool)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let this process and those it starts compute with so many threads; rows record this process's number."""
    import torch

    set_before, computed_before = os.environ.get(_THREADS), torch.get_num_threads()
    if set_before is None:
        os.environ[_THREADS] = str(count)
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if set_before is None:
            del os.environ[_THREADS]
            torch.set_num_threads(computed_before)


@dataclass
class _Worker:
    """One process and the pipe to it."""

    setup: Setup
    process: Any = None
    pipe: Connection | None = None

    def give(self, batch: tuple[Stage, ...]) -> None:
        """Have it run a batch; it is started for its first one, and again after it died."""
        if self.pipe is None:
            context = get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_work, args=(theirs, self.setup), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send(batch)

    def end(self) -> int | None:
        """Stop it at once; its exit code."""
        if self.pipe is None:
            return None
        self.pipe.close()
        self.process.terminate()
        self.process.join()
        code, self.pipe, self.process = self.process.exitcode, None, None
        return int(code)


@dataclass
class _Workers:
    """The pool: as many workers as setups, started when they are first needed."""

    setups: Sequence[Setup]
    env: Env
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
            worker.give(batch)
        except BrokenPipeError:  # it died while it had nothing to do
            worker.end()
            worker.give(batch)
        assert worker.pipe is not None
        self._busy[worker.pipe] = (worker, batch)
        self.env.progress(batch[0].describe())

    def wait(self, timeout: float | None) -> Sequence[Ended]:
        return [self._heard(pipe) for pipe in wait(list(self._busy), timeout) if isinstance(pipe, Connection)]

    def _heard(self, pipe: Connection) -> Ended:
        worker, batch = self._busy.pop(pipe)
        self._idle.append(worker)
        try:
            told = pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()  # or it could be ended here before its own exit code is known
            return Ended(batch, lost=f"its worker process died ({_cause(worker.end())})")
        if isinstance(told, BenchkitError):
            raise told
        for name, level, text, extra in told.log:
            logging.getLogger(name).log(level, "%s", text, extra=extra)
        stages = {stage.key: stage for stage in batch}
        return Ended(batch, [Done(stages[key], state, reason, seconds) for key, state, reason, seconds in told.ended])

    def close(self) -> None:
        """End all workers; what they were computing is lost."""
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.end()


def _cause(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in {int(one) for one in signal.Signals} else str(-code)
    return f"signal {name}" + (", as when memory runs out" if name == "SIGKILL" else "")


#: A logger's name, level and text, and whether the user is told at once (`mending.TOLD`).
_Line = tuple[str, int, str, dict[str, bool]]


@dataclass(frozen=True)
class _Told:
    """What a worker says of a batch: how each stage ended, by key, and what was logged meanwhile."""

    ended: Sequence[tuple[str, Any, str | None, float]]
    log: Sequence[_Line]


class _Kept(logging.Handler):
    """Keeps what is logged, for the driver's own log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[_Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        extra = {mark: True for mark in TOLD if hasattr(record, mark)}
        self.records.append((record.name, record.levelno, record.getMessage(), extra))

    def taken(self) -> list[_Line]:
        taken, self.records = self.records, []
        return taken


def _work(orders: Connection, setup: Setup) -> None:
    """A worker's life: batches in, how they ended out, until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    os.dup2(2, 1)  # what plugins print is not the command's own output
    threading.Thread(target=_end_with_driver, daemon=True).start()
    kept, logger = _Kept(), logging.getLogger(_LOGGER)
    logger.addHandler(kept)
    logger.propagate = False
    env: Env | None = None
    while True:
        try:
            batch = orders.recv()
        except EOFError:
            return
        told: _Told | BenchkitError
        try:
            env = env or setup.env()
            ended = [(d.stage.key, d.state, d.reason, d.seconds) for d in attempt(batch, env, setup.time_limit)]
            told = _Told(ended, kept.taken())
        except CacheUnwritable as error:
            told = error
        except BenchkitError as error:
            told = BenchkitError(str(error))
        try:
            orders.send(told)
        except BrokenPipeError:  # the driver was killed; what was computed is in the store
            return


def _end_with_driver() -> None:
    """Give up a stage whose driver was killed: its claim would keep the next run waiting."""
    driver = parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
