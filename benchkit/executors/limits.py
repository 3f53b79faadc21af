"""A time limit on a piece of work in this process: a signal that ends it, however it came to hang."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from benchkit.errors import BenchkitError

#: Seconds between reminders, for work that catches the first.
AGAIN = 1.0


class _Overdue(BaseException):
    """Raised inside the work; not an Exception, so that `except Exception` in a plugin does not keep it."""


class TimeLimitExceeded(BenchkitError):
    """A piece of work took longer than its limit."""


class ProgramEnded(BenchkitError):
    """A piece of work tried to end the whole program."""


def check_limits_work() -> None:
    """Raise BenchkitError where no limit can be set: outside of the main thread, and where there are no alarms."""
    if not hasattr(signal, "setitimer"):
        raise BenchkitError("--time-limit needs the alarms of a Unix system: leave it out here")
    if threading.current_thread() is not threading.main_thread():
        raise BenchkitError("a time limit works in a process's main thread only: leave it out here")


def check_limit(seconds: float | None) -> None:
    """Raise BenchkitError where this limit cannot be kept; None can be kept anywhere."""
    if seconds is not None:
        check_limits_work()


def format_limit(seconds: float) -> str:
    """Say that a time limit was exceeded."""
    return f"took longer than the limit of {seconds:g} s (--time-limit): raise it, or fix what hangs"


def _importing(frame: FrameType | None) -> bool:
    """Whether a frame, or one that it was called from, is of Python's import system."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def limit_time(seconds: float | None) -> Iterator[None]:
    """As `alarm_after`; and what calls sys.exit inside has failed with ProgramEnded, and ends nothing else."""
    try:
        with alarm_after(seconds):
            yield
    except SystemExit as ended:
        raise ProgramEnded(f"called sys.exit({ended.code!r}): raise an error instead") from ended


@contextmanager
def alarm_after(seconds: float | None) -> Iterator[None]:
    """End the work inside after so many seconds with TimeLimitExceeded; None sets no limit.

    Python acts on the alarm between two of its own steps: a single call into compiled code that never returns cannot
    be ended so. An import under way is let finish, since half a library would break whatever comes after. Raises
    BenchkitError where no limit can be set.
    """
    if seconds is None:
        yield
        return
    check_limits_work()

    def overdue(_: int, frame: FrameType | None) -> None:
        if not _importing(frame):  # the next reminder is near
            raise _Overdue

    began, before = time.monotonic(), signal.signal(signal.SIGALRM, overdue)
    earlier, interval = signal.getitimer(signal.ITIMER_REAL)
    try:
        # One within the other, so that an alarm in the very moment of the end is caught as well.
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Overdue:
        raise TimeLimitExceeded(format_limit(seconds)) from None
    finally:
        signal.signal(signal.SIGALRM, before)
        if earlier:  # somebody else's alarm goes on
            signal.setitimer(signal.ITIMER_REAL, max(earlier - (time.monotonic() - began), 1e-3), interval)
