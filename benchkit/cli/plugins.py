"""`benchkit plugins`: list all plugins, or show one with its parameters."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchkit.cli import options, plugins_check, plugins_new, plugins_preview
from benchkit.cli.common import console, load_registry, print_json
from benchkit.cli.unused_options import App
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.specs.grammar import print_value

if TYPE_CHECKING:
    from benchkit.plugin.registry import Broken, Entry, Registry

app = App(
    help="List, show, write, check and preview plugins: corruptors, selectors, detectors, inverters, datasets.",
    rich_markup_mode=None,
)
app.command("new", short_help="Write a new plugin, as a file or a package.")(plugins_new.new)
app.command("check", short_help="Check that a plugin keeps its contract.")(plugins_check.check)
app.command("preview", short_help="Draw what a corruptor or selector does.")(plugins_preview.preview)


@app.command("list")
def list_(
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """List all plugins, and the skipped ones with the reason."""
    from benchkit.plugin.description import describe

    registry = load_registry(plugin, plugin_folder, strict)
    if as_json:
        plugins = [describe(entry) for entry in registry.entries()]
        print_json({"plugins": plugins, "broken": [_broken(broken) for broken in registry.broken]})
        return
    _print_list(registry)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin's name.")],
    kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="The plugin's kind; needed if plugins of several kinds have this name."),
    ] = None,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Show one plugin: what it does, its parameters, where it comes from."""
    from benchkit.plugin.description import describe

    entry = find_plugin(load_registry(plugin, plugin_folder, strict), name, kind)
    facts = describe(entry)
    if as_json:
        print_json(facts)
    else:
        _print_one(facts)


def find_plugin(registry: Registry, name: str, kind: str | None) -> Entry:
    """Return the plugin of this name; raise BenchkitError if there is none, or several of different kinds."""
    from benchkit.plugin.registry import KINDS

    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of plugin", kind, KINDS)
    if kind is not None:
        return registry.entry(kind, name)
    matches = [entry for entry in registry.entries() if entry.name == name]
    if len(matches) > 1:
        kinds = " or ".join(f"--kind {entry.kind}" for entry in matches)
        raise BenchkitError(f"several plugins are called '{name}': add {kinds}")
    if not matches:
        for broken in registry.broken:
            if name in (broken.name, broken.name.rpartition(".")[2].replace("_", "-")):
                raise BenchkitError(f"plugin '{name}' ({broken.origin}) was skipped: {broken.reason}")
        raise UnknownNameError("plugin", name, {entry.name for entry in registry.entries()})
    return matches[0]


def _broken(broken: Broken) -> dict[str, str]:
    return {"name": broken.name, "origin": broken.origin, "reason": broken.reason}


def _print_list(registry: Registry) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from benchkit.plugin.description import parameters_of

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("kind", "name", "parameters", "origin", "what it does"):
        table.add_column(header, overflow="fold")
    last = None
    for entry in registry.entries():
        if last not in (None, entry.kind):
            table.add_section()
        names = ", ".join(f"{p['name']}={print_value(p['default'])}" for p in parameters_of(entry.cls))
        first = inspect.cleandoc(entry.cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        kind = "" if entry.kind == last else entry.kind
        table.add_row(*map(Text, (kind, entry.name, names, _origin(entry.origin, entry.version), first)))
        last = entry.kind
    screen = console()
    screen.print(table)
    for broken in registry.broken:
        screen.print(Text(f"skipped: {broken.name} ({broken.origin}): {broken.reason}"))


def _print_one(facts: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    screen = console()
    screen.print(Text(f"{facts['kind']} {facts['name']}", style="bold"))
    screen.print(Text(facts["doc"]))
    if facts["parameters"]:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for header in ("parameter", "type", "default", "range", "meaning"):
            table.add_column(header, overflow="fold")
        for one in facts["parameters"]:
            cells = (one["name"], one["type"], print_value(one["default"]), one["range"] or "any", one["doc"])
            table.add_row(*map(Text, cells))
        screen.print(table)
    else:
        screen.print("no parameters")
    screen.print(Text(f"origin: {_origin(facts['origin'], facts['version'])}"))
    screen.print(Text(f"source: sha256 {facts['source_hash']}"))
    if facts["unavailable"]:
        screen.print(Text(f"cannot run here: {facts['unavailable']}"))


def _origin(origin: str, version: str | None) -> str:
    return f"{origin} {version}" if version else origin
