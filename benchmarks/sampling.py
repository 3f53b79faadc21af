"""What the images of a paper's grid cost here, in each setting of `sampling`: seconds, processor seconds, and a ratio.

    python benchmarks/sampling.py [--device cuda] [--sources 48] [--steps 5 10 15 20] [--executor processes:workers=2]

Five methods with each number of steps, inverted by ReNoise, and the round trip of each number: 16,320 evaluations of
the denoiser in the full form. Regions come from a grid, so that nothing is trained. The first line is the portable
default. `processor` are the seconds of all threads and processes, which other work on the machine changes least; the
last column is their ratio to the default. Processes count their start. Half precision is checked before it is used,
outside of the times.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchkit.api import BenchkitError
from benchkit.config.grid import Grid, load_grid
from benchkit.diffusion.backend import timesteps_of
from benchkit.executors.choose import parse_executor
from benchkit.planning.planner import Plan, PlannedCell
from benchkit.plugin.registry import Registry
from benchkit.runs.parity import check_parity
from benchkit.runs.run import find_model, make_plan
from benchkit.stages.base import Costs, Env
from benchkit.store.artifacts import ArtifactStore

METHODS = ("none", "renoise-masked", "gaussian", "rotation", "blur")
#: Precision and chunk; the default first.
SETTINGS = (("float32", 16), ("float32", 64), ("bfloat16", 16), ("bfloat16", 64))


def make_grid(
    sources: int, steps: Sequence[int], methods: Sequence[str] = METHODS, precision: str = "float32", chunk: int = 16
) -> Grid:
    """Return the grid of the paper's methods at these numbers of steps."""
    return load_grid("quick").replaced(
        source={"split": "clean", "size": sources},
        selectors=["grid"],
        corruptors=[f"{method}:steps={number}" for method in methods for number in steps],
        with_human=[],
        baselines=[],
        trivial=[],
        validation=None,
        seeds=[0],
        on_detector={},
        detectors=["upernet-convnext"],
        sampling={"precision": precision, "chunk": chunk},
    )


def take_images(plan: Plan) -> Plan:
    """Return the part of a plan that makes images: corruptions and round trips, and the confinement that reads both."""
    return Plan(tuple(PlannedCell(planned.cell, None, planned.confine) for planned in plan.cells))


def count_evaluations(grid: Grid, registry: Registry) -> int:
    """Return the evaluations of the denoiser, counted in images."""
    model = find_model(grid)
    costs = Costs(registry, timesteps_of(model.location, model.steps))
    return take_images(make_plan(grid, registry)).network_evaluations(costs)


def measure(grid: Grid, registry: Registry, device: str, executor: str) -> tuple[float, float]:
    """Return the seconds, and the processor seconds, of all images of a grid in a fresh cache."""
    plan = take_images(make_plan(grid, registry))
    with tempfile.TemporaryDirectory() as folder:
        env = Env(registry, ArtifactStore(Path(folder)), device)
        check_parity(plan, env)
        env = Env(registry, env.store, device)  # the networks are loaded again
        failed: list[str] = []
        began, used = time.perf_counter(), _processor_seconds()
        parse_executor(executor).execute(
            plan.stages, env, lambda one: failed.append(one.reason) if one.reason else None
        )
        seconds, processor = time.perf_counter() - began, _processor_seconds() - used
    if failed:
        raise BenchkitError(failed[0])
    return seconds, processor


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sources", type=int, default=48)
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 15, 20])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--executor", default="auto")
    asked = parser.parse_args()
    registry = Registry.load()
    grids = [make_grid(asked.sources, asked.steps, asked.methods, *one) for one in SETTINGS]
    print(
        f"{count_evaluations(grids[0], registry):,} evaluations of the denoiser, {len(os.sched_getaffinity(0))} cores, "
        f"device {asked.device}, executor {asked.executor}"
    )
    base = None
    for (precision, chunk), grid in zip(SETTINGS, grids, strict=True):
        name = f"{precision}, chunk {chunk}"
        try:
            seconds, processor = measure(grid, registry, asked.device, asked.executor)
        except BenchkitError as error:
            print(f"{name:24} {error}", flush=True)
            continue
        base = base or processor
        print(f"{name:24} {seconds:7.1f} s  {processor:7.1f} s processor  {processor / base:5.2f} x", flush=True)


if __name__ == "__main__":
    main()
