"""A worker of whatever executor: made of a Setup, told stages by key; tells how they ended and what was logged."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.executors.batch import Done, run_batch
from benchkit.executors.driver import BatchResult
from benchkit.executors.repair import TELL_USER
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env, Stage, each_device
from benchkit.store.artifacts import CacheUnwritable
from benchkit.store.location import Location
from benchkit.store.opening import open_store

_LOGGER = "benchkit"
_PACKAGE = "artifact-benchkit"
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Setup:
    """What a worker makes its Env of; the plugins are loaded again from where the driver's came from.

    folder, paths: the driver's working directory and where it imports from, as far as a worker's machine has them.
    versions: what the worker's plugins must be, since keys say that they are. made: when a cache in a folder was made,
    by which another machine's folder of the same name is told from it.
    """

    sources: tuple[tuple[Path, ...], tuple[Path, ...]]
    location: Location
    device: str
    time_limit: float | None
    folder: Path
    paths: tuple[str, ...]
    versions: Mapping[str, str]
    made: int | None = None

    @classmethod
    def of(cls, env: Env, device: str, time_limit: float | None) -> Setup:
        """What makes a worker like this process, on a device of its own."""
        paths, place = tuple(path for path in sys.path if path), env.store.location
        return cls(
            env.registry.sources,
            place,
            device,
            time_limit,
            Path.cwd(),
            paths,
            _versions(env.registry),
            _made(place),
        )

    def enter(self) -> None:
        """Work where the driver does and import from where it does, in a process that was started elsewhere."""
        if self.folder.is_dir():
            os.chdir(self.folder)
        sys.path += [path for path in self.paths if path not in sys.path]

    def env(self) -> Env:
        """The worker's own; raises BenchkitError where it would compute something else than the keys say."""
        registry = Registry.load(*self.sources)
        found = _versions(registry)
        for name, wanted in self.versions.items():
            if found.get(name) != wanted:
                raise BenchkitError(
                    f"{name} is another version in a worker on {platform.node()} than in this process: have the same "
                    "packages and plugin files on every machine, and leave them alone during a run"
                )
        if _made(self.location) != self.made:
            raise BenchkitError(
                f"the cache {self.location} is not the same folder on {platform.node()}: name a folder that all nodes "
                "share, or a URL (--cache s3://BUCKET/FOLDER)"
            )
        return Env(registry, open_store(self.location), self.device)


def _versions(registry: Registry) -> dict[str, str]:
    plugins = {f"{entry.kind} '{entry.name}'": entry.source_hash for entry in registry.entries()}
    return {_PACKAGE: version(_PACKAGE), **plugins}


def _made(place: Location) -> int | None:
    try:
        return (place / "VERSION").stat().st_mtime_ns if isinstance(place, Path) else None
    except FileNotFoundError:
        return 0


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let this process and those it starts compute with so many threads; rows record this process's number."""
    import torch

    set_before, computed_before = os.environ.get(THREADS), torch.get_num_threads()
    if set_before is None:
        os.environ[THREADS] = str(count)
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if set_before is None:
            del os.environ[THREADS]
            torch.set_num_threads(computed_before)


#: A logger's name, level and text, and whether the user is told at once (`repair.TELL_USER`).
_Line = tuple[str, int, str, dict[str, bool]]


@dataclass(frozen=True)
class BatchReport:
    """What a worker says of a batch: how each stage ended, by key, and what was logged meanwhile.

    error: what nothing after it could go on with either.
    """

    ended: Sequence[tuple[str, Any, str | None, float]]
    log: Sequence[_Line]
    error: BenchkitError | None = None

    def to_result(self, batch: Sequence[Stage]) -> BatchResult:
        """The batch's end, its log in this process's; raises the error, if there is one."""
        for name, level, text, extra in self.log:
            logging.getLogger(name).log(level, "%s", text, extra=extra)
        if self.error is not None:
            raise self.error
        stages = {stage.key: stage for stage in batch}
        done = [Done(stages[key], state, reason, seconds) for key, state, reason, seconds in self.ended]
        return BatchResult(tuple(batch), done)


class _LogCollector(logging.Handler):
    """Keeps what is logged, for the driver's own log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[_Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        extra = {mark: True for mark in TELL_USER if hasattr(record, mark)}
        self.records.append((record.name, record.levelno, record.getMessage(), extra))

    def take(self) -> list[_Line]:
        records, self.records = self.records, []
        return records


class Worker:
    """What one process keeps between batches: its Env with the loaded networks, and the plan.

    A stage holds its inputs, and theirs: sent by itself it would carry half of the plan along, every time.
    """

    def __init__(self, setup: Setup, plan: Sequence[Stage] = ()) -> None:
        self._setup = setup
        self.learn(plan)
        self._env: Env | None = None
        self._log, logger = _LogCollector(), logging.getLogger(_LOGGER)
        logger.addHandler(self._log)
        logger.propagate = False

    def learn(self, plan: Sequence[Stage]) -> None:
        """Be told stages of this plan from now on."""
        self._stages = {stage.key: stage for stage in plan}

    def run_stages(self, keys: Sequence[str], device: str | None = None) -> BatchReport:
        """Run stages of the plan, of one group; device: where, None for wherever it is. Whatever happens is told."""
        try:
            env = self._on(device)
            batch = [self._stages[key] for key in keys]
            ended = [(d.stage.key, d.state, d.reason, d.seconds) for d in run_batch(batch, env, self._setup.time_limit)]
            return BatchReport(ended, self._log.take())
        except CacheUnwritable as error:
            return BatchReport((), self._log.take(), CacheUnwritable(str(error)))
        except BenchkitError as error:
            return BatchReport((), self._log.take(), BenchkitError(str(error)))

    def close(self) -> None:
        """Leave the process's log as it was."""
        logging.getLogger(_LOGGER).removeHandler(self._log)

    def _on(self, device: str | None) -> Env:
        self._env = self._env or self._setup.env()
        if device is not None and each_device(device) != self._env.devices:
            # The networks on the device before are let go.
            self._env = Env(self._env.registry, self._env.store, device)
        return self._env
