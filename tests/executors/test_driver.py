"""Properties of the loop that all executors share, on random plans with failures, deaths of workers and other runs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from benchkit.executors.batch import StageResult
from benchkit.executors.driver import run_stages
from benchkit.executors.ready import ReadyQueue
from benchkit.executors.retry import RETRIES, WorkerDied
from benchkit.stages.base import Env, Output, Stage


@dataclass(frozen=True)
class Node(Stage):
    """A stage of a random plan."""

    name: int
    after: tuple[Node, ...] = ()
    team: int | None = None

    @property
    def group(self) -> Hashable | None:
        return self.team

    def run(self, env: Env) -> Output:
        raise AssertionError("the pool below runs nothing")


@st.composite
def plans(draw: st.DrawFn) -> list[Node]:
    """Up to twelve stages, inputs first. Stages of one group never read each other."""
    nodes: list[Node] = []
    for name in range(draw(st.integers(1, 12))):
        after = draw(st.lists(st.sampled_from(nodes), max_size=3, unique=True)) if nodes else []
        team = draw(st.none() | st.just(depth_of(after)))
        nodes.append(Node(name, tuple(after), team))
    return nodes


def depth_of(after: Sequence[Node]) -> int:
    return 1 + max((depth_of(node.after) for node in after), default=0)


class Store:
    """What `run_stages` asks of a store. foreign: keys that another process computes, with how often it still does."""

    def __init__(self, there: set[str], foreign: dict[str, int]) -> None:
        self.there, self.foreign = there, foreign

    def has(self, key: str) -> bool:
        return key in self.there

    @contextmanager
    def lease(self, key: str) -> Iterator[None]:
        self.foreign[key] = 0  # whoever waits, waits until the other process has ended
        yield


@dataclass
class RandomPool:
    """Ends batches in a random order; some stages fail, some kill their worker, some belong to another process."""

    store: Store
    failing: set[str]
    deadly: dict[str, int]
    rng: random.Random
    size: int
    retries: int = RETRIES
    running: list[tuple[tuple[Node, ...], Future[list[StageResult]]]] = field(default_factory=list)
    started: list[tuple[Node, ...]] = field(default_factory=list)
    done: dict[str, str] = field(default_factory=dict)

    def count_workers(self) -> int:
        return self.size

    def submit(self, batch: tuple[Stage, ...]) -> Future[list[StageResult]]:
        nodes = cast("tuple[Node, ...]", batch)
        assert len(self.running) < self.size
        assert nodes
        assert len({node.team for node in nodes}) == 1 and (len(nodes) == 1 or nodes[0].team is not None)
        for node in nodes:
            for needed in node.after:
                assert self.store.has(needed.key) or self.done.get(needed.key) == "run", "an input is not ready"
        self.running.append((nodes, Future()))
        self.started.append(nodes)
        return self.running[-1][1]

    def wait(self, timeout: float | None) -> None:
        assert self.running
        if timeout is not None and self.rng.random() < 0.3:
            return None
        batch, future = self.running.pop(self.rng.randrange(len(self.running)))
        for node in batch:
            if self.deadly.get(node.key, 0):
                self.deadly[node.key] -= 1
                return future.set_exception(WorkerDied("its worker died"))
        results = []
        for node in batch:
            if self.store.foreign.get(node.key, 0):
                self.store.foreign[node.key] -= 1
                continue
            state: Any = "failed" if node.key in self.failing else "run"
            self.done[node.key] = state
            results.append(StageResult(node, state, f"{node.name} failed" if state == "failed" else None))
        return future.set_result(results)


@given(plans(), st.integers(0, 2**31), st.integers(1, 4))
def test_every_stage_is_reported_once_and_runs_after_its_inputs(nodes: list[Node], seed: int, size: int) -> None:
    rng = random.Random(seed)
    there = {node.key for node in nodes if rng.random() < 0.1}
    failing = {node.key for node in nodes if rng.random() < 0.15}
    deadly = {node.key: rng.randrange(1, 4) for node in nodes if rng.random() < 0.15}
    foreign = {node.key: rng.randrange(1, 4) for node in nodes if rng.random() < 0.2}
    kills = dict(deadly)
    pool = RandomPool(Store(set(there), foreign), failing, deadly, rng, size)
    reported: list[StageResult] = []
    env = cast("Any", type("Env", (), {"store": pool.store, "progress": lambda self, text: None})())

    run_stages(nodes, env, reported.append, pool)

    assert Counter(done.stage.key for done in reported) == Counter(node.key for node in nodes)
    state = {done.stage.key: done.state for done in reported}
    for node in nodes:
        if node.key in there:
            assert state[node.key] == "cached"
        elif any(state[needed.key] in ("failed", "skipped") for needed in node.after):
            assert state[node.key] == "skipped"
            assert all(node not in batch for batch in pool.started)
        elif node.key in failing:
            assert state[node.key] == "failed"
        elif node.key not in kills or kills[node.key] <= pool.retries:
            assert state[node.key] == "run"
    for done in reported:
        assert (done.reason is None) == (done.state in ("run", "cached"))


@given(plans(), st.integers(1, 5))
def test_batches_come_in_the_order_of_the_plan(nodes: list[Node], divide: int) -> None:
    queue, order = ReadyQueue(nodes), {node.key: place for place, node in enumerate(nodes)}
    taken: list[str] = []
    while queue:
        ready = queue.batches
        batch = queue.take_batch(divide)
        assert ready and batch
        places = [order[stage.key] for stage in batch]
        assert places == sorted(places)
        for stage in batch:
            assert not list(queue.record_result(StageResult(stage, "run")))
            taken.append(stage.key)
    assert sorted(taken) == sorted(order)


def test_a_failure_reaches_every_reader_with_its_reason() -> None:
    first = Node(0)
    middle = Node(1, (first,))
    last = Node(2, (middle,))
    queue = ReadyQueue([first, middle, last])
    assert queue.take_batch() == (first,)
    skipped = list(queue.record_result(StageResult(first, "failed", "no memory")))
    assert [(done.stage, done.state, done.reason) for done in skipped] == [
        (middle, "skipped", "no memory"),
        (last, "skipped", "no memory"),
    ]
    assert not queue


def test_a_requeued_stage_comes_alone() -> None:
    mates = [Node(i, (), 1) for i in range(3)]
    queue = ReadyQueue(mates)
    batch = queue.take_batch()
    assert batch == tuple(mates)
    queue.requeue(batch)
    assert [queue.take_batch() for _ in range(4)] == [(mates[0],), (mates[1],), (mates[2],), ()]


def test_an_input_outside_of_the_plan_is_taken_to_be_there() -> None:
    outside = Node(0)
    reader = Node(1, (outside,))
    assert ReadyQueue([reader]).take_batch() == (reader,)
