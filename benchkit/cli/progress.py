"""Progress of long work on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from benchkit.cli.common import console, one_line

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from benchkit.executors.batch import Executor, StageResult
    from benchkit.runs.run import Places, RunOptions
    from benchkit.stages.base import Env, Stage

T = TypeVar("T")
#: Seconds between plain lines about one kind of work.
EVERY = 5.0


class Progress(Protocol):
    """Shows how many pieces of work there are, which one runs, and how many are done."""

    def start(self, total: int) -> None:
        """Set the number of pieces."""
        ...

    def note(self, text: str) -> None:
        """Show what runs now; the first word of `text` is the kind of work."""
        ...

    def advance(self) -> None:
        """Count one more finished piece."""
        ...


class Bar:
    """A rich progress bar; see `Progress`."""

    def __init__(self, bar: RichProgress) -> None:
        self._bar = bar
        self._task = bar.add_task("planning", total=None)

    def start(self, total: int) -> None:
        """Show finished and total numbers from now on."""
        self._bar.update(self._task, total=total, completed=0)

    def note(self, text: str) -> None:
        """Show what runs now."""
        self._bar.update(self._task, description=one_line(text))

    def advance(self) -> None:
        """Count one more finished piece."""
        self._bar.advance(self._task)


class Lines:
    """A line when a kind of work begins, and one every few seconds; see `Progress`."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._kinds: set[str] = set()
        self._done = self._total = 0

    def start(self, total: int) -> None:
        """Count from zero."""
        self._done, self._total = 0, total

    def note(self, text: str) -> None:
        """Print the line if its kind is new, or if the last line is EVERY seconds old."""
        kind, now = text.partition(" ")[0], time.monotonic()
        if kind in self._kinds and now - self._last < EVERY:
            return
        self._kinds.add(kind)
        self._last = now
        width = len(str(self._total))
        place = f"[{self._done:{width}}/{self._total}] " if self._total else ""
        print(f"{place}{clock(now - self._began)} {one_line(text)}", file=sys.stderr)

    def advance(self) -> None:
        """Count one more finished piece."""
        self._done += 1


@contextmanager
def shown() -> Iterator[Progress]:
    """Yield a progress for stderr: a bar, which disappears at the end, or lines."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    # Text of plugins is not markup.
    columns = (
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        yield Bar(bar)


def run_with_progress(work: Callable[[RunOptions], T], places: Places, how: RunOptions) -> T:
    """Return what `work` returns under these options; show its progress on stderr meanwhile."""
    from benchkit.store.opening import open_store

    open_store(places.cache, create=False)  # refuses another version's cache before --out is made
    with shown() as screen:
        executor = ReportingExecutor(screen, how.executor)
        return work(replace(how, executor=executor, progress=screen.note))


@dataclass
class ReportingExecutor:
    """An executor that also tells the progress how many stages there are, and when each is finished.

    after: what is done when all are.
    """

    screen: Progress
    executor: Executor
    after: str = "report: rows, tables and page"

    def check(self) -> None:
        self.executor.check()

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[StageResult], None]) -> None:
        self.screen.start(len(stages))

        def count(result: StageResult) -> None:
            report(result)
            self.screen.advance()

        self.executor.execute(stages, env, count)
        self.screen.note(self.after)


def clock(seconds: float) -> str:
    """Return seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
