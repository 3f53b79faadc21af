"""The images of the paper's grid in other settings of `sampling` than the portable default: number format and chunk.

    python benchmarks/sampling.py [--sources 48] [--steps 5 10 15 20] [--precision bfloat16] [--chunk 64] [--small]

The grid of `paper_grid.py`: five methods with each number of steps, their round trips, encodings and decodings; nothing
is trained. The default is 48 images with 5 and 10 steps, 5,280 of the 16,320 evaluations of the whole grid. Each turn
starts from an empty cache. Half precision is first compared with float32, as before a run; that costs no time here.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from _record import (
    Row,
    describe_machine,
    describe_settings,
    least_cpu,
    list_cpu,
    make_parser,
    measure_in_turns,
    parse,
    write_result,
)
from _stages import run_stages
from paper_grid import METHODS, PAPER_SOURCES, count_evaluations, list_stages

from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from benchkit.runs.precision_check import list_parities, measure_parity
from benchkit.specs.training_sets import CHUNK
from benchkit.stages.base import Env, Stage
from benchkit.stages.parity import describe_parity
from benchkit.store.artifacts import ArtifactStore

#: What the paper's grid took on two free cores before these settings existed, and what it should take: seconds.
BEFORE, AIM = 158, 90


def describe_images(stages: tuple[Stage, ...], registry: Registry) -> str:
    """Return how far the images of half precision are from those of float32; raise SystemExit if it is too far."""
    with tempfile.TemporaryDirectory() as folder:
        env = Env(registry, ArtifactStore(Path(folder)))
        for stage in list_parities(stages, env.device):
            if reason := measure_parity(stage, env):
                raise SystemExit(f"{stage.model.sampling} is not good enough here: {reason}")
            return describe_parity(env.arrays(stage))
    return "float32"


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--sources", type=int, default=PAPER_SOURCES)
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--chunk", type=int, default=64)
    asked = parse(parser)
    methods = METHODS
    if asked.small:
        asked.sources, asked.steps, asked.turns, methods = 8, [1], 1, ("gaussian",)
    registry, machine = Registry.load(), describe_machine()
    corruptors = [f"{method}:steps={steps}" for method in methods for steps in asked.steps]
    list_these = partial(list_stages, asked.sources, corruptors, registry)
    default = "float32, chunk 16"
    settings = {
        default: ("float32", CHUNK),
        f"{asked.precision}, chunk {asked.chunk}": (asked.precision, asked.chunk),
    }
    plans = {name: list_these(*values) for name, values in settings.items()}
    (other,) = (name for name in plans if name != default)
    note = describe_images(plans[other], registry)
    works = {name: partial(run_stages, stages, registry) for name, stages in plans.items()}
    costs = measure_in_turns(works, asked.turns, warm_up=False)
    grid = f"{count_evaluations([plans[default]], registry):,} evaluations"
    row = Row(
        f"{grid}, {other}",
        least_cpu(costs[other]),
        "CPU s",
        default,
        least_cpu(costs[default]),
        round(AIM / BEFORE, 2),
        note,
        list_cpu(costs),
    )
    write_result("sampling", [row], describe_settings(asked), machine, asked.results)


if __name__ == "__main__":
    try:
        main()
    except BenchkitError as error:
        raise SystemExit(str(error)) from error
