"""`benchkit data`: which datasets there are, and a dataset as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import data_list, data_show, options, prepare, progress
from benchkit.cli.common import load_registry
from benchkit.cli.given import App, note_unused
from benchkit.errors import BenchkitError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import ndarray

    from benchkit.api import Dataset

app = App(help="Datasets.", rich_markup_mode=None)
app.add_typer(prepare.app, name="prepare", short_help="Write a dataset's own files as one checked set.")


app.command("list")(data_list.list_)
app.command("show")(data_show.show)


@app.command("export")
def export(
    dataset: Annotated[str, typer.Argument(metavar="NAME[:k=v,…]", help="The dataset.")],
    split: Annotated[str, typer.Option(metavar="NAME", help="The split.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first so many samples.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The dataset's images as they are, no autoencoder pass.")] = False,
    model: options.Checkpoint = "portraits",
    device: options.Device = "auto",
    force: options.Force = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Write a split as images, masks, masks by kind, a manifest and a card.

    Images of a dataset that no generator has decoded pass the checkpoint's autoencoder once, as in a comparison.
    """
    from benchkit.api import Dataset
    from benchkit.cli.export import MANIFEST, ROOMS, Export
    from benchkit.specs.spec import Spec
    from benchkit.system.output_files import check_folder, replace_folder

    check_folder(out, force, MANIFEST)
    spec = Spec.parse("dataset", dataset)
    registry = load_registry(plugin, plugin_folder, strict)
    source = registry.make(spec, Dataset)  # type: ignore[type-abstract]
    size = checked_size(dataset, source, split, count)
    if raw:
        note_unused({"model", "device"}, "--raw passes no image through a checkpoint")
    if not source.autoencode:
        note_unused({"raw", "model", "device"}, f"the images of '{dataset}' are taken as they are anyway")
    with replace_folder(out, force, MANIFEST, lambda: ROOMS) as folder:
        passed = _autoencoder(model, device) if source.autoencode and not raw else None
        writing = Export(source, dataset, split, size, folder, None if passed is None else passed[0])
        with progress.shown() as screen:
            screen.start(size)
            for _ in writing.run(None if passed is None else passed[1]):
                screen.advance()
                screen.note(f"export {split}")
    print(f"{size} images of {dataset}/{split} in {out}")


def checked_size(name: str, source: Dataset, split: str, count: int | None) -> int:
    """How many samples are wanted; raises BenchkitError for an unknown split or more than it has."""
    sizes = source.splits()
    if split not in sizes:
        raise BenchkitError(f"dataset '{name}': {UnknownNameError('split', split, sizes)}")
    if count is not None and count > sizes[split]:
        raise BenchkitError(f"--count {count}: split '{split}' of '{name}' has {sizes[split]} samples")
    return count or sizes[split]


def _autoencoder(model: str, device: str) -> tuple[str, Callable[[ndarray], ndarray]]:
    """The checkpoint's identity, and (N, H, W, 3) uint8 -> the same after one pass."""
    from benchkit.inference.functional import image_tensor, load_backend
    from benchkit.stages.images import to_tensor, to_uint8

    backend = load_backend(model, device)
    return backend.identity, lambda images: to_uint8(
        backend.autoencode(image_tensor(to_tensor(images), backend.factor))
    )
