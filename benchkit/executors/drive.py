"""What all executors share: keep a pool of workers busy with whatever of a plan is ready, and hear how it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchkit.executors.batch import Done, failed
from benchkit.executors.frontier import Frontier
from benchkit.stages.base import Env, Stage

#: Seconds between two looks at what another run on the same cache is computing, while there is work of one's own.
LOOK_AGAIN = 5.0


@dataclass(frozen=True)
class Ended:
    """How a batch ended. done: its stages, without those that another process is computing.

    lost: what became of the worker, where it died; nothing is known of the batch then.
    """

    batch: tuple[Stage, ...]
    done: Sequence[Done] = ()
    lost: str | None = None


class Pool(Protocol):
    """Somewhere to run batches. retries: how often a stage is tried again whose worker died."""

    retries: int

    def free(self) -> int:
        """How many more batches it takes now."""
        ...

    def submit(self, batch: tuple[Stage, ...]) -> None:
        """Take a batch of one group."""
        ...

    def wait(self, timeout: float | None) -> Sequence[Ended]:
        """Batches that have ended; waits until there is one, at most `timeout` seconds."""
        ...


def drive(stages: Sequence[Stage], env: Env, report: Callable[[Done], None], pool: Pool) -> None:
    """Run every stage that `env.store` lacks, and whose inputs did not fail.

    Any number of processes may drive plans on one store. A stage that another is computing is put off, and taken from
    the store when it is there, or run here where the other failed or died; nothing is held while waiting.
    """
    pending = []
    for stage in stages:
        if env.store.has(stage.key):
            report(Done(stage, "cached"))
        else:
            pending.append(stage)
    frontier, flying, losses = Frontier(pending), 0, Counter[str]()

    def heard(done: Done) -> None:
        skipped = list(frontier.ended(done))
        for one in (done, *skipped):
            report(one)

    while frontier:
        flying += _filled(pool, frontier)
        if not flying:
            # Nothing is left here but what somebody else has: that one's end is waited for.
            env.progress(f"wait: another process computes {frontier.busy[0].describe()}")
            with env.store.claim(frontier.busy[0].key):
                pass
            frontier.retry_busy()
            continue
        heard_of = pool.wait(LOOK_AGAIN if frontier.busy else None)
        for ended in heard_of:
            flying -= 1
            over = {done.stage.key for done in ended.done}
            for done in ended.done:
                heard(done)
            if ended.lost is None:
                frontier.put_off(stage for stage in ended.batch if stage.key not in over)
            else:
                for done in _after_loss(ended, frontier, losses, pool.retries):
                    heard(done)
        if not heard_of:
            frontier.retry_busy()


def _filled(pool: Pool, frontier: Frontier) -> int:
    """Give the pool what it takes; how many batches that were."""
    given = 0
    while free := pool.free():
        # With more workers than batches, a group is divided: its stages share inputs, not results.
        batch = frontier.take(max(1, free // max(1, frontier.batches)))
        if not batch:
            break
        pool.submit(batch)
        given += 1
    return given


def _after_loss(ended: Ended, frontier: Frontier, losses: Counter[str], retries: int) -> list[Done]:
    """Have a lost batch run again, each stage by itself; those that were lost too often have failed."""
    given_up = []
    for stage in ended.batch:
        losses[stage.key] += 1
        if len(ended.batch) > 1 or losses[stage.key] <= retries:
            frontier.again([stage])
        else:
            times = "" if losses[stage.key] == 1 else f", {losses[stage.key]} times over"
            given_up.append(failed(stage, f"{ended.lost}{times}: run it where there is more memory, or fewer at once"))
    return given_up
