"""`benchkit doctor`: what is installed, what is missing, and how to install it."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import typer

from benchkit.cli import options
from benchkit.cli.common import cache_root, console, load_registry, print_json
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.plugin.registry import Registry
    from benchkit.store.location import Location

DISTRIBUTION = "artifact-benchkit"
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def doctor(
    cache: options.Cache = None,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Check the installation: packages, devices, cache, plugins and checkpoints.

    Exit code 1: something that benchkit needs is missing.
    """
    registry = load_registry(plugin, plugin_folder)
    facts, problems = examine(registry, cache_root(cache))
    if as_json:
        print_json({**facts, "problems": problems})
    else:
        _print(facts, problems)
    if problems:
        raise typer.Exit(1)


def examine(registry: Registry, cache: Location) -> tuple[dict[str, Any], list[str]]:
    """Return facts about the installation as plain data, and a line with a remedy for each problem."""
    from benchkit.plugin.registry import why_unavailable

    packages, problems = _packages()
    devices, broken_torch = _devices() if packages.get("torch") else ({}, [])
    folder, cache_problems = _cache(cache)
    assets, missing_assets = _assets(registry)
    facts = {
        "benchkit": packages.pop(DISTRIBUTION, None),
        "python": sys.version.split()[0],
        "packages": packages,
        "cores": len(os.sched_getaffinity(0)),
        "threads": devices.pop("threads", None),
        "devices": devices,
        "cache": folder,
        "plugins": {f"{entry.kind} {entry.name}": _state(why_unavailable(entry.cls)) for entry in registry.entries()},
        "broken_plugins": [f"{b.name} ({b.origin}): {b.reason}" for b in registry.broken],
        "checkpoints": assets,
    }
    return facts, [*problems, *broken_torch, *cache_problems, *missing_assets]


def _state(unavailable: str | None) -> str:
    return "ready" if unavailable is None else f"cannot run here: {unavailable}"


def _packages() -> tuple[dict[str, str | None], list[str]]:
    """Return the installed versions of all required packages, and a line for each missing or wrong one."""
    from importlib.metadata import PackageNotFoundError, requires, version

    try:
        wanted = requires(DISTRIBUTION) or []
        found: dict[str, str | None] = {DISTRIBUTION: version(DISTRIBUTION)}
    except PackageNotFoundError:
        return {DISTRIBUTION: None}, [f"{DISTRIBUTION} is not installed: pip install ."]
    problems = []
    for text in wanted:
        if "extra ==" in text:
            continue
        requirement = text.partition(";")[0].strip()
        name = _REQUIREMENT.match(requirement)[0]  # type: ignore[index]
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
            problems.append(f"package {name} is missing: pip install '{requirement}'")
            continue
        if not _satisfied(requirement, str(found[name])):
            problems.append(f"package {name} is {found[name]}, needed is {requirement}: pip install '{requirement}'")
    return found, problems


def _satisfied(requirement: str, installed: str) -> bool:
    try:
        from packaging.requirements import Requirement
    except ImportError:  # other required packages install it; it is missing if they are
        return True
    return Requirement(requirement).specifier.contains(installed, prereleases=True)


def _devices() -> tuple[dict[str, Any], list[str]]:
    """Return the devices that torch can use; a problem if torch cannot be imported."""
    try:
        import torch
    except Exception as error:
        reason = " ".join(str(error).split())
        return {}, [f"torch cannot be imported ({type(error).__name__}: {reason}): pip install --force-reinstall torch"]
    devices: dict[str, Any] = {"cpu": "yes", "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(i).total_memory / 2**30
            devices[f"cuda:{i}"] = f"{torch.cuda.get_device_name(i)}, {memory:.0f} GiB"
    else:
        devices["cuda"] = "no device" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
    if torch.backends.mps.is_available():
        devices["mps"] = "yes"
    return devices, []


def _cache(root: Location) -> tuple[dict[str, Any], list[str]]:
    """Return the cache's size and whether this version can read and write it; create nothing."""
    from benchkit.store.location import CacheUrl
    from benchkit.store.opening import is_cache, open_store

    if isinstance(root, CacheUrl):
        try:
            exists = is_cache(root)
        except BenchkitError as error:
            return {"folder": str(root), "exists": False, "writable": False}, [str(error)]
        return {"folder": str(root), "exists": exists, "writable": True}, []
    facts: dict[str, Any] = {"folder": str(root), "exists": root.is_dir()}
    nearest = next((folder for folder in (root, *root.absolute().parents) if folder.exists()), root)
    facts["writable"] = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    if not facts["writable"]:
        return facts, [f"the cache {root} cannot be written: set BENCHKIT_CACHE to a folder that you can write"]
    try:
        store = open_store(root, create=False)
        sizes = [artifact.size for artifact in store.ls()]
    except BenchkitError as error:
        return facts, [str(error)]
    return {**facts, "artifacts": len(sizes), "bytes": sum(sizes)}, []


def _assets(registry: Registry) -> tuple[dict[str, str], list[str]]:
    """Return the checkpoints that ship with the package, and a problem for each missing one."""
    from benchkit.diffusion import checkpoint

    found: dict[str, str] = {}
    problems = []
    for name in sorted({"portraits", *checkpoint.list_embedded()}):
        try:
            found[name] = checkpoint.find(name).identity
        except BenchkitError as error:
            found[name] = "missing"
            problems.append(f"embedded checkpoint '{name}' ({error}): reinstall with pip install --force-reinstall .")
    return found, problems


def _print(facts: dict[str, Any], problems: list[str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _lines(facts):
        table.add_row(Text(name), Text(value))
    screen = console()
    screen.print(table)
    for problem in problems:
        screen.print(Text(f"missing: {problem}"))
    screen.print(
        "something that benchkit needs is missing" if problems else "everything that benchkit needs is installed"
    )


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    cache = facts["cache"]
    size = f", {cache['artifacts']} finished stages, {cache['bytes'] / 2**20:.1f} MiB" if "bytes" in cache else ""
    words = "writable" if cache["writable"] else "not writable"
    lines = [
        ("benchkit", f"{facts['benchkit'] or 'not installed'}, python {facts['python']}"),
        ("packages", ", ".join(f"{name} {version or 'missing'}" for name, version in facts["packages"].items())),
        ("cores", f"{facts['cores']}, torch uses {facts['threads'] or '?'} threads"),
        ("devices", ", ".join(f"{name}: {value}" for name, value in facts["devices"].items())),
        ("cache", f"{cache['folder']} ({words if cache['exists'] else f'not made yet, {words}'}{size})"),
        ("checkpoints", ", ".join(f"{name} {state[:12]}" for name, state in facts["checkpoints"].items())),
    ]
    for name, state in facts["plugins"].items():
        lines += [("plugin", f"{name}: {state}")] if state != "ready" else []
    ready = [name for name, state in facts["plugins"].items() if state == "ready"]
    lines.append(("plugins", ", ".join(ready)))
    return [*lines, *(("skipped", text) for text in facts["broken_plugins"])]
