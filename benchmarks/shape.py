"""Print the shape of the code: rooms, levels, imports between rooms, sizes of files and functions, lines.

A room is a package below `benchkit/`, a loose module beside those packages, or a folder of `plugins/`. The level of a
room is the length of the longest chain of imports that starts there; rooms that import each other in a circle share a
level and are listed. Imports inside functions count; imports for type checkers alone do not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parent.parent
#: Folder -> the name that its modules are imported by.
SOURCES = {"benchkit": "benchkit", "plugins": "benchkit_plugins"}


def main() -> None:
    """Print one figure a line."""
    modules = {name: file for folder, top in SOURCES.items() for name, file in find_modules(ROOT / folder, top)}
    arrows = {(room_of(a), room_of(b)) for a, file in modules.items() for b in read_imports(a, file, modules)}
    arrows = {(a, b) for a, b in arrows if a != b}
    rooms = {room_of(name) for name in modules} - {"benchkit", "benchkit_plugins"}
    circles = find_circles(rooms, arrows)
    loose = [file for file in sorted((ROOT / "benchkit").glob("*.py")) if file.stem != "__init__"]
    files = [len(file.read_text(encoding="utf-8").splitlines()) for file in modules.values()]
    functions = [length for file in modules.values() for length in measure_functions(file)]
    tests = [len(f.read_text(encoding="utf-8").splitlines()) for f in (ROOT / "tests").rglob("*.py")]
    print(f"rooms                                {len(rooms)}")
    print(f"modules beside the packages          {len(loose)}")
    print(f"levels                               {count_levels(rooms, arrows, circles)}")
    print(f"imports between rooms                {len(arrows)}")
    print(f"circles of rooms                     {len(circles)}  {'; '.join(' '.join(sorted(c)) for c in circles)}")
    print(f"files: lines, median and 95 %        {median(files):.0f}, {quantiles(files, n=20)[-1]:.0f}")
    print(f"functions: lines, median and 95 %    {median(functions):.0f}, {quantiles(functions, n=20)[-1]:.0f}")
    print(f"lines of source                      {sum(files):,} in {len(files)} files")
    print(f"lines of tests                       {sum(tests):,} in {len(tests)} files")


def find_modules(folder: Path, top: str) -> Iterator[tuple[str, Path]]:
    """Yield every module's dotted name and file."""
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        yield ".".join((top, *(part for part in parts if part != "__init__"))), file


def room_of(module: str) -> str:
    """Return the first two names of a module: its package, or the loose module itself."""
    return ".".join(module.split(".")[:2])


def read_imports(name: str, file: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of ours that a file imports at run time."""
    for node in walk_runtime(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules or node.module in modules:
                    yield inner if inner in modules else node.module


def walk_runtime(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node below this one, without the bodies of `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from walk_runtime(child)


def reach(start: str, arrows: set[tuple[str, str]]) -> set[str]:
    """Return every room that can be reached from one."""
    found: set[str] = set()
    left = [start]
    while left:
        here = left.pop()
        new = {b for a, b in arrows if a == here} - found
        found |= new
        left += new
    return found


def find_circles(rooms: set[str], arrows: set[tuple[str, str]]) -> list[frozenset[str]]:
    """Return the sets of rooms that import each other, directly or through others."""
    reached = {room: reach(room, arrows) for room in rooms}
    circles = {frozenset(b for b in reached[a] if a in reached.get(b, ())) for a in rooms if a in reached[a]}
    return sorted(circles, key=sorted)


def count_levels(rooms: set[str], arrows: set[tuple[str, str]], circles: list[frozenset[str]]) -> int:
    """Return the number of rooms on the longest chain of imports, a circle counted as one room."""
    joined = {room: min(circle) for circle in circles for room in circle}
    graph: dict[str, set[str]] = {joined.get(room, room): set() for room in rooms}
    for a, b in arrows:
        start, end = joined.get(a, a), joined.get(b, b)
        if start != end and start in graph and end in graph:
            graph[start].add(end)
    level: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        level[room] = 1 + max((level[below] for below in graph[room]), default=0)
    return max(level.values())


def measure_functions(file: Path) -> Iterator[int]:
    """Yield the number of lines of every function."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


if __name__ == "__main__":
    sys.exit(main())
