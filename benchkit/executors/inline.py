"""Runs stages one after another in this process."""

from __future__ import annotations

import errno
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from benchkit.errors import BenchkitError
from benchkit.executors.limits import check_limits_work, limited
from benchkit.executors.mending import mended, usable
from benchkit.stages.base import Env, Stage
from benchkit.store.artifacts import ArtifactBusy, ArtifactStore, CacheUnwritable

State = Literal["run", "cached", "failed", "skipped"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """How one stage ended. reason: why it failed or was skipped. seconds: its share of the work."""

    stage: Stage
    state: State
    reason: str | None = None
    seconds: float = 0.0


class Executor(Protocol):
    """Runs the stages of a plan; `report` hears of each as it ends."""

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run what is not in the store yet; inputs come before their readers in `stages`."""
        ...


@dataclass
class Inline:
    """The executor of one process; the order is the plan's, stages of one group run together.

    time_limit: seconds that a stage may take, None for no limit. A group may take as many times as long as it has
    stages; where it takes longer, each of them is run by itself, so that the one that hangs is named and alone fails.

    Any number of processes may run plans on one store at once. A stage that another is computing is put off, and
    taken from the store when it is there, or run here where the other failed or died; nothing is held while waiting.
    """

    time_limit: float | None = None
    _failed: dict[str, str] = field(default_factory=dict)

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run every stage that `env.store` lacks, and whose inputs did not fail.

        Raises CacheUnwritable where nothing can be kept any more, such as on a full disk.
        """
        if self.time_limit is not None:
            check_limits_work()
        pending = self._pending(stages, env, report)
        while pending := self._pass(pending, env, report):
            # An input stands before its readers, so the first is one that another process has.
            env.progress(f"wait: another process computes {pending[0].describe()}")
            with env.store.claim(pending[0].key):
                pass

    def _pending(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> list[Stage]:
        pending = []
        for stage in stages:
            if env.store.has(stage.key):
                report(Done(stage, "cached"))
            else:
                pending.append(stage)
        return pending

    def _pass(self, pending: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> list[Stage]:
        """Run what can be run now; the rest is what other processes are computing, and its readers."""
        done: set[str] = set()
        busy: set[str] = set()
        for stage in pending:
            if stage.key in done or stage.key in busy:
                continue
            if any(needed.key in busy for needed in stage.inputs):
                busy.add(stage.key)
                continue
            batch = [stage]
            if stage.group is not None and self._ready(stage, env):
                mates = [s for s in pending if s.group == stage.group and s.key not in done and s.key not in busy]
                batch = [s for s in mates if self._ready(s, env)]
            with _claimed(batch, env.store) as mine:
                ended = self._settled(mine, env)
            done.update(s.key for s in mine)
            busy.update(s.key for s in batch if s.key not in done)
            for one in ended:
                report(one)
        return [stage for stage in pending if stage.key in busy]

    def _settled(self, mine: Sequence[Stage], env: Env) -> list[Done]:
        """How each of the claimed stages ended; another process may have been there first."""
        there = [stage for stage in mine if usable(stage, env)]
        lacking = [stage for stage in mine if stage not in there]
        return [Done(stage, "cached") for stage in there] + list(self._run(lacking, env) if lacking else ())

    def _ready(self, stage: Stage, env: Env) -> bool:
        return all(env.store.has(needed.key) for needed in stage.inputs)

    def _run(self, batch: list[Stage], env: Env) -> Iterator[Done]:
        broken = next((n for s in batch for n in s.inputs if n.key in self._failed), None)
        if broken is not None:
            for stage in batch:
                self._failed[stage.key] = self._failed[broken.key]
                yield Done(stage, "skipped", self._failed[broken.key])
            return
        began = time.monotonic()
        env.progress(batch[0].describe())
        try:
            with limited(None if self.time_limit is None else self.time_limit * len(batch)):
                inputs = [needed for stage in batch for needed in stage.inputs]
                outputs = mended(lambda: type(batch[0]).run_group(batch, env), inputs, env)
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
                    yield from self._run([stage], env)
                return
            reason = _reason(error)
            log.error("%s failed: %s\n%s", batch[0].describe(), reason, traceback.format_exc())
            self._failed[batch[0].key] = f"{batch[0].describe()}: {' '.join(reason.split())}"
            yield Done(batch[0], "failed", self._failed[batch[0].key], time.monotonic() - began)
            return
        share = (time.monotonic() - began) / len(batch)
        for stage in batch:
            yield Done(stage, "run", seconds=share)


@contextmanager
def _claimed(batch: Sequence[Stage], store: ArtifactStore) -> Iterator[list[Stage]]:
    """The stages of a batch that no other process is computing, kept to this one meanwhile."""
    with ExitStack() as claims:
        mine = []
        for stage in batch:
            with suppress(ArtifactBusy):
                claims.enter_context(store.claim(stage.key, timeout=0))
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
