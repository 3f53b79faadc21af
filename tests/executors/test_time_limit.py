"""A stage that hangs ends as one named failure of its own; the others are run."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.limits import TimeLimitExceeded, limit_time
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env, Output, Stage
from benchkit.store.artifacts import ArtifactStore


@dataclass(frozen=True)
class Work(Stage):
    """Sleeps, and swallows whatever exception it can."""

    name: str
    seconds: float = 0.0
    together: bool = False
    after: tuple[Work, ...] = ()

    @property
    def group(self) -> Hashable | None:
        return "all" if self.together else None

    def run(self, env: Env) -> Output:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            try:
                time.sleep(0.05)
            except Exception:
                continue
        return Output({"x": b"1"})

    def describe(self) -> str:
        return f"work {self.name}"


def executed(stages: list[Work], folder: Path, limit: float | None) -> dict[str, StageResult]:
    results: list[StageResult] = []
    Inline(limit).execute(stages, Env(Registry(), ArtifactStore(folder)), results.append)
    return {done.stage.name: done for done in results}  # type: ignore[attr-defined]


def test_one_that_hangs_fails_alone_and_by_name(tmp_path: Path) -> None:
    hangs = Work("hangs", 60)
    found = executed([hangs, Work("reader", after=(hangs,)), Work("other")], tmp_path, limit=1.5)
    assert {name: done.state for name, done in found.items()} == {
        "hangs": "failed",
        "reader": "skipped",
        "other": "run",
    }
    assert found["hangs"].reason is not None
    assert found["hangs"].reason.startswith("work hangs: took longer than the time limit of 1.5 s")


def test_in_a_group_the_one_that_hangs_is_found(tmp_path: Path) -> None:
    found = executed([Work("quick", together=True), Work("hangs", 60, together=True)], tmp_path, limit=1.0)
    assert {name: done.state for name, done in found.items()} == {"quick": "run", "hangs": "failed"}


def test_somebody_elses_alarm_and_handler_are_left_as_they_were() -> None:
    def other(_: int, __: object) -> None:
        raise AssertionError("too early")

    handler, timer = signal.signal(signal.SIGALRM, other), signal.setitimer(signal.ITIMER_REAL, 500, 7)
    try:
        with pytest.raises(TimeLimitExceeded), limit_time(0.05):
            time.sleep(30)
        with limit_time(30), limit_time(None):
            pass
        remaining, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 400 < remaining < 500 and interval == 7
        assert signal.getsignal(signal.SIGALRM) is other
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def test_work_that_catches_everything_is_reminded() -> None:
    with pytest.raises(TimeLimitExceeded), limit_time(0.05):
        try:
            time.sleep(30)
        except BaseException:
            time.sleep(30)


def test_an_import_under_way_is_let_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.5)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TimeLimitExceeded), limit_time(0.05):
        import slow_to_import  # type: ignore[import-not-found]

        time.sleep(30)
    assert slow_to_import.whole


def test_outside_of_the_main_thread_a_limit_is_refused() -> None:
    message: list[str] = []

    def work() -> None:
        try:
            with limit_time(1.0):
                pass
        except BenchkitError as error:
            message.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert message == ["`time_limit` works in a process's main thread only: omit it here"]
