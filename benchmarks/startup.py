"""How long benchkit takes to start: commands that compute nothing, as ratios to importing typer and rich.

    python benchmarks/startup.py [--small]

`compare` has nothing to do: its run is finished before the first turn. Each command runs in a process of its own.
"""

from __future__ import annotations

import sys
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
    run_child,
    write_result,
)

BASE = "import typer and rich"
BENCHKIT = [sys.executable, "-m", "benchkit.cli.main"]
#: Without a learned selector or a detector that is trained long: only the end of the run matters here.
TINY = """\
extends: quick
labelled: 8
source: {split: clean, size: 4}
test: {split: test, size: 8}
validation: null
seeds: [0]
selectors: [grid]
corruptors: ["gaussian:steps=0"]
baselines: [human]
detectors: [upernet-convnext]
on_detector: {}
training: {iterations: 2, batch: 2}
selector_training: {iterations: 2, batch: 2}
"""
OFFICIAL = Path(__file__).parents[1] / "leaderboard" / "portraits-frozen.jsonl"
#: What the ratio to the base should be at most.
AIMS = {"benchkit --help": 2.0}


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    asked = parse(parser)
    asked.turns = 1 if asked.small else max(asked.turns, 5)
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "tiny.yaml"
        grid.write_text(TINY)
        places = ["--cache", str(Path(folder) / "cache"), "--out", str(Path(folder) / "out")]
        compare = [*BENCHKIT, "compare", str(grid), *places, "--executor", "inline"]
        commands = {
            BASE: [sys.executable, "-c", "import typer, rich"],
            "import torch": [sys.executable, "-c", "import torch"],
            "import pandas and pyarrow": [sys.executable, "-c", "import pandas, pyarrow"],
            "benchkit --help": [*BENCHKIT, "--help"],
            "benchkit plugins list": [*BENCHKIT, "plugins", "list"],
            "benchkit compare, nothing to do": compare,
            "benchkit leaderboard show, official board": [*BENCHKIT, "leaderboard", "show", str(OFFICIAL)],
        }
        # The warm-up finishes the run of `compare`.
        costs = measure_in_turns({name: partial(run_child, words) for name, words in commands.items()}, asked.turns)
    base = least_cpu(costs[BASE])
    rows = [
        Row(
            what=name,
            cost=least_cpu(turns),
            unit="CPU s",
            against=BASE,
            other=base,
            aim=AIMS.get(name),
            turns=list_cpu({name: turns}),
        )
        for name, turns in costs.items()
        if name != BASE
    ]
    write_result("startup", rows, describe_settings(asked), machine, asked.results)


if __name__ == "__main__":
    main()
