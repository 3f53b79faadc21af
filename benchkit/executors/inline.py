"""Runs stages one after another in this process."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from benchkit.errors import BenchkitError
from benchkit.executors.limits import check_limits_work, limited
from benchkit.stages.base import Env, Output, Stage
from benchkit.store.artifacts import CorruptArtifact

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
    """

    time_limit: float | None = None
    _failed: dict[str, str] = field(default_factory=dict)

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run every stage that `env.store` lacks, and whose inputs did not fail."""
        if self.time_limit is not None:
            check_limits_work()
        pending = self._pending(stages, env, report)
        done: set[str] = set()
        for stage in pending:
            if stage.key in done:
                continue
            batch = [stage]
            if stage.group is not None:
                batch = [s for s in pending if s.group == stage.group and s.key not in done and self._ready(s, env)]
                batch = batch or [stage]
            done.update(s.key for s in batch)
            for ended in self._run(batch, env):
                report(ended)

    def _pending(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> list[Stage]:
        pending = []
        for stage in stages:
            if env.store.has(stage.key):
                report(Done(stage, "cached"))
            else:
                pending.append(stage)
        return pending

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
                outputs = _computed(batch, env)
            for stage, output in zip(batch, outputs, strict=True):
                env.store.write(stage.key, output.files, output.meta)
        except Exception as error:
            if len(batch) > 1:
                # One bad method must not take the others of its group down.
                for stage in batch:
                    yield from self._run([stage], env)
                return
            reason = str(error) if isinstance(error, BenchkitError) else f"{type(error).__name__}: {error}"
            log.error("%s failed: %s\n%s", batch[0].describe(), reason, traceback.format_exc())
            self._failed[batch[0].key] = f"{batch[0].describe()}: {' '.join(reason.split())}"
            yield Done(batch[0], "failed", self._failed[batch[0].key], time.monotonic() - began)
            return
        share = (time.monotonic() - began) / len(batch)
        for stage in batch:
            yield Done(stage, "run", seconds=share)


def _computed(batch: list[Stage], env: Env) -> list[Output]:
    """The group's outputs; an input found damaged on reading is computed again, once."""
    try:
        return type(batch[0]).run_group(batch, env)
    except CorruptArtifact as damaged:
        log.warning("%s", damaged)
        owner = next((s for s in _ancestors(batch) if s.key == damaged.key), None)
        if owner is None:
            raise
        env.store.discard(owner.key)
        for output in _computed([owner], env):
            env.store.write(owner.key, output.files, output.meta)
        return _computed(batch, env)


def _ancestors(batch: Sequence[Stage]) -> Iterator[Stage]:
    seen: set[str] = set()
    waiting = [needed for stage in batch for needed in stage.inputs]
    while waiting:
        stage = waiting.pop()
        if stage.key not in seen:
            seen.add(stage.key)
            yield stage
            waiting.extend(stage.inputs)
