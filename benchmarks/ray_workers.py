"""Two one-core Ray workers against one, on a grid that is nearly all inversion and corruption: seconds and their ratio.

    python benchmarks/ray_workers.py [--sources N] [--executor ray|processes]

Wants a machine with two idle cores, for a quarter of an hour. Ray's start and the workers' loading are counted in: they
weigh less with more sources (16 are a chunk; 240 are those of the preset `portraits`).
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, here and in the workers
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's workers stand back for everybody else: 15 by default

from benchkit.config.grid import load_grid
from benchkit.config.overrides import apply_settings
from benchkit.executors.batch import StageResult
from benchkit.executors.choose import parse_executor
from benchkit.plugin.registry import Registry
from benchkit.runs.run import make_plan
from benchkit.stages.base import Env, Stage
from benchkit.stages.confine import Confine
from benchkit.store.artifacts import ArtifactStore

CORRUPTORS = ("none:steps=10", "gaussian:steps=10", "rotation:steps=10", "blur:steps=10", "downscale:steps=10,factor=2")


def stages(sources: int, registry: Registry) -> tuple[Stage, ...]:
    """What confinement rests on, the corrupted images above all: how trainings are shared out is not measured."""
    grid = load_grid("quick").replaced(selectors=["random-boxes"], corruptors=list(CORRUPTORS), baselines=[])
    grid = apply_settings(grid, [f"source.size={sources}"])
    whole = make_plan(grid, registry).stages
    wanted = [stage for stage in whole if isinstance(stage, Confine)]
    for stage in wanted:
        wanted += [needed for needed in stage.inputs if needed not in wanted]
    return tuple(stage for stage in whole if stage in wanted)


def seconds(plan: tuple[Stage, ...], registry: Registry, executor: str) -> tuple[float, float]:
    """How long the plan takes from nothing, and how long its stages took by themselves, added up."""
    ended: list[StageResult] = []
    with TemporaryDirectory() as folder:
        env = Env(registry, ArtifactStore(Path(folder)))
        began = time.perf_counter()
        parse_executor(executor).execute(plan, env, ended.append)
        took = time.perf_counter() - began
    states = Counter(done.state for done in ended)
    if states != {"run": len(plan)}:
        raise SystemExit(f"not every stage ran: {dict(states)}")
    return took, sum(done.seconds for done in ended)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--sources", type=int, default=240)
    options.add_argument("--executor", choices=("ray", "processes"), default="ray")
    asked = options.parse_args()
    registry = Registry.load()
    plan = stages(asked.sources, registry)
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{len(plan)} stages, {asked.sources} sources, {cores} cores, load before {load:.1f}")
    core = ",cpus=1" if asked.executor == "ray" else ""
    took = {}
    for workers in (1, 2):
        took[workers], busy = seconds(plan, registry, f"{asked.executor}:workers={workers}{core}")
        print(f"workers: {workers}   {took[workers]:.1f} s, in stages {busy:.1f} s")
    print(f"ratio {took[1] / took[2]:.2f}")
