"""How long the pending stages of a run still take: by the rates of earlier runs, and of the run itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchkit.executors.batch import StageResult
    from benchkit.planning.rates import Rates
    from benchkit.planning.workloads import Workload, Workloads
    from benchkit.stages.base import Env, Stage

#: Seconds between two estimates, and before the run's own time says how many stages run at once.
EVERY, SETTLED_AFTER = 1.0, 10.0


class TimeLeft:
    """Estimates the time left of one execution of stages. Nothing is estimated until a stage had to be computed."""

    def __init__(self, stages: Sequence[Stage], env: Env, executor: str) -> None:
        self._pending = {stage.key: stage for stage in stages}
        self._env, self._executor = env, executor
        self._amounts: Counter[Workload] = Counter()  # of pending work, by its kind
        self._works: Workloads | None = None
        self._rates: Rates
        self._seconds = 0.0  # of the stages that this execution has computed
        self._began = self._estimated = time.monotonic()

    def finish(self, result: StageResult) -> str | None:
        """Count a finished stage; return the time left as text where there is a new estimate."""
        stage = self._pending.pop(result.stage.key, None)
        if stage is None or (result.state == "cached" and self._works is None):
            return None
        if self._works is None:
            self._begin([stage, *self._pending.values()])
        assert self._works is not None
        work = self._works.of(stage)
        self._amounts[_kind(work)] -= work.amount  # type: ignore[assignment]
        if result.state == "run":
            from benchkit.planning.rates import Measurement

            self._rates.add(work, Measurement(work.amount, result.seconds))
            self._seconds += result.seconds
        if (now := time.monotonic()) - self._estimated < EVERY:
            return None
        self._estimated = now
        return self.estimate(now - self._began)

    def estimate(self, passed: float) -> str | None:
        """Return the time left after so many seconds, such as `about 3:20 left`; None where no rate is known."""
        from benchkit.functions.progress import clock
        from benchkit.planning.rates import WHOLE_RUN
        from benchkit.planning.workloads import Workload

        pending = {work: amount for work, amount in self._amounts.items() if amount > 1e-9}
        rates = {work: self._rates.find(work) for work in pending}
        known = [rate.mean * pending[work] for work, rate in rates.items() if rate is not None]
        if not known:
            return None
        whole = self._rates.find(Workload(WHOLE_RUN, self._executor, 1))
        parallel = 1.0 if whole is None else whole.mean
        if passed > SETTLED_AFTER and self._seconds:
            parallel = passed / self._seconds
        return f"{'about' if len(known) == len(rates) else 'over'} {clock(parallel * sum(known))} left"

    def _begin(self, stages: Sequence[Stage]) -> None:
        from benchkit.planning.workloads import Workloads
        from benchkit.runs.rate_recorder import load_rates
        from benchkit.store.location import get_local_folder

        self._works = Workloads(self._env.registry)
        self._rates = load_rates(get_local_folder(self._env.store.location), ",".join(self._env.devices))
        for work in map(self._works.of, stages):
            self._amounts[_kind(work)] += work.amount  # type: ignore[assignment]


def _kind(work: Workload) -> Workload:
    """Return a unit of this work."""
    from benchkit.planning.workloads import Workload

    return Workload(work.kind, work.what, 1, work.pixels)
