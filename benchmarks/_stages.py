"""Run a grid in this process in a fresh cache, and count what each kind of stage costs."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchkit.config.grid import Grid
from benchkit.executors.batch import StageResult
from benchkit.executors.inline import Inline
from benchkit.plugin.registry import Registry
from benchkit.runs.run import RunLocations, RunOptions, compare
from benchkit.stages.base import Env, Stage
from benchkit.store.artifacts import ArtifactStore

PLANNING, REPORT = "planning", "rows and report"
#: Class of a stage -> what it does, in the words of the documents.
KINDS = {
    "Latents": "encoding",
    "Images": "decoding and labels",
    "Invert": "inversion",
    "RoundTrip": "round trips",
    "Corrupt": "corruption and resampling",
    "CorruptPixels": "corruption of pixels",
    "Choose": "mixtures",
    "Features": "features",
    "Select": "selection",
    "Train": "training",
    "Evaluate": "scoring",
    "Confine": "confinement",
}


@dataclass
class StageClock:
    """Processor seconds of this process, by kind of stage. Give `begin` and `end` to a run as progress and report."""

    seconds: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    after: Callable[[Stage], None] = lambda stage: None
    planned: Callable[[], None] = lambda: None
    _last: float = field(default_factory=time.process_time)

    def begin(self, _: str = "") -> None:
        """Count what was used before the first stage as planning."""
        if PLANNING not in self.seconds:
            self._count(PLANNING)
            self.planned()

    def end(self, result: StageResult) -> None:
        """Count what was used since the last call to the kind of a finished stage."""
        if result.state != "run":
            raise SystemExit(f"a stage was not run, but {result.state}: {result.reason}")
        kind = KINDS[type(result.stage).__name__]
        self._count(kind)
        self.stages[kind] += 1
        self.after(result.stage)

    def finish(self) -> None:
        """Count the rest as rows and report."""
        self._count(REPORT)

    def _count(self, kind: str) -> None:
        now = time.process_time()
        self.seconds[kind] += now - self._last
        self._last = now

    def format(self, most: int = 4) -> str:
        """Return the most expensive kinds with their seconds."""
        return ", ".join(f"{kind} {seconds:.1f}" for kind, seconds in self.seconds.most_common(most))


def run_grid(
    grid: Grid,
    registry: Registry,
    after: Callable[[Stage], None] = lambda stage: None,
    planned: Callable[[], None] = lambda: None,
) -> StageClock:
    """Run a comparison from nothing, with its report. after: called with each finished stage; planned: before them."""
    with tempfile.TemporaryDirectory() as folder:
        clock = StageClock(after=after, planned=planned)
        locations = RunLocations(Path(folder) / "out", Path(folder) / "cache")
        outcome = compare(grid, registry, locations, RunOptions(report=clock.end, progress=clock.begin))
        clock.finish()
    if outcome.failures:
        raise SystemExit(outcome.failures[0])
    return clock


def run_stages(stages: Iterable[Stage], registry: Registry) -> StageClock:
    """Run stages from nothing, in a fresh cache."""
    clock = StageClock()
    with tempfile.TemporaryDirectory() as folder:
        clock.begin()
        Inline().execute(tuple(stages), Env(registry, ArtifactStore(Path(folder))), clock.end)
    return clock
