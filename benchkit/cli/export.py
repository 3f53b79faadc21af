"""`benchkit export`: the training set of a run's row for other programs, or the detector trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, log_where_it_lies
from benchkit.cli.unused_options import refuse_unused
from benchkit.functions.export import DETECTOR
from benchkit.outputs.exports import FORMATS

CHOICES = (*FORMATS, DETECTOR)


def export(
    run: options.RunName,
    row: Annotated[str, typer.Option("--row", metavar="ROW", help="The row of the board, such as human.")],
    form: Annotated[str, typer.Option("--format", metavar="|".join(CHOICES), help="The layout of the files.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    split: Annotated[str, typer.Option(metavar="NAME", help="The name of the split in the files.")] = "train",
    selector: options.SelectorOf = None,
    detector: options.DetectorOf = None,
    seed: options.SeedOf = None,
    force: options.Force = False,
    cache: options.Cache = None,
    store: options.Store = None,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Write the training set of one row of a run: images, masks, captions, and their origin.

    The images are those that the detector of the row was trained on. --format detector writes the trained detector
    instead: its weights as safetensors, and a card.
    """
    from benchkit.functions.export import export as write

    if form == DETECTOR:
        refuse_unused({"split"}, f"--format {DETECTOR} writes no images; omit it")
    log_where_it_lies(run, cache, store)
    done = write(
        run,
        out,
        row=row,
        format=form,
        split=split,
        selector=selector,
        detector=detector,
        seed=seed,
        force=force,
        cache=cache,
        store=store,
        plugins=load_registry(plugin, plugin_folder, strict),
    )
    print(f"{'detector' if done.images is None else f'{done.images} images'} of {done.row} in {out}")
