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
    from PIL.Image import Image

    from benchkit.outputs.plugin_preview import Column
    from benchkit.plugin.registry import Entry, Registry
    from benchkit.specs.spec import Spec

_GAP, _HEADING = 4, 14


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
    from benchkit.outputs.plugin_preview import PreviewRequest, make_columns
    from benchkit.system.devices import resolve_device
    from benchkit.testing.targets import split_target

    name, given = split_target(target)
    entry, registry = _find(name, kind, plugin, plugin_folder)
    to = out or Path(f"preview-{entry.name}.png")
    check_target(to, "--out", force=force)
    given_seeds = parse_numbers("--seeds", seeds)
    numbers = tuple(dict.fromkeys(given_seeds))
    if len(numbers) < len(given_seeds):
        tell(f"note: --seeds {seeds}: a seed that is given twice is shown once")
    specs = _specs(entry, given, set_ or ())
    _note_unused_options(entry)
    resolved = resolve_device(device)
    request = PreviewRequest(specs, numbers, images, mask, dataset, inverter, model, resolved)
    save_image(to, sheet(make_columns(registry, request, tell)), "--out")
    print(f"{to}: {images} images, {len(specs)} values, {len(numbers)} seeds")


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


def _specs(entry: Entry, given: str, settings: Sequence[str]) -> tuple[Spec, ...]:
    """Return the plugin's Specs: the parameters of TARGET with every value of --set."""
    from benchkit.specs.spec import Spec

    for text in settings:
        if "=" not in text:
            raise BenchkitError(f"--set '{text}': write KEY=VALUE or KEY=VALUE|VALUE")
    items = [given, *settings] if given else settings
    return Spec.parse_all(entry.kind, f"{entry.name}:{','.join(items)}" if items else entry.name)


def _note_unused_options(entry: Entry) -> None:
    """Print a note on options that do not matter for this plugin."""
    from benchkit.api import PixelCorruptor

    if entry.kind == "selector":
        note_unused({"mask", "inverter", "model"}, f"'{entry.name}' is a selector and corrupts nothing")
    if issubclass(entry.cls, PixelCorruptor):
        note_unused({"inverter"}, f"'{entry.name}' works on pixels and needs no inversion")


def sheet(columns: Sequence[Column]) -> Image:
    """Return one image of all columns, each under its heading."""
    from PIL import Image, ImageDraw, ImageFont

    times = max(1, 128 // columns[0].images[0].shape[1])
    height, width = (times * side for side in columns[0].images[0].shape[:2])
    top = _HEADING * max(column.heading.count("\n") + 1 for column in columns) + _GAP
    rows = len(columns[0].images)
    whole = Image.new("RGB", (len(columns) * (width + _GAP) + _GAP, top + rows * (height + _GAP)), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(11)
    for i, column in enumerate(columns):
        left = _GAP + i * (width + _GAP)
        for n, line in enumerate(column.heading.split("\n")):
            draw.text((left, _GAP // 2 + n * _HEADING), line, fill="black", font=font)
        for row, pixels in enumerate(column.images):
            picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
            whole.paste(picture, (left, top + row * (height + _GAP)))
    return whole
