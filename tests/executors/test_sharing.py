"""Two runs on one cache: every stage is computed once, by whoever comes first; damage and full disks on the way."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from benchkit.executors.batch import StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.repair_artifacts import read_repaired
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env, Output, Stage
from benchkit.store.artifacts import ArtifactStore, CacheUnwritable, DamagedResult

DATA = b"0123456789"


@dataclass(frozen=True)
class Log:
    """Where stages note that they ran."""

    path: str


@dataclass(frozen=True)
class Work(Stage):
    """Reads its inputs, notes its name in a file and leaves some bytes."""

    name: str
    log: Log
    together: str = ""
    after: tuple[Work, ...] = ()

    @property
    def group(self) -> Hashable | None:
        return self.together or None

    def run(self, env: Env) -> Output:
        read = b"".join(env.store.open(stage.key).read("x") for stage in self.after)
        note = os.open(self.log.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(note, f"{self.name}\n".encode())
        os.close(note)
        time.sleep(0.003)
        return Output({"x": DATA + self.name.encode() + read[:100]})

    def describe(self) -> str:
        return f"work {self.name}"


def plan(log: Path) -> list[Work]:
    """Chains of four stages with two groups, one of readers of another."""
    note, stages = Log(str(log)), []
    for i in range(12):
        first = Work(f"{i}a", note)
        mates = tuple(Work(f"{i}b{j}", note, f"group {i}", (first,)) for j in range(3))
        joined = tuple(Work(f"{i}c{j}", note, f"reader {i}", mates) for j in range(2))
        stages += [first, *mates, *joined, Work(f"{i}d", note, after=joined)]
    return stages


def environment(cache: Path) -> Env:
    return Env(Registry(), ArtifactStore(cache))


def executed(stages: Sequence[Work], cache: Path) -> dict[str, StageResult]:
    results: list[StageResult] = []
    Inline().execute(stages, environment(cache), results.append)
    assert len(results) == len(stages)
    return {done.stage.name: done for done in results}  # type: ignore[attr-defined]


def racing(cache: str, log: str, start: float, tell: Any) -> None:
    """One of the racers: runs the whole plan from the appointed time on."""
    stages = plan(Path(log))
    time.sleep(max(0.0, start - time.time()))
    tell.put([done.state for done in executed(stages, Path(cache)).values()])


def test_processes_racing_for_every_stage_compute_each_once(tmp_path: Path) -> None:
    context = get_context("fork")
    tell, log, stages = context.Queue(), tmp_path / "log", plan(tmp_path / "log")
    ArtifactStore(tmp_path / "cache")
    start = time.time() + 0.3
    racers = [
        context.Process(target=racing, args=(str(tmp_path / "cache"), str(log), start, tell), daemon=True)
        for _ in range(3)
    ]
    for racer in racers:
        racer.start()
    found = [tell.get(timeout=120) for _ in racers]
    for racer in racers:
        racer.join(30)
    ran = log.read_text().split()
    assert sorted(ran) == sorted(stage.name for stage in stages), "each once"
    assert sum(states.count("run") for states in found) == len(stages)
    assert all(set(states) <= {"run", "cached"} for states in found)
    store = ArtifactStore(tmp_path / "cache")
    assert [damage for _, damage in store.verify() if damage] == []


def holding(cache: str, key: str, tell: Any, seconds: float) -> None:
    with ArtifactStore(cache).lease(key):
        tell.put("held")
        time.sleep(seconds)


def test_what_another_process_has_is_put_off_and_run_here_if_that_one_dies(tmp_path: Path) -> None:
    context = get_context("fork")
    note, tell = Log(str(tmp_path / "log")), context.Queue()
    first = Work("first", note)
    stages = [first, Work("reader", note, after=(first,)), Work("other", note)]
    holder = context.Process(target=holding, args=(str(tmp_path / "cache"), first.key, tell, 60), daemon=True)
    holder.start()
    assert tell.get(timeout=60) == "held"
    env, order, message = environment(tmp_path / "cache"), [], []

    def reported(text: str) -> None:
        message.append(text)
        if text.startswith("wait:"):
            holder.kill()

    env.progress = reported
    Inline().execute(stages, env, lambda done: order.append((done.stage.name, done.state)))  # type: ignore[attr-defined]
    assert order == [("other", "run"), ("first", "run"), ("reader", "run")]
    assert "wait: another process computes work first" in message
    holder.join()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "bit": lambda folder: flip(folder / "x"),
    "bit of the manifest": lambda folder: flip(folder / "manifest.json"),
    "truncated": lambda folder: os.truncate(folder / "x", 3),
    "empty": lambda folder: os.truncate(folder / "x", 0),
    "truncated manifest": lambda folder: os.truncate(folder / "manifest.json", 20),
    "foreign": lambda folder: (folder / "stranger").write_text("hello"),
    "gone": lambda folder: (folder / "x").unlink(),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_input_is_reported_in_one_line_and_computed_again(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    note = Log(str(tmp_path / "log"))
    first = Work("first", note)
    second = Work("second", note, after=(first,))
    third = Work("third", note, after=(second,))
    executed([first, second], tmp_path / "cache")
    store = ArtifactStore(tmp_path / "cache")
    sound = store.open(first.key).read("x"), store.open(second.key).read("x")
    for stage in (first, second):
        DAMAGE[how](store.folder(stage.key))
    with caplog.at_level(logging.WARNING, logger="benchkit"):
        assert executed([first, second, third], tmp_path / "cache")["third"].state == "run"
    reported = [record.getMessage() for record in caplog.records if getattr(record, "tell", False)]
    assert len(reported) == 2
    for stage in (first, second):
        (line,) = (text for text in reported if stage.key[:12] in text)
        assert "cannot be used" in line and stage.describe() in line and "\n" not in line
    assert (store.open(first.key).read("x"), store.open(second.key).read("x")) == sound
    assert sorted((tmp_path / "log").read_text().split()) == ["first", "first", "second", "second", "third"]


def test_what_is_damaged_again_and_again_is_an_error_and_no_loop(tmp_path: Path) -> None:
    note = Log(str(tmp_path / "log"))
    stage = Work("first", note)
    executed([stage], tmp_path / "cache")
    env = environment(tmp_path / "cache")

    def rotting() -> bytes:
        flip(env.store.folder(stage.key) / "x")
        return env.store.open(stage.key).read("x")

    with pytest.raises(DamagedResult):
        read_repaired(rotting, [stage], env)


def test_a_stage_out_of_memory_fails_alone(tmp_path: Path) -> None:
    note = Log(str(tmp_path / "log"))
    greedy = Greedy("greedy", note, "all")
    reader = Work("reader", note, after=(greedy,))
    found = executed([greedy, Work("modest", note, "all"), reader], tmp_path / "cache")
    assert {name: done.state for name, done in found.items()} == {
        "greedy": "failed",
        "modest": "run",
        "reader": "skipped",
    }
    assert found["greedy"].reason == "work greedy: MemoryError: out of memory; run it where there is more"


@dataclass(frozen=True)
class Greedy(Work):
    """Wants more memory than there is."""

    def run(self, env: Env) -> Output:
        raise MemoryError


@dataclass(frozen=True)
class Checkpointing(Work):
    """Writes into its scratch folder, on a disk that is full."""

    def run(self, env: Env) -> Output:
        with env.store.workdir(self.key) as folder:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "checkpoint"))


@pytest.mark.parametrize("where", ["in the stage", "at the commit"])
def test_a_full_disk_stops_the_run_and_fails_no_stage(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, results = Log(str(tmp_path / "log")), []
    stages = [Work("first", note), (Checkpointing if where == "in the stage" else Work)("second", note)]
    env = environment(tmp_path / "cache")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def report(done: StageResult) -> None:
        results.append(done.state)
        if where == "at the commit":
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(CacheUnwritable, match="No space left on device; free some space there") as caught:
        Inline().execute(stages, env, report)
    assert "\n" not in str(caught.value)
    assert results == ["run"]
    monkeypatch.undo()
    assert [damage for _, damage in env.store.verify() if damage] == []
    assert executed([stages[0], Work("second", note)], tmp_path / "cache")["second"].state == "run"
