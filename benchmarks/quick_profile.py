"""Where the processor time of `quick` goes: from an empty cache in one process, by kind of stage and by operation.

    python benchmarks/quick_profile.py [--preset quick] [--small]

One turn takes as long as the preset on one core, so there is one. The second part profiles the training of row `human`
with each detector of the preset, by torch's operations.
"""

from __future__ import annotations

from collections import defaultdict

from _record import Row, describe_machine, describe_settings, make_parser, parse, write_result
from _stages import StageClock, run_grid
from torch.profiler import ProfilerActivity, profile

from benchkit.config.grid import Grid, load_grid
from benchkit.config.overrides import scale_grid
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env, Output
from benchkit.stages.train import Train

#: Operations that are shown of each training.
SHOWN = 6


def list_kinds(name: str, clock: StageClock) -> list[Row]:
    """Return a row for each kind of stage: its seconds, compared with those of the whole run."""
    whole = sum(clock.seconds.values())
    return [
        Row(f"{name}: {kind}", seconds, "CPU s", "the whole run", whole, note=f"{clock.stages[kind]} stages")
        for kind, seconds in clock.seconds.most_common()
    ]


def profile_training(grid: Grid, registry: Registry) -> dict[str, list[tuple[str, float]]]:
    """Return the seconds of each operation, most first, of the first training of each detector of a grid."""
    found: dict[str, list[tuple[str, float]]] = {}
    run = Train.run

    def run_profiled(stage: Train, env: Env) -> Output:
        if stage.detector.short in found:
            return run(stage, env)
        with profile(activities=[ProfilerActivity.CPU]) as record:
            output = run(stage, env)
        seconds: dict[str, float] = defaultdict(float)
        for event in record.key_averages():
            seconds[event.key] += event.self_cpu_time_total / 1e6
        found[stage.detector.short] = sorted(seconds.items(), key=lambda item: -item[1])
        return output

    Train.run = run_profiled  # type: ignore[method-assign]
    try:
        run_grid(grid.replaced(seeds=[0], corruptors=["gaussian:steps=0"], baselines=["human"], trivial=[]), registry)
    finally:
        Train.run = run  # type: ignore[method-assign]
    return found


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--preset", default="quick")
    asked = parse(parser)
    registry, machine, grid = Registry.load(), describe_machine(), load_grid(asked.preset)
    if asked.small:
        grid = scale_grid(grid, 0.02).replaced(seeds=[0], corruptors=["gaussian:steps=0"])
    rows = list_kinds(asked.preset, run_grid(grid, registry))
    for detector, operations in profile_training(grid, registry).items():
        whole = sum(seconds for _, seconds in operations)
        rows += [
            Row(f"training {detector}: {name}", seconds, "s", "the whole training", whole)
            for name, seconds in operations[:SHOWN]
        ]
    write_result("quick_profile", rows, describe_settings(asked), machine, asked.results)


if __name__ == "__main__":
    main()
