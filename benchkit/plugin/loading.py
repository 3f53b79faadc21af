"""Import plugins: a module, a package's modules, a single file; find their hooks; digest their source."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pluggy

from benchkit import api
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.system.paths import resolve_links

GROUP = "benchkit"
HOOKS: dict[str, type[api.Plugin]] = {
    "benchkit_corruptors": api.Corruptor,
    "benchkit_selectors": api.RegionSelector,
    "benchkit_detectors": api.Detector,
    "benchkit_inverters": api.Inverter,
    "benchkit_datasets": api.Dataset,
}

_NAMED = (ast.Name, ast.Attribute)
#: Functions that import a module by a name that may be computed.
_IMPORTERS = ("import_module", "__import__", "spec_from_file_location")


def hooks_of(module: ModuleType) -> list[str]:
    """Return the hooks that a module implements; raise UnknownNameError for one that benchkit does not have."""
    manager = pluggy.PluginManager(GROUP)
    options = {name: manager.parse_hookimpl_opts(module, name) for name in dir(module)}
    hooks = {one.get("specname") or name: one for name, one in options.items() if one is not None}
    for hook, one in hooks.items():
        if hook not in HOOKS and not one.get("optionalhook"):
            raise UnknownNameError("hook", hook, HOOKS)
    return [hook for hook in hooks if hook in HOOKS]


def classes_of(module: ModuleType) -> list[tuple[type[api.Plugin], type[api.Plugin]]]:
    """Return the plugin classes that a module itself defines, each with the base class of its kind.

    Imported classes, private ones and abstract ones without a name (bases of others) are not among them.
    """
    found: list[tuple[type[api.Plugin], type[api.Plugin]]] = []
    for cls in dict.fromkeys(v for v in vars(module).values() if inspect.isclass(v) and issubclass(v, api.Plugin)):
        base = next((base for base in HOOKS.values() if issubclass(cls, base)), None)
        is_base = inspect.isabstract(cls) and not hasattr(cls, "name")
        if base is not None and cls.__module__ == module.__name__ and not cls.__name__.startswith("_") and not is_base:
            found.append((cls, base))
    return found


def import_file(path: Path) -> ModuleType:
    """Import one .py file under a name of its own, outside of sys.path."""
    unique = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"benchkit_file_{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{unique}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BenchkitError(f"'{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder is the user's
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.dont_write_bytecode = writes
    return module


def modules_of(module: ModuleType) -> Iterator[str]:
    """Yield a module's name, or for a package every module in it; names with a leading underscore are skipped."""
    yield module.__name__
    paths: Sequence[str] = getattr(module, "__path__", ())
    for info in pkgutil.iter_modules(paths, module.__name__ + "."):
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        if info.ispkg:
            package = importlib.import_module(info.name)
            yield from modules_of(package)
        else:
            yield info.name


def module_file(module: str | EntryPoint) -> Path | None:
    """Return the file of a module or entry point that could not be imported; None if there is none."""
    try:
        spec = importlib.util.find_spec(module if isinstance(module, str) else module.module)
    except Exception:
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def source_hash(path: Path, has_helpers: bool) -> str:
    """Return the sha256 of a plugin's file; if it imports files beside it, of all their sha256 together."""
    helpers = imported_beside(path) if has_helpers else []
    if not helpers:  # what `sha256sum FILE` prints: messages and boards show it
        return hashlib.sha256(path.read_bytes()).hexdigest()
    total = hashlib.sha256()
    for file in (path, *helpers):
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def imported_beside(path: Path) -> list[Path]:
    """Return the files in the folder of `path` that it imports, directly or through each other, sorted.

    Found by reading the code, not by running it: every import statement counts, wherever it stands. If a file imports
    by a name that is computed, all private helpers (`_*.py`) of the folder are returned besides.
    """
    beside = {file.stem: file for file in path.parent.glob("*.py") if file.name != "__init__.py"}
    found: set[Path] = {path}
    pending = [path]
    while pending:
        code = pending.pop().read_bytes()
        new = "|".join(re.escape(name) for name, file in beside.items() if file not in found)
        if code.isascii() and not re.search(rf"\b({new}|{'|'.join(_IMPORTERS)})\b".encode(), code):
            continue  # a file that is not named in the code is not imported; parsing takes ten times as long
        names, computes = _imported_names(code)
        wanted = {beside[name] for name in names & beside.keys()}
        if computes:
            wanted |= {file for name, file in beside.items() if name.startswith("_")}
        pending += sorted(wanted - found)
        found |= wanted
    return sorted(found - {path})


@cache
def _imported_names(code: bytes) -> tuple[frozenset[str], bool]:
    """Return every part of every name that a file imports, and whether it imports by names that it computes.

    Remembered by the file's content, because many plugins import the same helpers.
    """
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError):
        return frozenset(), True
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {part for alias in node.names for part in alias.name.split(".")}
    called = {node.id if isinstance(node, ast.Name) else node.attr for node in nodes if isinstance(node, _NAMED)}
    return frozenset(names), not called.isdisjoint(_IMPORTERS)


def place_of(error: BaseException, file: Path) -> str | None:
    """Return where in `file` an exception, or its cause, was raised: `NAME.py:LINE: CODE`.

    None where no line of the file is in the traceback.
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if resolve_links(f.filename) == resolve_links(file)]
    if frames:
        return f"{file.name}:{frames[-1].lineno}: {frames[-1].line or ''}".rstrip(": ")
    return None if error.__cause__ is None else place_of(error.__cause__, file)
