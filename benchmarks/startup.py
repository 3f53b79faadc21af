"""How long benchkit takes to start: `--help` and `plugins list`, as ratios to importing typer and rich."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 5
COMMANDS = {
    "python -c 'import typer, rich'": [sys.executable, "-c", "import typer, rich"],
    "benchkit --help": [sys.executable, "-m", "benchkit.cli.main", "--help"],
    "benchkit plugins list": [sys.executable, "-m", "benchkit.cli.main", "plugins", "list"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Median wall time of a command, after one warm-up."""
    times = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


if __name__ == "__main__":
    found = {name: seconds(command) for name, command in COMMANDS.items()}
    base = next(iter(found.values()))
    for name, value in found.items():
        print(f"{name:32} {value:6.2f} s  {value / base:5.1f} x")
