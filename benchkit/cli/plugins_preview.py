"""`benchkit plugins preview`: draw what a plugin does to a few images."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, tell
from benchkit.cli.options import parse_numbers
from benchkit.cli.unused_options import note_unused
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.plugin.registry import Entry, Registry


def preview(
    target: Annotated[
        str, typer.Argument(metavar="NAME|FILE[:k=v,…]", help="A corruptor or selector, or a .py file of one.")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=A|B|C", help="Values of a parameter; one column per value; repeatable."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="0,1", help="Seeds of the noise; one column per seed.")] = "0",
    images: Annotated[int, typer.Option(metavar="N", help="Number of images; one row per image.")] = 4,
    mask: Annotated[
        str,
        typer.Option(
            metavar="box|SELECTOR", help="The region: a box in the middle, or a selector that needs no training."
        ),
    ] = "box",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="The file to write. Default: preview-NAME.png.")
    ] = None,
    dataset: Annotated[str, typer.Option(metavar="NAME[:k=v,…]", help="The dataset of the images.")] = "portraits",
    inverter: Annotated[str, typer.Option(metavar="NAME[:k=v,…]", help="The inverter.")] = "renoise",
    model: options.Checkpoint = "portraits",
    device: options.Device = "auto",
    force: options.Force = False,
    kind: Annotated[
        str | None,
        typer.Option(metavar="corruptor|selector", help="The plugin's kind, if plugins of both kinds have this name."),
    ] = None,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Draw what a plugin does to a few images: one row per image, one column per parameter value and seed."""
    from benchkit.cli.pictures import check_target, save_image
    from benchkit.functions.preview import list_specs
    from benchkit.functions.preview import preview as draw
    from benchkit.testing.targets import split_target

    name, given = split_target(target)
    entry, registry = _find(name, kind, plugin, plugin_folder)
    to = out or Path(f"preview-{entry.name}.png")
    check_target(to, "--out", force=force)
    numbers = parse_numbers("--seeds", seeds)
    _note_unused_options(entry)
    text = f"{entry.name}:{given}" if given else entry.name
    picture = draw(
        text,
        set_ or (),
        seeds=numbers,
        images=images,
        mask=mask,
        dataset=dataset,
        inverter=inverter,
        model=model,
        device=device,
        kind=entry.kind,
        plugins=registry,
        progress=tell,
    )
    save_image(to, picture, "--out")
    values = len(list_specs(text, entry.kind, set_ or ()))
    print(f"{to}: {images} images, {values} values, {len(set(numbers))} seeds")


def _find(
    target: str, kind: str | None, files: Sequence[Path] | None, folders: Sequence[Path] | None
) -> tuple[Entry, Registry]:
    """Return the plugin that a target names, and its registry; raise BenchkitError for a broken file."""
    from benchkit.cli.plugins import find_plugin

    path = Path(target)
    if path.suffix != ".py":
        registry = load_registry(files, folders)
        return find_plugin(registry, target, kind), registry
    if not path.is_file():
        raise BenchkitError(f"there is no plugin file '{target}'")
    registry = load_registry([*(files or ()), path], folders)
    entries = [e for e in registry.from_file(path) if kind in (None, e.kind)]
    if len(entries) == 1:
        return entries[0], registry
    broken, argument = registry.find_skipped(path.stem), shlex.quote(target)
    if broken is not None and not entries:
        raise BenchkitError(f"'{target}' cannot be used: {broken.reason} (see: benchkit plugins check {argument})")
    names = ", ".join(e.name for e in entries) or "none"
    raise BenchkitError(f"'{target}' has {len(entries)} plugins ({names}): name one, with --plugin {argument}")


def _note_unused_options(entry: Entry) -> None:
    """Print a note on options that do not matter for this plugin."""
    from benchkit.api import PixelCorruptor

    if entry.kind == "selector":
        note_unused({"mask", "inverter", "model"}, f"'{entry.name}' is a selector and corrupts nothing")
    if issubclass(entry.cls, PixelCorruptor):
        note_unused({"inverter"}, f"'{entry.name}' works on pixels and needs no inversion")
