"""`benchkit data show`: images of a dataset with their masks, on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.report.figures import Format

#: Default and largest number of images on a sheet.
COUNT, MOST = 16, 200


def show(
    dataset: Annotated[str, typer.Argument(metavar="NAME[:k=v,…]", help="The dataset, such as folder:root=shots.")],
    split: Annotated[str, typer.Option(metavar="NAME", help="The split.")],
    out: Annotated[Path, typer.Option(metavar="SHEET.png", help="The file to write: .png, .svg or .pdf.")],
    count: Annotated[
        int | None, typer.Option(min=1, max=MOST, metavar="N", help=f"Show the first N images. Default: {COUNT}.")
    ] = None,
    force: options.Force = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Draw the first images of a split on one sheet, as the dataset returns them.

    Masks are outlined and ignored pixels are hatched. Under each image: its id, its kinds of artifact, its caption.
    """
    from benchkit.api import Dataset
    from benchkit.cli.data import checked_size
    from benchkit.cli.pictures import check_target
    from benchkit.plugin.samples import read_samples
    from benchkit.report.contact_sheet import contact_sheet
    from benchkit.report.pictures import FORMS, draw_pictures
    from benchkit.specs.spec import Spec
    from benchkit.system.output_files import write_file

    form = out.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise BenchkitError(f"--out '{out}': name a file that ends in .{', .'.join(FORMS)}")
    check_target(out, "--out", force=force, image=False)
    registry = load_registry(plugin, plugin_folder, strict)
    source = registry.make(Spec.parse("dataset", dataset), Dataset)  # type: ignore[type-abstract]
    size = checked_size(dataset, source, split, count)
    wanted = min(size, COUNT) if count is None else count
    samples = read_samples(source, split, range(wanted))
    held = f"{wanted} of {source.splits()[split]:,} images"
    write_file(out, draw_pictures(contact_sheet(f"{dataset}, {split}: {held}", samples), cast("Format", form)))
    print(f"{wanted} images of {dataset}/{split} in {out}")
