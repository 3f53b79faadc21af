"""The images of the paper's grid: what the suite adds to its networks, and what sharing of stages saves.

    python benchmarks/paper_grid.py [--sources 16] [--steps 5 10] [--small]

The paper's grid has five methods with 5, 10, 15 and 20 steps on 48 source images: 16,320 evaluations of the denoiser.
The default here is about a ninth of it: 16 images, and 5 and 10 steps. Nothing is trained; regions come from a grid.
Three ways, in turns:

- the suite, with every trajectory, round trip and encoding shared;
- its networks alone: as many encodings, evaluations and decodings on random latents in batches of the same size;
- the suite without sharing: each method and number of steps planned alone, in a cache of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
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

from benchkit.config.grid import Grid, load_grid
from benchkit.diffusion.backend import DiffusionBackend, timesteps_of
from benchkit.plugin.registry import Registry
from benchkit.runs.run import find_model, make_plan
from benchkit.specs.training_sets import CHUNK
from benchkit.stages.base import Costs, Stage
from benchkit.stages.confine import Confine

METHODS = ("none", "renoise-masked", "gaussian", "rotation", "blur")
PAPER_SOURCES, PAPER_STEPS = 48, (5, 10, 15, 20)
TIMESTEP, SIDE = 100, 128


def make_grid(sources: int, corruptors: Sequence[str]) -> Grid:
    """Return a grid of these corruptors, with regions that need no network."""
    return load_grid("quick").replaced(
        source={"split": "clean", "size": sources},
        selectors=["grid"],
        corruptors=list(corruptors),
        baselines=[],
        trivial=[],
        validation=None,
        seeds=[0],
        on_detector={},
        detectors=["upernet-convnext"],
    )


def list_stages(
    sources: int, corruptors: Sequence[str], registry: Registry, precision: str = "float32", chunk: int = CHUNK
) -> tuple[Stage, ...]:
    """Return the stages that make a grid's images: those that confinement reads, and confinement."""
    grid = make_grid(sources, corruptors).replaced(sampling={"precision": precision, "chunk": chunk})
    whole = make_plan(grid, registry).stages
    wanted: set[str] = set()
    for stage in reversed(whole):  # readers before their inputs
        if isinstance(stage, Confine) or stage.key in wanted:
            wanted |= {stage.key, *(needed.key for needed in stage.inputs)}
    return tuple(stage for stage in whole if stage.key in wanted)


def count_evaluations(plans: Sequence[Sequence[Stage]], registry: Registry) -> int:
    """Return the evaluations of the denoiser of all stages of some plans, counted in images."""
    model = find_model(load_grid("quick"))
    costs = Costs(registry, timesteps_of(model.location, model.steps))
    return sum(stage.network_evaluations(costs) for stages in plans for stage in stages)


def make_bare(stages: Sequence[Stage], evaluations: int) -> Callable[[], None]:
    """Return what calls the networks as often as the stages do, in batches of the same size, and does nothing else."""
    kinds = Counter(type(stage).__name__ for stage in stages)
    backend = DiffusionBackend.load("portraits")
    pixels = torch.rand(CHUNK, 3, SIDE, SIDE)
    z_0, condition = backend.encode(pixels), backend.embed([None] * CHUNK)

    def work() -> None:
        for _ in range(kinds["Latents"]):
            backend.encode(pixels)
        for _ in range(evaluations // CHUNK):
            backend.predict(z_0, TIMESTEP, condition)
        for _ in range(kinds["Images"] + kinds["RoundTrip"] + kinds["Corrupt"]):
            backend.decode(z_0)

    return work


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--sources", type=int, default=CHUNK, help=f"source images, a multiple of {CHUNK}")
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10])
    asked = parse(parser)
    methods = METHODS
    if asked.small:
        asked.steps, asked.turns, methods = [1], 1, ("gaussian", "blur")
    registry, machine = Registry.load(), describe_machine()
    corruptors = [f"{method}:steps={steps}" for method in methods for steps in asked.steps]
    shared = list_stages(asked.sources, corruptors, registry)
    alone = [list_stages(asked.sources, [one], registry) for one in corruptors]
    evaluations = count_evaluations([shared], registry)
    unshared = count_evaluations(alone, registry)
    works: dict[str, Callable[[], object]] = {
        "suite": lambda: run_stages(shared, registry),
        "networks alone": make_bare(shared, evaluations),
        "not shared": lambda: [run_stages(stages, registry) for stages in alone],
    }
    run_stages(list_stages(asked.sources, ["none:steps=1"], registry), registry)  # loads what later runs keep
    costs = measure_in_turns(works, asked.turns, warm_up=False)
    paper = [f"{method}:steps={steps}" for method in METHODS for steps in PAPER_STEPS]
    whole = count_evaluations([list_stages(PAPER_SOURCES, paper, registry)], registry)
    apart = count_evaluations([list_stages(PAPER_SOURCES, [one], registry) for one in paper], registry)
    name = f"{len(methods)} methods, steps {'/'.join(map(str, asked.steps))}, {asked.sources} images"
    suite, turns = least_cpu(costs["suite"]), list_cpu(costs)
    form = f"{evaluations:,} evaluations; the paper's grid has {whole:,}"
    rows = [
        Row(name, suite, "CPU s", "networks alone", least_cpu(costs["networks alone"]), 1.1, form, turns),
        Row(name, suite, "CPU s", "without shared stages", least_cpu(costs["not shared"]), turns=turns),
        Row("evaluations, same grid", evaluations, "", "without shared stages", unshared),
        Row("evaluations, the paper's grid", whole, "", "without shared stages", apart),
    ]
    write_result("paper_grid", rows, describe_settings(asked), machine, asked.results)


if __name__ == "__main__":
    main()
