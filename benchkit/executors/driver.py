"""The loop that all executors share: keep a pool of workers busy with ready stages, and report each result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Protocol

from benchkit.executors.batch import StageResult
from benchkit.executors.ready import ReadyQueue
from benchkit.executors.retry import WorkerDied, retry_batch
from benchkit.stages.base import Env, Stage

#: Seconds after which stages that another run on the same cache was computing are tried again.
RETRY_POSTPONED_AFTER = 5.0


class Pool(Protocol):
    """Workers that run batches. retries: how often a stage is tried again after its worker died."""

    retries: int

    def count_workers(self) -> int:
        """Return how many batches can run at once at the moment."""
        ...

    def submit(self, batch: tuple[Stage, ...]) -> Future[list[StageResult]]:
        """Start a batch of one group.

        The future's result has no entry for stages that another process is computing. Its exception is WorkerDied if
        the worker died, and any other error if no stage can run any more.
        """
        ...

    def wait(self, timeout: float | None) -> None:
        """Complete the futures of batches that are done; wait for the first at most `timeout` seconds."""
        ...


def complete(future: Future[list[StageResult]], work: Callable[[], list[StageResult]]) -> Future[list[StageResult]]:
    """Set a future to what `work` returns or raises, and return it."""
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
    return future


def run_stages(stages: Sequence[Stage], env: Env, report: Callable[[StageResult], None], pool: Pool) -> None:
    """Run every stage that `env.store` lacks and whose inputs did not fail; report each result.

    Several processes may run plans on one store. A stage that another process is computing is postponed. It is taken
    from the store when it is there, or run here if the other process failed or died. No lease is held while waiting.
    """
    pending = []
    for stage in stages:
        if env.store.has(stage.key):
            report(StageResult(stage, "cached"))
        else:
            pending.append(stage)
    queue, deaths = ReadyQueue(pending), Counter[str]()
    running: dict[Future[list[StageResult]], tuple[Stage, ...]] = {}
    while queue:
        while (idle := pool.count_workers() - len(running)) > 0:
            # With more workers than batches, a group is divided: its stages share inputs, not results.
            batch = queue.take_batch(divide=max(1, idle // max(1, queue.batches)))
            if not batch:
                break
            running[pool.submit(batch)] = batch
        if not running:
            # Other processes compute all that is left. Wait for the first of these stages.
            env.progress(f"wait: another process computes {queue.postponed[0].describe()}")
            with env.store.lease(queue.postponed[0].key):
                pass
            queue.retry_postponed()
            continue
        pool.wait(RETRY_POSTPONED_AFTER if queue.postponed else None)
        done = [future for future in running if future.done()]
        for future in done:
            for result in settle(future, running.pop(future), queue, deaths, pool.retries):
                report(result)
        if not done:
            queue.retry_postponed()


def settle(
    future: Future[list[StageResult]], batch: tuple[Stage, ...], queue: ReadyQueue, deaths: Counter[str], retries: int
) -> Iterator[StageResult]:
    """Record the results of a batch in the queue; yield them, and those of stages that are skipped because of them.

    deaths: key -> how many workers have died of this stage so far. Raises what stopped the worker, except WorkerDied.
    """
    try:
        results = future.result()
        finished = {result.stage.key for result in results}
        queue.postpone(stage for stage in batch if stage.key not in finished)
    except WorkerDied as death:
        results = retry_batch(batch, death, queue, deaths, retries)
    for result in results:
        yield result
        yield from queue.record_result(result)
