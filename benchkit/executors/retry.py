"""How often a stage is tried again after its worker died, and by which rule: for every executor."""

from __future__ import annotations

from collections import Counter

from benchkit.executors.batch import StageResult, failed
from benchkit.executors.ready import ReadyQueue
from benchkit.stages.base import Stage

#: How often a stage is tried again: by the driver for `processes`, by Ray itself for `ray`. `inline` has no worker that
#: could die alone.
RETRIES = 1


class WorkerDied(Exception):
    """A worker died while it ran a batch. Nothing is known of the batch's results."""


def retry_batch(
    batch: tuple[Stage, ...], death: WorkerDied, queue: ReadyQueue, deaths: Counter[str], retries: int
) -> list[StageResult]:
    """Queue the stages of a dead worker again, each by itself; return a stage that was tried too often as failed.

    A death counts against a stage that was alone: of several stages, nobody knows which one caused it.
    """
    if len(batch) == 1:
        (stage,) = batch
        deaths[stage.key] += 1
        if deaths[stage.key] > retries:
            times = "" if deaths[stage.key] == 1 else f", {deaths[stage.key]} times over"
            return [failed(stage, f"{death}{times}: run it where there is more memory, or fewer at once")]
    queue.requeue(batch)
    return []
