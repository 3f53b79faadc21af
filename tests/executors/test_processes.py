"""Several processes do what one does; a worker that dies costs its own batch a second try."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.executors.auto import MEMORY_PER_WORKER, Auto, read_free_memory
from benchkit.executors.batch import StageResult
from benchkit.executors.choose import keep_workers, parse_executor
from benchkit.executors.inline import Inline
from benchkit.executors.processes import Processes
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env, Output, Stage
from benchkit.store.artifacts import ArtifactStore
from tests.executors.test_sharing import Log, Work, plan


@dataclass(frozen=True)
class Doomed(Stage):
    """Kills its own process until it has done so `times` times."""

    name: str
    trail: Log
    times: int
    after: tuple[Work, ...] = ()

    def run(self, env: Env) -> Output:
        seen = len(Path(self.trail.path).read_bytes()) if Path(self.trail.path).exists() else 0
        if seen < self.times:
            with Path(self.trail.path).open("ab") as file:
                file.write(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
        return Output({"x": b"at last"})

    def describe(self) -> str:
        return f"doomed {self.name}"


@dataclass(frozen=True)
class Wrong(Stage):
    """Fails as a plugin does."""

    def run(self, env: Env) -> Output:
        raise ValueError("as <b>planned</b>")

    def describe(self) -> str:
        return "wrong"


@dataclass(frozen=True)
class After(Stage):
    """Reads what the others left."""

    inputs_of: tuple[Stage, ...]

    def run(self, env: Env) -> Output:
        return Output({"x": b"".join(env.store.open(stage.key).read("x") for stage in self.inputs_of)})

    def describe(self) -> str:
        return "after"


def ended(stages: list[Stage], cache: Path, workers: int = 2) -> dict[str, StageResult]:
    """How every stage ended, by what it says of itself."""
    results: list[StageResult] = []
    Processes(workers).execute(stages, Env(Registry(), ArtifactStore(cache)), results.append)
    assert len(results) == len(stages)
    return {done.stage.describe(): done for done in results}


def test_a_plan_leaves_what_one_process_leaves_each_stage_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, note = plan(tmp_path / "log"), tmp_path / "log"
    found = ended(list(stages), tmp_path / "several")
    assert {done.state for done in found.values()} == {"run"}
    assert sorted(note.read_text().split()) == sorted(stage.name for stage in stages), "each once"
    Inline().execute(stages, Env(Registry(), ArtifactStore(tmp_path / "one")), lambda _: None)
    one, several = ArtifactStore(tmp_path / "one"), ArtifactStore(tmp_path / "several")
    assert all(one.open(s.key).read("x") == several.open(s.key).read("x") for s in stages)
    monkeypatch.setattr(Processes, "keep_workers", lambda *_: pytest.fail("finished stages started workers"))
    again = ended(list(stages), tmp_path / "several")
    assert {done.state for done in again.values()} == {"cached"}


@dataclass(frozen=True)
class Whose(Stage):
    """Keeps the number of the process that ran it."""

    name: str

    def run(self, env: Env) -> Output:
        return Output({"x": str(os.getpid()).encode()})

    def describe(self) -> str:
        return f"whose {self.name}"


def test_workers_that_last_serve_one_plan_after_another(tmp_path: Path) -> None:
    env, results = Env(Registry(), ArtifactStore(tmp_path)), list[StageResult]()
    one, two = Whose("one"), Whose("two")
    with keep_workers(Processes(1), env) as executor:
        executor.execute([one], env, results.append)
        executor.execute([one, two], env, results.append)
    assert [(done.stage, done.state) for done in results] == [(one, "run"), (one, "cached"), (two, "run")]
    first, second = (env.store.open(stage.key).read("x") for stage in (one, two))
    assert first == second != str(os.getpid()).encode()
    with pytest.raises(ProcessLookupError):
        os.kill(int(first), 0)
    with keep_workers(Inline(), env) as executor:
        assert executor == Inline()


def test_a_killed_worker_costs_a_second_try_and_a_failing_stage_its_readers_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    once = Doomed("once", Log(str(tmp_path / "once")), 1)
    ever = Doomed("ever", Log(str(tmp_path / "ever")), 99)
    wrong = Wrong()
    good, spoilt = After((once,)), After((ever, wrong))
    results: list[StageResult] = []
    with caplog.at_level(logging.ERROR, "benchkit"):
        Processes(2).execute(
            [once, ever, wrong, good, spoilt], Env(Registry(), ArtifactStore(tmp_path / "cache")), results.append
        )
    found = {result.stage: result for result in results}
    assert len(found) == len(results) == 5
    assert (found[once].state, found[good].state) == ("run", "run")
    assert found[ever].state == "failed"
    assert found[ever].reason is not None
    assert "doomed ever: its worker process died (signal SIGKILL" in found[ever].reason
    assert (tmp_path / "ever").read_bytes() == b"xx", "one more try, no third"
    assert (found[wrong].state, found[wrong].reason) == ("failed", "wrong: ValueError: as <b>planned</b>")
    assert found[spoilt].state == "skipped"
    assert "Traceback" in caplog.text, "the worker's traceback is in this process's log"


def test_a_time_limit_holds_in_workers(tmp_path: Path) -> None:
    results: list[StageResult] = []
    stages = [Slow(), After((Slow(),))]
    Processes(1, time_limit=0.5).execute(stages, Env(Registry(), ArtifactStore(tmp_path)), results.append)
    assert [done.state for done in results] == ["failed", "skipped"]
    assert "0.5" in str(results[0].reason)


@dataclass(frozen=True)
class Slow(Stage):
    """Never ends."""

    def run(self, env: Env) -> Output:
        while True:
            pass

    def describe(self) -> str:
        return "slow"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("process", "did you mean 'processes'"),
        ("processes:workers=0", "whole number from 1"),
        ("processes:workers=true", "whole number from 1"),
        ("processes:threads=2", "unknown setting 'threads'"),
        ("inline:workers=2", "unknown setting 'workers'"),
    ],
)
def test_other_executors_are_refused(text: str, words: str) -> None:
    with pytest.raises(BenchkitError, match=words):
        parse_executor(text)


def test_texts_mean_executors() -> None:
    assert parse_executor("auto", 3.0) == Auto(3.0)
    assert parse_executor("inline", 3.0) == Inline(3.0)
    assert parse_executor("processes:workers=3", 2.0) == Processes(3, 2.0)


@dataclass(frozen=True)
class Hanging(Stage):
    """Sits in compiled code that never returns, where no alarm of Python reaches it."""

    def run(self, env: Env) -> Output:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        signal.pause()
        raise AssertionError("unreachable")

    def describe(self) -> str:
        return "hanging"


def test_a_worker_that_its_alarm_cannot_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchkit.executors.processes.KILL_AFTER", 5.0)
    results: list[StageResult] = []
    env = Env(Registry(), ArtifactStore(tmp_path))
    Processes(1, time_limit=1.0).execute([Hanging(), Work("other", Log(str(tmp_path / "log")))], env, results.append)
    assert {done.stage.describe(): done.state for done in results} == {"hanging": "failed", "work other": "run"}
    (reason,) = [done.reason for done in results if done.state == "failed"]
    assert reason is not None and reason.startswith("hanging: took longer than the time limit of 1 s")
    assert reason.endswith("(its worker process was killed)")


@pytest.mark.parametrize(
    ("device", "stages", "workers_of_memory", "workers"),
    [
        ("cpu", 100, 8, 4),
        ("cpu", 100, 3, 3),
        ("cpu", 100, None, 4),
        ("cpu", 100, 1, 1),
        ("cpu", 99, 8, 1),
        ("cuda", 500, 8, 1),
    ],
)
def test_auto_starts_as_many_processes_as_cores_memory_and_work_allow(
    monkeypatch: pytest.MonkeyPatch, device: str, stages: int, workers_of_memory: int | None, workers: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    memory = None if workers_of_memory is None else workers_of_memory * MEMORY_PER_WORKER + 1
    chosen = Auto(5.0).choose(device, stages, memory)
    assert chosen == (Inline(5.0) if workers == 1 else Processes(workers, 5.0))


def test_the_free_memory_is_below_the_installed_memory() -> None:
    free = read_free_memory()
    if free is not None:
        assert 2**20 < free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
