"""A driver of its own, for tests that kill it: runs the stages below by --executor TEXT on the cache that is named."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchkit.executors.batch import StageResult
from benchkit.executors.choose import parse_executor
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env, Output, Stage
from benchkit.store.opening import open_store


@dataclass(frozen=True)
class Slow(Stage):
    """Takes its time, and notes in $DAWDLING that it began, under which node's process, and that it ended."""

    name: str
    after: tuple[Slow, ...] = ()

    def run(self, env: Env) -> Output:
        note = Path(os.environ["DAWDLING"]) / f"{os.getppid()}-{self.name}"
        note.touch()
        time.sleep(float(os.environ["DAWDLING_SECONDS"]))
        note.rename(note.with_suffix(".ended"))
        return Output({"x": b"".join(env.store.open(s.key).read("x") for s in self.after) + self.name.encode()})

    def describe(self) -> str:
        return f"slow {self.name}"


def stages() -> list[Slow]:
    """Ten, the second five readers of the first."""
    first = [Slow(f"a{i}") for i in range(5)]
    return [*first, *(Slow(f"b{i}", (one,)) for i, one in enumerate(first))]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    from tests.executors import driver  # so that stages are of a module that workers can import, and not of __main__

    results: list[StageResult] = []
    env = Env(Registry(), open_store(sys.argv[2]), progress=lambda text: print(text, file=sys.stderr))
    parse_executor(sys.argv[1]).execute(driver.stages(), env, results.append)
    print(json.dumps([done.state for done in results]))
