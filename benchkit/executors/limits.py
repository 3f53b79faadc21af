"""Limit the time of work in this process, by a signal."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

from benchkit.errors import BenchkitError

#: Seconds between further alarms, for work that catches the first.
REPEAT_AFTER = 1.0


class _Overdue(BaseException):
    """Raised inside the work; not an Exception, so that `except Exception` in a plugin does not catch it."""


class TimeLimitExceeded(BenchkitError):
    """The work took longer than its limit."""


def check_limit(seconds: float | None) -> None:
    """Raise BenchkitError for a limit where no alarm can be set: outside the main thread, or not on Unix."""
    if seconds is None:
        return
    if not hasattr(signal, "setitimer"):
        raise BenchkitError("`time_limit` needs the alarms of a Unix system: omit it here")
    if threading.current_thread() is not threading.main_thread():
        raise BenchkitError("`time_limit` works in a process's main thread only: omit it here")


def format_limit(seconds: float) -> str:
    """Return the message that the time limit was exceeded."""
    return f"took longer than the time limit of {seconds:g} s: raise `time_limit`, or fix what hangs"


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a frame, or one of its callers, belongs to Python's import system."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def limit_time(seconds: float | None) -> Iterator[None]:
    """End the work inside after `seconds` with TimeLimitExceeded; None sets no limit.

    Python acts on the alarm between two of its own steps. So a single call into compiled code that never returns goes
    on. An import under way is completed, because half a library would break whatever runs next. Work that calls
    sys.exit fails with BenchkitError and does not end the process. Raises BenchkitError where no limit can be set.
    """
    check_limit(seconds)
    try:
        with nullcontext() if seconds is None else _set_alarm(seconds):
            yield
    except SystemExit as error:
        raise BenchkitError(f"called sys.exit({error.code!r}): raise an error instead") from error


@contextmanager
def _set_alarm(seconds: float) -> Iterator[None]:
    def raise_overdue(_: int, frame: FrameType | None) -> None:
        if not _is_importing(frame):  # the next alarm follows soon
            raise _Overdue

    began, handler = time.monotonic(), signal.signal(signal.SIGALRM, raise_overdue)
    earlier, interval = signal.getitimer(signal.ITIMER_REAL)
    try:
        # Two nested blocks, so that an alarm at the very end of the work is caught too.
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_AFTER)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Overdue:
        raise TimeLimitExceeded(format_limit(seconds)) from None
    finally:
        signal.signal(signal.SIGALRM, handler)
        if earlier:  # an alarm that was set before goes on
            signal.setitimer(signal.ITIMER_REAL, max(earlier - (time.monotonic() - began), 1e-3), interval)
