"""Run one batch of stages in this process: lease, compute, write to the store. Every executor calls this."""

from __future__ import annotations

import errno
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from benchkit.errors import BenchkitError
from benchkit.executors.limits import limit_time
from benchkit.executors.repair_artifacts import is_stored, read_repaired
from benchkit.stages.base import Env, Stage
from benchkit.store.artifacts import ArtifactBusy, ArtifactStore, CacheUnwritable
from benchkit.system.peak_memory import read_peak_memory

State = Literal["run", "cached", "failed", "skipped"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageResult:
    """How one stage ended.

    reason: why it failed or was skipped. seconds: its fraction of the batch's time. memory: bytes of its process at
    their largest so far; 0 where unknown.
    """

    stage: Stage
    state: State
    reason: str | None = None
    seconds: float = 0.0
    memory: int = 0


class Executor(Protocol):
    """Runs the stages of a plan."""

    def check(self) -> None:
        """Raise BenchkitError if it cannot run here; called before anything is written."""
        ...

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[StageResult], None]) -> None:
        """Run every stage that `env.store` lacks and whose inputs did not fail; call `report` with each result.

        stages: inputs before the stages that read them. Raises CacheUnwritable if nothing can be stored any more, such
        as on a full disk, and BenchkitError if a worker cannot start.
        """
        ...


def run_batch(batch: Sequence[Stage], env: Env, time_limit: float | None = None) -> list[StageResult]:
    """Run the stages of a batch, all of one group; return results, except of stages that another process is computing.

    time_limit: seconds that a stage may take; the batch may take that many for each of its stages. If the batch takes
    longer or fails, each stage runs again by itself, so that only the faulty one fails. Raises CacheUnwritable if
    nothing can be stored any more.
    """
    with _lease_stages(batch, env.store) as leased:
        stored = [stage for stage in leased if is_stored(stage, env)]  # another process may have computed it by now
        missing = [stage for stage in leased if stage not in stored]
        return [StageResult(stage, "cached") for stage in stored] + list(_compute(missing, env, time_limit))


def failed(stage: Stage, reason: str, seconds: float = 0.0) -> StageResult:
    """Return the result of a stage that failed; its reason begins with the stage's name."""
    return StageResult(stage, "failed", f"{stage.describe()}: {' '.join(reason.split())}", seconds)


def _compute(batch: Sequence[Stage], env: Env, time_limit: float | None) -> Iterator[StageResult]:
    if not batch:
        return
    began = time.monotonic()
    env.progress(batch[0].describe())
    try:
        with limit_time(None if time_limit is None else time_limit * len(batch)):
            inputs = [needed for stage in batch for needed in stage.inputs]
            outputs = read_repaired(lambda: type(batch[0]).run_group(batch, env), inputs, env)
        for stage, output in zip(batch, outputs, strict=True):
            env.store.write(stage.key, output.files, output.meta)
    except CacheUnwritable:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Every later stage would fail in the same way.
            place = error.filename or env.store.root
            raise CacheUnwritable(f"cannot write to {place}: {error.strerror}; free some space there") from error
        _free_device_memory()
        if len(batch) > 1:
            for stage in batch:
                yield from _compute([stage], env, time_limit)
            return
        reason = _describe_error(error)
        log.error("%s failed: %s\n%s", batch[0].describe(), reason, traceback.format_exc())
        yield failed(batch[0], reason, time.monotonic() - began)
        return
    seconds = (time.monotonic() - began) / len(batch)
    memory = read_peak_memory()
    for stage in batch:
        yield StageResult(stage, "run", seconds=seconds, memory=memory)


@contextmanager
def _lease_stages(batch: Sequence[Stage], store: ArtifactStore) -> Iterator[list[Stage]]:
    """Lease the stages of a batch that no other process has leased, and yield them."""
    with ExitStack() as leases:
        leased = []
        for stage in batch:
            with suppress(ArtifactBusy):
                leases.enter_context(store.lease(stage.key, timeout=0))
                leased.append(stage)
        yield leased


def _describe_error(error: Exception) -> str:
    if isinstance(error, BenchkitError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"MemoryError: {str(error) or 'out of memory'}; run it where there is more"
    return f"{type(error).__name__}: {error}"


def _free_device_memory() -> None:
    """Release the memory of an accelerator that a failed stage left reserved."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
