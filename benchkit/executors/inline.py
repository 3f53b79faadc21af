"""Run stages one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from benchkit.executors.batch import StageResult, run_batch
from benchkit.executors.driver import complete, run_stages
from benchkit.executors.limits import check_limit
from benchkit.stages.base import Env, Stage


@dataclass(frozen=True)
class Inline:
    """The executor of one process. Stages run in the plan's order, those of one group together.

    time_limit: seconds that a stage may take; None for no limit.
    """

    time_limit: float | None = None

    def check(self) -> None:
        """Raise BenchkitError if this process cannot keep the time limit."""
        check_limit(self.time_limit)

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[StageResult], None]) -> None:
        """Run the stages, see Executor."""
        self.check()
        run_stages(stages, env, report, _InlinePool(env, self.time_limit))


@dataclass
class _InlinePool:
    """A pool of one worker, this process: a batch is done when `submit` returns."""

    env: Env
    time_limit: float | None
    retries: int = 0

    def count_workers(self) -> int:
        return 1

    def submit(self, batch: tuple[Stage, ...]) -> Future[list[StageResult]]:
        return complete(Future(), lambda: run_batch(batch, self.env, self.time_limit))

    def wait(self, timeout: float | None) -> None:
        pass
