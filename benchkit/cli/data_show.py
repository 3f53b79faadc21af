"""`benchkit data show`: images of a dataset with their masks, on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.api import Sample
    from benchkit.report.figures import Format
    from benchkit.report.pictures import Picture, PictureSheet

#: Default and largest number of images on a sheet.
COUNT, MOST = 16, 200
#: Images in a row of a full sheet, and characters of a line under an image.
_ACROSS, _CHARACTERS = 6, 27


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


def contact_sheet(title: str, samples: list[Sample]) -> PictureSheet:
    """Return the samples in rows, with their labels as text under each."""
    from benchkit.report.pictures import PictureSheet

    across = min(len(samples), max(4, min(_ACROSS, round(len(samples) ** 0.5))))
    pictures: list[Picture | None] = [_picture(sample) for sample in samples]
    pictures += [None] * (-len(samples) % across)
    rows = tuple(tuple(pictures[i : i + across]) for i in range(0, len(pictures), across))
    foot = "Outlined: annotated as artifact."
    if any(sample.ignored is not None for sample in samples):
        foot += " Hatched: ignored."
    return PictureSheet(title, ("",) * across, ("",) * len(rows), rows, foot)


def _picture(sample: Sample) -> Picture:
    import numpy as np

    from benchkit.report.pictures import SELECTED, Picture

    label, kinds = "no mask", ""
    if sample.mask is not None:
        label = f"{100 * np.mean(sample.mask):.1f} % annotated" if np.any(sample.mask) else "no artifact"
        kinds = ", ".join(kind for kind, mask in sample.kinds.items() if np.any(mask))
    lines = [middle_cut(sample.id), label, *_wrapped(kinds), *_wrapped(f"“{sample.caption}”" if sample.caption else "")]
    outlines = () if sample.mask is None else ((SELECTED, np.asarray(sample.mask)),)
    return Picture(sample.image, outlines, "\n".join(lines), sample.ignored)


def middle_cut(text: str) -> str:
    """Return an id that fits on a line under an image: both ends of a long id."""
    from benchkit.report.text import one_line

    shown, half = one_line(text), _CHARACTERS // 2
    return shown if len(shown) <= _CHARACTERS else f"{shown[: half - 1]}…{shown[-half:]}"


def _wrapped(text: str) -> list[str]:
    """Return text on at most two lines that fit under an image."""
    import textwrap

    from benchkit.report.text import one_line

    return textwrap.wrap(one_line(text), _CHARACTERS, max_lines=2, placeholder=" …")
