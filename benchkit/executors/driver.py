"""The loop that all executors share: keep a pool of workers busy with ready stages, and report each result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchkit.executors.batch import Done, failed
from benchkit.executors.ready import ReadyQueue
from benchkit.stages.base import Env, Stage

#: Seconds after which stages that another run on the same cache was computing are tried again.
RETRY_POSTPONED_AFTER = 5.0


@dataclass(frozen=True)
class BatchResult:
    """How a batch ended.

    done: the results of its stages, without those that another process is computing. lost: what became of the worker
    where it died; nothing is known of the batch then.
    """

    batch: tuple[Stage, ...]
    done: Sequence[Done] = ()
    lost: str | None = None


class Pool(Protocol):
    """A place to run batches. retries: how often a stage is tried again whose worker died."""

    retries: int

    def free(self) -> int:
        """Return how many more batches it takes now."""
        ...

    def submit(self, batch: tuple[Stage, ...]) -> None:
        """Start a batch of one group."""
        ...

    def wait(self, timeout: float | None) -> Sequence[BatchResult]:
        """Wait for batches to end, at most `timeout` seconds, and return those that did."""
        ...


def run_stages(stages: Sequence[Stage], env: Env, report: Callable[[Done], None], pool: Pool) -> None:
    """Run every stage that `env.store` lacks and whose inputs did not fail; report each result.

    Several processes may run plans on one store. A stage that another process is computing is postponed. It is taken
    from the store when it is there, or run here if the other process failed or died. No lease is held while waiting.
    """
    pending = []
    for stage in stages:
        if env.store.has(stage.key):
            report(Done(stage, "cached"))
        else:
            pending.append(stage)
    queue, running, losses = ReadyQueue(pending), 0, Counter[str]()
    while queue:
        running += submit_ready(pool, queue)
        if not running:
            # Other processes have all that is left. Wait for the first to end.
            env.progress(f"wait: another process computes {queue.postponed[0].describe()}")
            with env.store.lease(queue.postponed[0].key):
                pass
            queue.retry_postponed()
            continue
        results = pool.wait(RETRY_POSTPONED_AFTER if queue.postponed else None)
        for result in results:
            running -= 1
            for done in settle(result, queue, losses, pool.retries):
                report(done)
        if not results:
            queue.retry_postponed()


def submit_ready(pool: Pool, queue: ReadyQueue) -> int:
    """Submit as many ready batches as the pool takes; return their number."""
    submitted = 0
    while free := pool.free():
        # With more workers than batches, a group is divided: its stages share inputs, not results.
        batch = queue.take_batch(divide=max(1, free // max(1, queue.batches)))
        if not batch:
            break
        pool.submit(batch)
        submitted += 1
    return submitted


def settle(result: BatchResult, queue: ReadyQueue, losses: Counter[str], retries: int) -> Iterator[Done]:
    """Record a batch's result in the queue; yield what is known of its stages now, and of those that are skipped.

    losses: key -> how often the stage's worker has died so far.
    """
    if result.lost is None:
        ended = {done.stage.key for done in result.done}
        queue.postpone(stage for stage in result.batch if stage.key not in ended)
        known = list(result.done)
    else:
        known = retry_lost(result, queue, losses, retries)
    for done in known:
        yield done
        yield from queue.record_result(done)


def retry_lost(result: BatchResult, queue: ReadyQueue, losses: Counter[str], retries: int) -> list[Done]:
    """Queue the stages of a lost batch again, each by itself; return a stage that was lost too often as failed.

    A death counts against a stage that was alone: of several, nobody knows which one caused it.
    """
    if len(result.batch) > 1:
        queue.requeue(result.batch)
        return []
    (stage,) = result.batch
    losses[stage.key] += 1
    if losses[stage.key] <= retries:
        queue.requeue([stage])
        return []
    times = "" if losses[stage.key] == 1 else f", {losses[stage.key]} times over"
    return [failed(stage, f"{result.lost}{times}: run it where there is more memory, or fewer at once")]
