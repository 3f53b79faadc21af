"""`benchkit data`: list and show datasets, and write a dataset as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import data_list, data_show, options, prepare
from benchkit.cli.common import load_registry
from benchkit.cli.unused_options import App, note_unused
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.functions import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import ndarray

    from benchkit.api import Dataset

app = App(help="List, show, export and prepare datasets.", rich_markup_mode=None)
app.add_typer(prepare.app, name="prepare", short_help="Convert published data to a checked set.")
app.command("list", short_help="List datasets, or describe one.")(data_list.list_)
app.command("show", short_help="Draw images of a split on one sheet.")(data_show.show)


@app.command("export", short_help="Write a split as image files.")
def export(
    dataset: Annotated[str, typer.Argument(metavar="NAME[:k=v,…]", help="The dataset.")],
    split: Annotated[str, typer.Option(metavar="NAME", help="The split.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Write only the first N samples.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write the images without the autoencoder pass.")] = False,
    model: options.Checkpoint = "portraits",
    device: options.Device = "auto",
    force: options.Force = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Write a split as images, masks, masks by kind, a manifest and a card.

    The images pass the checkpoint's autoencoder once, as in a comparison, unless a generator has decoded them before.
    """
    from benchkit.api import Dataset
    from benchkit.outputs.exports.dataset import MANIFEST, ROOMS, Export
    from benchkit.specs.spec import Spec
    from benchkit.system.output_files import check_folder, replace_folder

    check_folder(out, force, MANIFEST)
    spec = Spec.parse("dataset", dataset)
    registry = load_registry(plugin, plugin_folder, strict)
    source = registry.make(spec, Dataset)  # type: ignore[type-abstract]
    size = checked_size(dataset, source, split, count)
    if raw:
        note_unused({"model", "device"}, "with --raw no image passes a checkpoint")
    if not source.autoencode:
        note_unused({"raw", "model", "device"}, f"the images of '{dataset}' never pass the autoencoder")
    with replace_folder(out, force, MANIFEST, lambda: ROOMS) as folder:
        passed = load_autoencoder(model, device) if source.autoencode and not raw else None
        writing = Export(source, dataset, split, size, folder, None if passed is None else passed[0])
        with progress.shown() as screen:
            screen.start(size)
            for _ in writing.run(None if passed is None else passed[1]):
                screen.advance()
                screen.note(f"export {split}")
    print(f"{size} images of {dataset}/{split} in {out}")


def checked_size(name: str, source: Dataset, split: str, count: int | None) -> int:
    """Return the number of samples to use; raise BenchkitError for an unknown split, or if it has fewer."""
    sizes = source.splits()
    if split not in sizes:
        raise BenchkitError(f"dataset '{name}': {UnknownNameError('split', split, sizes)}")
    if count is not None and count > sizes[split]:
        raise BenchkitError(f"--count {count}: split '{split}' of '{name}' has {sizes[split]} samples")
    return count or sizes[split]


def load_autoencoder(model: str, device: str) -> tuple[str, Callable[[ndarray], ndarray]]:
    """Return the checkpoint's identity, and a function of images (N, H, W, 3) uint8: one autoencoder pass."""
    from benchkit.functions.steps import load_model
    from benchkit.inference.images import image_tensor
    from benchkit.stages.images import to_uint8

    loaded = load_model(model, device=device)
    return loaded.identity, lambda images: to_uint8(loaded.autoencode(image_tensor(images, loaded.factor)))
