"""What performance benchmarks share: costs measured in turns, and results as JSON files for `benchmarks/table.py`.

A cost is processor time (user and system, of this process and its finished children) and the time that passed. On a
machine that does other work, processor time changes less. Things that are compared run in turns, A B A B, and the least
of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
SCHEMA = 1
PACKAGES = ("artifact-benchkit", "torch", "diffusers", "transformers", "mmengine", "onedl-mmengine", "numpy")
#: The result's own keys, with the type that each must have.
KEYS = {"schema": int, "benchmark": str, "date": str, "machine": dict, "versions": dict, "settings": dict, "rows": list}


@dataclass(frozen=True)
class Cost:
    """Seconds of all processors, and seconds that passed."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Row:
    """One line of the table: a cost and, where there is one, the cost that it is compared with.

    unit: of both costs, such as "CPU ms/image". against: what the other cost is of. aim: what the ratio should be at
    most. note: a result that belongs to it, such as how equal the outputs are. turns: the seconds of every turn, in
    the order they ran, so that a reader sees how much they vary.
    """

    what: str
    cost: float
    unit: str
    against: str = ""
    other: float | None = None
    aim: float | None = None
    note: str = ""
    turns: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Return cost divided by the other cost; below 1 is cheaper."""
        return None if self.other is None else self.cost / self.other


class ResultFault(Exception):
    """A result file that cannot be read, in one line."""


def measure(work: Callable[[], object]) -> Cost:
    """Return what one call costs."""
    began, used = time.perf_counter(), _used()
    work()
    return Cost(_used() - used, time.perf_counter() - began)


def measure_in_turns(
    works: Mapping[str, Callable[[], object]], turns: int = 3, warm_up: bool = True
) -> dict[str, list[Cost]]:
    """Return the costs of each, run in turns: A B A B. warm_up: run each once before, not counted."""
    for work in works.values() if warm_up else ():
        work()
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            costs[name].append(measure(work))
    return costs


def least_cpu(costs: Sequence[Cost]) -> float:
    """Return the least processor time of several turns."""
    return min(cost.cpu for cost in costs)


def list_cpu(costs: Mapping[str, Sequence[Cost]]) -> dict[str, list[float]]:
    """Return the processor seconds of every turn, for `Row.turns`."""
    return {name: [round(cost.cpu, 4) for cost in turns] for name, turns in costs.items()}


def run_child(command: Sequence[str]) -> None:
    """Run a command and drop its output; raise SystemExit if it fails."""
    if code := subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {code}")


def _used() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def describe_machine(device: str = "cpu") -> dict[str, Any]:
    """Return processor, cores, memory, threads of one torch operation, GPU. No name of the machine, no paths."""
    from benchkit.runs.provenance import count_threads, get_accelerator_name, read_processor_name

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    threads = count_threads() or int(os.environ.get("OMP_NUM_THREADS", cores or 1))
    accelerator = get_accelerator_name(device)
    return {
        "processor": read_processor_name(),
        "cores": cores,
        "memory_gib": round(memory, 1),
        "threads": threads,
        "accelerator": accelerator,
        "load_before": round(os.getloadavg()[0], 1),
    }


def describe_versions() -> dict[str, Any]:
    """Return the versions of Python and of the packages that matter, and the commit of benchkit."""
    from benchkit.runs.provenance import read_git_revision

    found: dict[str, Any] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    revision = read_git_revision()
    return found | {"commit": None if revision is None else revision["commit"][:12]}


def write_result(
    name: str, rows: Sequence[Row], settings: Mapping[str, Any], machine: Mapping[str, Any], folder: Path = FOLDER
) -> Path:
    """Write the rows of one benchmark with machine, versions and date as `folder`/name.json, and print them."""
    result = {
        "schema": SCHEMA,
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": dict(machine),
        "versions": describe_versions(),
        "settings": dict(settings),
        "rows": [asdict(row) | {"ratio": row.ratio} for row in rows],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for row in rows:
        print(format_row(row), flush=True)
    return path


def read_result(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Return a result file and its rows; raise ResultFault that names the file and the remedy."""
    remedy = f"run `python benchmarks/{path.stem}.py` again, or delete the file"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ResultFault(f"{path} is not a JSON file ({error}): {remedy}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ResultFault(f"{path} does not have schema {SCHEMA}: {remedy}")
    if wrong := [key for key, kind in KEYS.items() if not isinstance(found.get(key), kind)]:
        raise ResultFault(f"{path} lacks {' and '.join(wrong)}: {remedy}")
    try:
        rows = [Row(**{key: value for key, value in row.items() if key != "ratio"}) for row in found["rows"]]
        for row in rows:
            format_row(row)
    except (TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise ResultFault(f"{path} has a row that cannot be read ({error}): {remedy}") from error
    return found, rows


def format_cells(row: Row) -> tuple[str, str, str, str]:
    """Return what was measured, what it was compared with, and the ratio with its aim, each as text."""
    cost = f"{format_number(row.cost)} {row.unit}"
    if row.other is None or row.ratio is None:
        return row.what, cost, row.against, ""
    aim = "" if row.aim is None else f" (aim ≤ {row.aim:g})"
    return row.what, cost, f"{row.against}: {format_number(row.other)}", f"{row.ratio:.2f}{aim}"


def format_row(row: Row) -> str:
    """Return a row as a line of text."""
    what, cost, other, ratio = format_cells(row)
    return f"{what:58} {cost:>22}  {other:48} {ratio}" + (f"  [{row.note}]" if row.note else "")


def format_number(value: float) -> str:
    """Return a number with three significant digits, or all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes. Use `parse`, which also sets the number of threads."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a form that takes seconds, to see that it runs")
    parser.add_argument("--turns", type=int, default=3, help="how often each thing is measured; the least counts")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; idle ones also cost processor time")
    parser.add_argument("--results", type=Path, default=FOLDER, help="the folder of the result file")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return a benchmark's arguments; set the threads of this process and of its children."""
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(asked.threads)
    return asked


def describe_settings(asked: argparse.Namespace) -> dict[str, Any]:
    """Return a benchmark's arguments, without the folder of its result."""
    return {key: value for key, value in vars(asked).items() if key != "results"}


def run_script(name: str, *arguments: str) -> None:
    """Run another benchmark; raise SystemExit if it fails."""
    command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *arguments]
    if code := subprocess.run(command).returncode:
        raise SystemExit(f"benchmarks/{name}.py ended with exit code {code}")
