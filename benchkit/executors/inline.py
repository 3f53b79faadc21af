"""Runs stages one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchkit.executors.batch import Done, run_batch
from benchkit.executors.driver import BatchResult, run_stages
from benchkit.executors.limits import check_limit
from benchkit.stages.base import Env, Stage


@dataclass
class Inline:
    """The executor of one process; the order is the plan's, stages of one group run together.

    time_limit: seconds that a stage may take, None for no limit.
    """

    time_limit: float | None = None

    def check(self) -> None:
        """Raise BenchkitError where a time limit cannot be kept."""
        check_limit(self.time_limit)

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run every stage that `env.store` lacks, and whose inputs did not fail.

        Raises CacheUnwritable where nothing can be kept any more, such as on a full disk.
        """
        self.check()
        run_stages(stages, env, report, _Here(env, self.time_limit))


@dataclass
class _Here:
    """A pool of one, which runs a batch while it is given it."""

    env: Env
    time_limit: float | None
    retries: int = 0
    _ended: list[BatchResult] = field(default_factory=list)

    def free(self) -> int:
        return 0 if self._ended else 1

    def submit(self, batch: tuple[Stage, ...]) -> None:
        self._ended.append(BatchResult(batch, run_batch(batch, self.env, self.time_limit)))

    def wait(self, timeout: float | None) -> Sequence[BatchResult]:
        ended, self._ended = self._ended, []
        return ended
