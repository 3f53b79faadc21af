"""How the cost of a comparison grows with images, methods, steps, detectors and seeds: three sizes of each.

    python benchmarks/growth.py [--axes images seeds] [--small]

A size is a comparison of its own from an empty cache, in this process: plan, all stages, rows and report, in processor
seconds. All sizes differ from one base in one number. The base has 16 source images, 2 methods of 4 steps, one frozen
detector whose own training chooses the regions, and 1 seed; 16 labelled and 16 test images stay as they are. The note
of a row says which kinds of stages its seconds went to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from _record import Row, describe_machine, describe_settings, make_parser, parse, write_result
from _stages import StageClock, run_grid

from benchkit.config.grid import Grid, load_grid
from benchkit.plugin.registry import Registry

METHODS = ("gaussian", "blur", "rotation", "renoise-masked")
BASE = {"images": 16, "methods": 2, "steps": 4, "detectors": 1, "seeds": 1}
#: The sizes of each axis; the first is the one of the base, but for methods and steps a half of it.
SIZES = {
    "images": (16, 32, 64),
    "methods": (1, 2, 4),
    "steps": (2, 4, 8),
    "detectors": (1, 2, 4),
    "seeds": (1, 2, 4),
    "detectors, one selection": (1, 4),
    "seeds, one selection": (1, 4),
}
TRAINING = {"iterations": 20, "batch": 8, "lr": 3e-3, "schedule": "one-cycle", "prior_bias": True, "flip": False}


def find_numbers(axis: str, size: int) -> tuple[tuple[str, int], ...]:
    """Return the numbers of a comparison, so that equal ones of several axes are run once."""
    name, _, shared = axis.partition(", ")
    return tuple({**BASE, name: size, **({"one selection": 1} if shared else {})}.items())


def make_grid(numbers: Mapping[str, int]) -> Grid:
    """Return a grid of these numbers."""
    detectors = [f"frozen-swin:width={48 + i}" for i in range(numbers["detectors"])]
    settings: dict[str, Any] = {
        "labelled": 16,
        "source": {"split": "clean", "size": numbers["images"]},
        "test": {"split": "test", "size": 16},
        "validation": None,
        "baselines": ["human"],
        "trivial": [],
        "selectors": ["learned"],
        "corruptors": [f"{method}:steps={numbers['steps']}" for method in METHODS[: numbers["methods"]]],
        "detectors": detectors,
        "seeds": list(range(numbers["seeds"])),
        "on_detector": {},
        "training": TRAINING,
        "selector_training": TRAINING,
    }
    if "one selection" in numbers:
        settings |= {"selection_seed": 0, "selectors": [f"learned:detector='{detectors[0]}'"]}
    return load_grid("quick").replaced(**settings)


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--axes", nargs="+", choices=SIZES, default=list(SIZES))
    asked = parse(parser)
    sizes = {axis: SIZES[axis] for axis in asked.axes}
    if asked.small:
        asked.turns, sizes = 1, {asked.axes[0]: SIZES[asked.axes[0]][:1]}
    registry, machine = Registry.load(), describe_machine()
    points = {find_numbers(axis, size): list[StageClock]() for axis, some in sizes.items() for size in some}
    run_grid(make_grid(BASE), registry)  # loads what later runs keep
    for _ in range(asked.turns):
        for numbers, clocks in points.items():
            clocks.append(run_grid(make_grid(dict(numbers)), registry))
    rows = []
    for axis, some in sizes.items():
        first = points[find_numbers(axis, some[0])]
        for size in some:
            clocks = points[find_numbers(axis, size)]
            rows.append(
                Row(
                    what=f"comparison, {axis}: {size}",
                    cost=min(map(_total, clocks)),
                    unit="CPU s",
                    against=f"{axis}: {some[0]}",
                    other=min(map(_total, first)),
                    note=min(clocks, key=_total).format(),
                    turns={str(size): [round(_total(one), 3) for one in clocks]},
                )
            )
    write_result("growth", rows, describe_settings(asked), machine, asked.results)


def _total(clock: StageClock) -> float:
    return sum(clock.seconds.values())


if __name__ == "__main__":
    main()
