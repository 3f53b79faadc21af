"""Progress of long work: a bar in a terminal or a notebook, a line every few seconds elsewhere, or a callable's."""

from __future__ import annotations

import html
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from benchkit.errors import ArgumentTypeError, describe_value

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    from benchkit.executors.batch import Executor, StageResult
    from benchkit.runs.run import RunLocations, RunOptions
    from benchkit.stages.base import Env, Stage

T = TypeVar("T")
#: How a caller chooses: True for a bar or lines, False or None for silence, or a function that takes each line.
Progressing = bool | None | Callable[[str], None]
#: Seconds between plain lines about one kind of work, and between two pictures of a notebook's bar.
EVERY, REDRAWN_EVERY = 5.0, 0.2
#: Width of a table in a file or a pipe, which have no width of their own.
PIPE_WIDTH = 160


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

    def show_left(self, text: str) -> None:
        """Show how long the rest takes, such as `about 3:20 left`."""
        ...


class Bar:
    """A rich progress bar; see `Progress`."""

    def __init__(self, bar: RichProgress) -> None:
        self._bar = bar
        self._task = bar.add_task("planning", total=None, left="")

    def start(self, total: int) -> None:
        """Show finished and total numbers from now on."""
        self._bar.update(self._task, total=total, completed=0)

    def note(self, text: str) -> None:
        """Show what runs now."""
        self._bar.update(self._task, description=one_line(text))

    def advance(self) -> None:
        """Count one more finished piece."""
        self._bar.advance(self._task)

    def show_left(self, text: str) -> None:
        """Show how long the rest takes, behind the time that has passed."""
        self._bar.update(self._task, left=f"{text} ")


class Lines:
    """A line when a kind of work begins, and one every few seconds; see `Progress`."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._kinds: set[str] = set()
        self._done = self._total = 0
        self._left = ""

    def start(self, total: int) -> None:
        """Count from zero."""
        self._done, self._total, self._left = 0, total, ""

    def note(self, text: str) -> None:
        """Print the line if its kind is new, or if the last line is EVERY seconds old."""
        kind, now = text.partition(" ")[0], time.monotonic()
        if kind in self._kinds and now - self._last < EVERY:
            return
        self._kinds.add(kind)
        self._last = now
        width = len(str(self._total))
        place = f"[{self._done:{width}}/{self._total}] " if self._total else ""
        print(f"{place}{clock(now - self._began)} {one_line(text)}{self._left}", file=sys.stderr)

    def advance(self) -> None:
        """Count one more finished piece."""
        self._done += 1

    def show_left(self, text: str) -> None:
        """Show how long the rest takes, in the next lines."""
        self._left = f"; {text}"


class NotebookBar:
    """A bar in a cell's output, redrawn in its place; see `Progress`. It needs IPython only, and no widgets."""

    def __init__(self) -> None:
        from IPython.display import display

        self._began = time.monotonic()
        self._drawn = 0.0
        self._done, self._total, self._text, self._left = 0, 0, "planning", ""
        self._place: Any = display(self, display_id=True)

    def start(self, total: int) -> None:
        """Show finished and total numbers from now on."""
        self._done, self._total, self._left = 0, total, ""
        self._redraw()

    def note(self, text: str) -> None:
        """Show what runs now."""
        self._text = one_line(text)
        self._redraw()

    def advance(self) -> None:
        """Count one more finished piece."""
        self._done += 1
        self._redraw()

    def show_left(self, text: str) -> None:
        """Show how long the rest takes, behind the time that has passed."""
        self._left = f"({text}) "

    def close(self) -> None:
        """Leave one line with the time in place of the bar."""
        self._text = f"done in {clock(time.monotonic() - self._began)}"
        self._total = 0
        self._place.update(self)

    def _redraw(self) -> None:
        if time.monotonic() - self._drawn >= REDRAWN_EVERY:
            self._drawn = time.monotonic()
            self._place.update(self)

    def __repr__(self) -> str:
        return f"{self._done} of {self._total}: {self._text}" if self._total else self._text

    def _repr_html_(self) -> str:
        """Return the bar for the notebook."""
        passed = clock(time.monotonic() - self._began)
        bar = f"<progress value={self._done} max={self._total}></progress> {self._done}/{self._total} {passed} "
        bar += self._left
        return f"<div>{bar if self._total else ''}{html.escape(self._text)}</div>"


@dataclass(frozen=True)
class Calls:
    """A caller's function, called with each line; see `Progress`."""

    function: Callable[[str], None]

    def start(self, total: int) -> None:
        """Do nothing: the function takes lines only."""

    def note(self, text: str) -> None:
        """Call the function."""
        self.function(text)

    def advance(self) -> None:
        """Do nothing: the function takes lines only."""

    def show_left(self, text: str) -> None:
        """Do nothing: the function takes lines only."""


def console(stderr: bool = False) -> Console:
    """Return a rich console. Into a pipe or a file it writes plain text, COLUMNS or PIPE_WIDTH characters wide.

    FORCE_COLOR and similar variables, which build servers set, are ignored there: a log has no control codes.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(stderr=stderr, highlight=False, soft_wrap=False)
    width = None if "COLUMNS" in os.environ else PIPE_WIDTH
    plain: dict[str, Any] = {"force_terminal": False, "force_interactive": False, "color_system": None}
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False, **plain)


def check_progress(progress: Any) -> None:
    """Raise ArgumentTypeError unless it is True, False, None or a function."""
    if not isinstance(progress, bool | None) and not callable(progress):
        wanted = "give True, False or a function that takes a line of text"
        raise ArgumentTypeError(f"progress={describe_value(progress)}: {wanted}")


@contextmanager
def shown(progress: Progressing = True) -> Iterator[Progress]:
    """Yield a progress as the caller chose it; a bar on a terminal disappears at the end. Raises ArgumentTypeError."""
    check_progress(progress)
    if not isinstance(progress, bool | None):
        yield Calls(progress)
    elif not progress:
        yield Calls(lambda _: None)
    elif _is_notebook():
        drawn = NotebookBar()
        try:
            yield drawn
        finally:
            drawn.close()
    elif not (screen := console(stderr=True)).is_terminal:
        yield Lines()
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        # Text of plugins is not markup.
        columns = (
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.description}", markup=False),
        )
        with Progress(*columns, console=screen, transient=True) as bar:
            yield Bar(bar)


def _is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, whose cells show HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def run_with_progress(
    work: Callable[[RunOptions], T], locations: RunLocations, how: RunOptions, progress: Progressing
) -> T:
    """Return what `work` returns under these options; show its progress meanwhile."""
    from benchkit.store.opening import open_store

    open_store(locations.cache, create=False)  # refuses another version's cache before the output folder is made
    with shown(progress) as screen:
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
        from benchkit.functions.time_left import TimeLeft
        from benchkit.runs.rate_recorder import name_executor

        self.screen.start(len(stages))
        left = TimeLeft(stages, env, name_executor(self.executor))

        def count(result: StageResult) -> None:
            report(result)
            self.screen.advance()
            if text := left.finish(result):
                self.screen.show_left(text)

        self.executor.execute(stages, env, count)
        self.screen.note(self.after)


def one_line(text: str) -> str:
    """Return the text on one line, with control characters as escapes."""
    joined = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in joined)


def clock(seconds: float) -> str:
    """Return seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
