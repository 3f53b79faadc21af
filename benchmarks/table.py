"""Print the table of the performance benchmarks from their results; `make bench` runs them first.

    python benchmarks/table.py [--run] [--small] [--details] [--results FOLDER] [--turns N]

With --run, each script of SCRIPTS measures anew, one after another, with one thread: about half an hour of one core.
Without it the table shows the files in benchmarks/results/, also those of other scripts. --details adds the tables of
DETAILS. The last column is the ratio of both costs; below 1 means cheaper than what it is compared with.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from _record import ResultFault, Row, format_cells, make_parser, parse, read_result, run_script

#: The scripts that `make bench` runs, in the order of the table.
SCRIPTS = ("startup", "networks", "diffusers_peer", "paper_grid", "sampling", "training", "growth", "memory")
#: Results that have a table of their own.
DETAILS = ("growth", "memory", "quick_profile")
HEADER = ("what", "measured", "peer or before", "ratio")


def read_results(folder: Path) -> list[tuple[dict[str, Any], list[Row]]]:
    """Return all results of a folder, in the order of SCRIPTS; raise ResultFault for a file that cannot be read."""
    paths = sorted(folder.glob("*.json"), key=lambda path: (_place(path.stem), path.stem))
    if not paths:
        raise ResultFault(f"no results in {folder}: run `make bench`, or a script of benchmarks/")
    return [read_result(path) for path in paths]


def _place(name: str) -> int:
    return SCRIPTS.index(name) if name in SCRIPTS else len(SCRIPTS)


def format_table(results: list[tuple[dict[str, Any], list[Row]]]) -> str:
    """Return results as Markdown: a table, and below it where and with what each was measured."""
    lines = [f"| {' | '.join(HEADER)} |", "|---|--:|--:|--:|"]
    notes: dict[str, list[str]] = {}
    for result, rows in results:
        lines += [f"| {' | '.join(format_cells(row))} |" for row in rows]
        notes.setdefault(_describe(result), []).append(result["benchmark"])
    return "\n".join([*lines, "", *(f"{', '.join(names)}: {text}." for text, names in notes.items())])


def _describe(result: dict[str, Any]) -> str:
    """Return where, with what and when a result was measured."""
    machine, versions = result["machine"], result["versions"]
    parts = [
        machine.get("accelerator") or machine.get("processor"),
        f"{machine.get('cores')} cores, {machine.get('threads')} of them used by torch",
        f"{machine.get('memory_gib')} GiB",
        *(f"{name} {versions[name]}" for name in ("python", "torch", "diffusers", "numpy") if name in versions),
        f"benchkit {versions.get('artifact-benchkit')} at {versions.get('commit')}",
        result["date"],
    ]
    return ", ".join(str(part) for part in parts)


def main() -> int:
    """Print the table; return 1 if a result cannot be read."""
    parser = make_parser(__doc__)
    parser.add_argument("--run", action="store_true", help="measure first")
    parser.add_argument("--details", action="store_true", help="also print the tables of growth, memory and profile")
    asked = parse(parser)
    if asked.run:
        small = ["--small"] if asked.small else []
        for name in SCRIPTS:
            print(f"{name}.py", flush=True)
            run_script(name, *small, "--turns", str(asked.turns), "--results", str(asked.results))
    try:
        results = read_results(asked.results)
    except ResultFault as fault:
        print(fault, file=sys.stderr)
        return 1
    print(format_table([one for one in results if one[0]["benchmark"] not in DETAILS]))
    for one in results:
        if one[0]["benchmark"] in DETAILS and (asked.details or asked.run):
            print(f"\n{one[0]['benchmark']}\n\n{format_table([one])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
