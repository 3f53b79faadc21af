"""What a worker process keeps and does, for every executor with workers: build an Env, run batches, return the log."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult, run_batch
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env, Stage, each_device
from benchkit.store.artifacts import CacheUnwritable
from benchkit.store.location import Location
from benchkit.store.opening import open_store

_PACKAGE = "artifact-benchkit"
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs to build an Env like the driver's. It loads the plugins again, from the same sources.

    working_folder, import_paths: the driver's; used as far as the worker's machine has them. versions: what the
    worker's plugins must be, because stages' keys contain it. cache_created: when the cache's folder was created; it
    distinguishes the folder from another machine's of the same name.
    """

    sources: tuple[tuple[Path, ...], tuple[Path, ...]]
    location: Location
    device: str
    time_limit: float | None
    working_folder: Path
    import_paths: tuple[str, ...]
    versions: Mapping[str, str]
    cache_created: int | None = None

    @classmethod
    def from_env(cls, env: Env, device: str, time_limit: float | None) -> WorkerConfig:
        """Return the config of a worker like this process, on a device of its own."""
        registry, location = env.registry, env.store.location
        return cls(
            registry.sources,
            location,
            device,
            time_limit,
            Path.cwd(),
            tuple(path for path in sys.path if path),
            _get_versions(registry),
            _get_creation_time(location),
        )

    def use_driver_paths(self) -> None:
        """Change to the driver's working folder and import from its paths."""
        if self.working_folder.is_dir():
            os.chdir(self.working_folder)
        sys.path += [path for path in self.import_paths if path not in sys.path]

    def make_env(self) -> Env:
        """Return the worker's Env; raise BenchkitError if its plugins or its cache differ from the driver's."""
        registry = Registry.load(*self.sources)
        versions = _get_versions(registry)
        for name, wanted in self.versions.items():
            if versions.get(name) != wanted:
                raise BenchkitError(
                    f"{name} is another version in a worker on {platform.node()} than in this process: have the same "
                    "packages and plugin files on every machine, and leave them alone during a run"
                )
        if _get_creation_time(self.location) != self.cache_created:
            raise BenchkitError(
                f"the cache {self.location} is not the same folder on {platform.node()}: name a folder that all nodes "
                "share, or a URL such as s3://BUCKET/FOLDER"
            )
        return Env(registry, open_store(self.location), self.device)


def _get_versions(registry: Registry) -> dict[str, str]:
    plugins = {f"{entry.kind} '{entry.name}'": entry.source_hash for entry in registry.entries()}
    return {_PACKAGE: version(_PACKAGE), **plugins}


def _get_creation_time(location: Location) -> int | None:
    try:
        return (location / "VERSION").stat().st_mtime_ns if isinstance(location, Path) else None
    except FileNotFoundError:
        return 0


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let this process and its children compute with `count` threads, unless OMP_NUM_THREADS is set.

    This process too, because rows record its number of threads.
    """
    import torch

    if THREADS in os.environ:
        yield
        return
    before = torch.get_num_threads()
    os.environ[THREADS] = str(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        del os.environ[THREADS]
        torch.set_num_threads(before)


@dataclass(frozen=True)
class WorkerReport:
    """What a worker returns for a batch: (key, state, reason, seconds) of each stage, and the log records.

    error: what stopped the worker and would stop every further stage.
    """

    results: Sequence[tuple[str, Any, str | None, float]]
    log: Sequence[logging.LogRecord]
    error: BenchkitError | None = None

    def to_results(self, batch: Sequence[Stage]) -> list[StageResult]:
        """Write the log records to this process's log and return the results; raise the error if there is one."""
        for record in self.log:
            logging.getLogger(record.name).handle(record)
        if self.error is not None:
            raise self.error
        stages = {stage.key: stage for stage in batch}
        return [StageResult(stages[key], state, reason, seconds) for key, state, reason, seconds in self.results]


class Worker:
    """What one process keeps between batches: its Env with loaded networks, and the plan.

    Batches name stages by key. A pickled stage contains its inputs, and so half of the plan.
    """

    def __init__(self, config: WorkerConfig, plan: Sequence[Stage] = ()) -> None:
        self._config = config
        self.set_plan(plan)
        self._env: Env | None = None
        self._log: SimpleQueue[logging.LogRecord] = SimpleQueue()
        self._handler, logger = QueueHandler(self._log), logging.getLogger("benchkit")
        logger.addHandler(self._handler)
        logger.propagate = False

    def set_plan(self, plan: Sequence[Stage]) -> None:
        """Look up further keys among these stages."""
        self._stages = {stage.key: stage for stage in plan}

    def run_stages(self, keys: Sequence[str], device: str | None = None) -> WorkerReport:
        """Run stages of the plan, all of one group; device: None for the device of the last batch."""
        results: list[StageResult] = []
        failure: BenchkitError | None = None
        try:
            env = self._get_env(device)
            results = run_batch([self._stages[key] for key in keys], env, self._config.time_limit)
        except CacheUnwritable as error:
            failure = CacheUnwritable(str(error))
        except BenchkitError as error:
            failure = BenchkitError(str(error))  # a subclass may not be importable by the driver
        log = [self._log.get() for _ in range(self._log.qsize())]
        return WorkerReport([(r.stage.key, r.state, r.reason, r.seconds) for r in results], log, failure)

    def close(self) -> None:
        """Stop collecting the process's log."""
        logging.getLogger("benchkit").removeHandler(self._handler)

    def _get_env(self, device: str | None) -> Env:
        self._env = self._env or self._config.make_env()
        if device is not None and each_device(device) != self._env.devices:
            # A new Env, so that networks on the earlier device are freed.
            self._env = Env(self._env.registry, self._env.store, device)
        return self._env
