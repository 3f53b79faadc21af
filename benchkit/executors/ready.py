"""A queue of the stages that are ready to run: their inputs are in the store. It keeps the plan's order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from heapq import heappop, heappush

from benchkit.executors.batch import StageResult
from benchkit.stages.base import Stage


class ReadyQueue:
    """Hands out batches of ready stages. Each recorded result makes further stages ready.

    stages: each once, in the plan's order. An input that is not among them is taken to be in the store; reading it
    fails otherwise.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = list(stages)
        self._place = {stage.key: place for place, stage in enumerate(self._stages)}
        inputs = {s.key: [needed.key for needed in s.inputs if needed.key in self._place] for s in self._stages}
        self._sorter = TopologicalSorter(inputs)
        self._sorter.prepare()
        self._failures: dict[str, str | None] = {}
        self._queue: list[int] = []
        self._groups: dict[Hashable, set[str]] = {}
        self._alone: set[str] = set()
        self._postponed: list[Stage] = []
        for key in self._sorter.get_ready():
            self._enqueue(self._stage(key))

    def __bool__(self) -> bool:
        """Return whether some stages are not done."""
        return self._sorter.is_active()

    @property
    def batches(self) -> int:
        """Number of batches that are ready."""
        return len(self._groups)

    @property
    def postponed(self) -> Sequence[Stage]:
        """Stages that another process was computing when they were last tried."""
        return self._postponed

    def take_batch(self, divide: int = 1) -> tuple[Stage, ...]:
        """Return the first ready stage with the ready stages of its group, in the plan's order; () if none is ready.

        divide: how many workers the group may be divided among; results do not depend on it.
        """
        while self._queue:
            group = self._group(self._stages[heappop(self._queue)])
            ready = sorted(self._groups.get(group, ()), key=self._place.__getitem__)
            if not ready:
                continue  # it went along with an earlier batch
            batch = ready[: -(-len(ready) // divide)]
            self._groups[group] -= set(batch)
            if not self._groups[group]:
                del self._groups[group]
            return tuple(self._stage(key) for key in batch)
        return ()

    def record_result(self, result: StageResult) -> Iterator[StageResult]:
        """Record that a stage is done; yield the results of stages that are skipped because an input failed."""
        results = [result]
        while results:
            result = results.pop()
            if result.state == "skipped":
                yield result
            if result.state not in ("run", "cached"):
                self._failures[result.stage.key] = result.reason
            self._sorter.done(result.stage.key)
            for key in self._sorter.get_ready():
                stage = self._stage(key)
                failed = next((needed.key for needed in stage.inputs if needed.key in self._failures), None)
                if failed is None:
                    self._enqueue(stage)
                else:
                    results.append(StageResult(stage, "skipped", self._failures[failed]))

    def requeue(self, stages: Iterable[Stage]) -> None:
        """Make taken stages ready again, each in a batch of its own."""
        for stage in stages:
            self._alone.add(stage.key)
            self._enqueue(stage)

    def postpone(self, stages: Iterable[Stage]) -> None:
        """Set taken stages aside, because another process is computing them."""
        self._postponed += stages

    def retry_postponed(self) -> None:
        """Make the postponed stages ready again."""
        for stage in self._postponed:
            self._enqueue(stage)
        self._postponed = []

    def _enqueue(self, stage: Stage) -> None:
        self._groups.setdefault(self._group(stage), set()).add(stage.key)
        heappush(self._queue, self._place[stage.key])

    def _group(self, stage: Stage) -> Hashable:
        return stage.key if stage.group is None or stage.key in self._alone else stage.group

    def _stage(self, key: str) -> Stage:
        return self._stages[self._place[key]]
