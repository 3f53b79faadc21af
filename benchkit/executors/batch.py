"""One batch of stages in this process: leased, computed together, committed. Every executor ends up here."""

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
from benchkit.executors.repair import read_repaired, usable
from benchkit.stages.base import Env, Stage
from benchkit.store.artifacts import ArtifactBusy, ArtifactStore, CacheUnwritable

State = Literal["run", "cached", "failed", "skipped"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """How one stage ended. reason: why it failed or was skipped. seconds: its fraction of the work."""

    stage: Stage
    state: State
    reason: str | None = None
    seconds: float = 0.0


class Executor(Protocol):
    """Runs the stages of a plan; `report` hears of each as it ends."""

    def check(self) -> None:
        """Raise BenchkitError where it cannot run; asked before anything is written."""
        ...

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run what is not in the store yet; inputs come before their readers in `stages`."""
        ...


def run_batch(batch: Sequence[Stage], env: Env, time_limit: float | None = None) -> list[Done]:
    """How each stage of a batch of one group ended; those that another process is computing are left out.

    time_limit: seconds that a stage may take. The batch may take as many times as long; where it takes longer, or
    fails, each stage is run by itself, so that the one to blame is named and alone fails. Raises CacheUnwritable
    where nothing can be kept any more.
    """
    with _lease_stages(batch, env.store) as mine:
        there = [stage for stage in mine if usable(stage, env)]  # another process may have been there first
        lacking = [stage for stage in mine if stage not in there]
        return [Done(stage, "cached") for stage in there] + list(_compute(lacking, env, time_limit))


def failed(stage: Stage, reason: str, seconds: float = 0.0) -> Done:
    """A stage that failed, its reason led by its name."""
    return Done(stage, "failed", f"{stage.describe()}: {' '.join(reason.split())}", seconds)


def _compute(batch: Sequence[Stage], env: Env, time_limit: float | None) -> Iterator[Done]:
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
        _stop_where_nothing_can_be_kept(error, env.store)
        _free_device_memory()
        if len(batch) > 1:
            # One bad method must not take the others of its group down.
            for stage in batch:
                yield from _compute([stage], env, time_limit)
            return
        reason = _reason(error)
        log.error("%s failed: %s\n%s", batch[0].describe(), reason, traceback.format_exc())
        yield failed(batch[0], reason, time.monotonic() - began)
        return
    share = (time.monotonic() - began) / len(batch)
    for stage in batch:
        yield Done(stage, "run", seconds=share)


@contextmanager
def _lease_stages(batch: Sequence[Stage], store: ArtifactStore) -> Iterator[list[Stage]]:
    """The stages of a batch that no other process is computing, kept to this one meanwhile."""
    with ExitStack() as leases:
        mine = []
        for stage in batch:
            with suppress(ArtifactBusy):
                leases.enter_context(store.lease(stage.key, timeout=0))
                mine.append(stage)
        yield mine


def _reason(error: Exception) -> str:
    if isinstance(error, BenchkitError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"MemoryError: {str(error) or 'out of memory'}; run it where there is more"
    return f"{type(error).__name__}: {error}"


def _stop_where_nothing_can_be_kept(error: Exception, store: ArtifactStore) -> None:
    """Raise CacheUnwritable for a full disk met inside of a stage: every stage after it would fail alike."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = error.filename or store.root
        raise CacheUnwritable(f"cannot write to {place}: {error.strerror}; free some space there") from error


def _free_device_memory() -> None:
    """Give back what a stage that ran out of an accelerator's memory left reserved, for the stages after it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
