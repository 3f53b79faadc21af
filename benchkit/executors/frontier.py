"""Which stages of a plan can run now: those whose inputs are there, in the plan's order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from heapq import heappop, heappush

from benchkit.executors.batch import Done
from benchkit.stages.base import Stage


class Frontier:
    """The stages that are still to be run, and how far each is from being ready.

    An input that is not among them is taken to be there; reading it says if it is not.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        """stages: each once, inputs before their readers."""
        self._place = {stage.key: place for place, stage in enumerate(stages)}
        self._stages = list(stages)
        self._lacking: dict[str, set[str]] = {}
        self._readers: dict[str, list[Stage]] = {}
        self._open = set(self._place)
        self._queue: list[int] = []
        self._ready: dict[Hashable, set[str]] = {}
        self._alone: set[str] = set()
        self._busy: list[Stage] = []
        for stage in stages:
            self._lacking[stage.key] = {needed.key for needed in stage.inputs if needed.key in self._place}
            for key in self._lacking[stage.key]:
                self._readers.setdefault(key, []).append(stage)
            if not self._lacking[stage.key]:
                self._admit(stage)

    def __bool__(self) -> bool:
        """Whether there are stages that have not ended."""
        return bool(self._open)

    @property
    def batches(self) -> int:
        """How many batches are ready."""
        return len(self._ready)

    def take(self, share: int = 1) -> tuple[Stage, ...]:
        """The next batch, or nothing: the first ready stage with the ready mates of its group, in the plan's order.

        share: how many workers its group may be divided among; results do not depend on it.
        """
        while self._queue:
            first = self._stages[heappop(self._queue)]
            mates = self._ready.get(self._team(first), set())
            if first.key not in mates:
                continue  # it went along with another
            ordered = sorted(mates, key=self._place.__getitem__)
            taken = ordered[: -(-len(ordered) // share)]
            self._ready[self._team(first)] -= set(taken)
            if not self._ready[self._team(first)]:
                del self._ready[self._team(first)]
            return tuple(self._stages[self._place[key]] for key in taken)
        return ()

    def ended(self, done: Done) -> Iterator[Done]:
        """Note how a stage ended; yields the readers that fail with it."""
        self._open.discard(done.stage.key)
        well = done.state in ("run", "cached")
        for reader in self._readers.get(done.stage.key, ()):
            if reader.key not in self._open:
                continue
            self._lacking[reader.key].discard(done.stage.key)
            if not well:
                skipped = Done(reader, "skipped", done.reason)
                yield skipped
                yield from self.ended(skipped)
            elif not self._lacking[reader.key]:
                self._admit(reader)

    def again(self, stages: Iterable[Stage]) -> None:
        """Stages that were taken are to be run after all, each by itself."""
        for stage in stages:
            self._alone.add(stage.key)
            self._admit(stage)

    def put_off(self, stages: Iterable[Stage]) -> None:
        """Stages that were taken are being computed by somebody else."""
        self._busy += stages

    @property
    def busy(self) -> Sequence[Stage]:
        """What somebody else is computing, as far as is known."""
        return self._busy

    def retry_busy(self) -> None:
        """Let what was put off be taken again."""
        for stage in self._busy:
            self._admit(stage)
        self._busy = []

    def _admit(self, stage: Stage) -> None:
        self._ready.setdefault(self._team(stage), set()).add(stage.key)
        heappush(self._queue, self._place[stage.key])

    def _team(self, stage: Stage) -> Hashable:
        return stage.key if stage.group is None or stage.key in self._alone else stage.group
