"""`benchkit figure`: the paper's figures of corrupted images, drawn from a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, log_where_it_lies
from benchkit.cli.options import parse_numbers
from benchkit.cli.unused_options import note_unused, refuse_unused
from benchkit.errors import BenchkitError

Row = Annotated[
    str | None, typer.Option("--row", metavar="ROW", help="The row of the board to show. Default: see above.")
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="png,svg,pdf", help="One or more file formats. Default: the suffix of --out, else png."
    ),
]
StepList = Annotated[
    str | None,
    typer.Option(
        "--steps", metavar="5,10,20", help="Numbers of inversion steps in figure 6. Default: 5,10,20,30,40,50."
    ),
]


def figure(
    number: Annotated[int, typer.Argument(min=4, max=8, metavar="4|5|6|7|8", help="The number of the paper's figure.")],
    run: options.RunName,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write. Default: figure-4.png for figure 4, and so on."),
    ] = None,
    form: Formats = None,
    count: Annotated[
        int | None, typer.Option(min=1, max=50, metavar="N", help="Number of images. Default: 3 to 6, by figure.")
    ] = None,
    steps: StepList = None,
    row: Row = None,
    selector: options.SelectorOf = None,
    detector: options.DetectorOf = None,
    seed: options.SeedOf = None,
    force: options.Force = False,
    device: options.Device = "auto",
    cache: options.Cache = None,
    store: options.Store = None,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Draw one of the paper's figures with images of a run.

    4: images before and after corruption, with the selected regions. 5: all methods on the same images. 6: several
    numbers of inversion steps; these images are computed now. 7: corruption of the image latent against corruption
    after more steps. 8: selected regions that hardly changed. Figures 4, 6 and 8 show the first method of the run that
    changes images, unless --row names another.
    """
    from benchkit.functions.figure import figure as draw

    if number != 6:
        refuse_unused({"steps"}, f"only figure 6 has steps; omit it for figure {number}")
        note_unused({"device"}, "only figure 6 computes anything")
    if form is not None and "|" in form:
        raise BenchkitError(f"--format '{form}': formats are separated by commas: {form.replace('|', ',')}")
    log_where_it_lies(run, cache, store)
    drawn = draw(
        number,
        run,
        out=out or Path(f"figure-{number}.png"),
        formats=None if form is None else form.split(","),
        count=count,
        steps=None if steps is None else parse_numbers("--steps", steps),
        row=row,
        selector=selector,
        detector=detector,
        seed=seed,
        force=force,
        device=device,
        cache=cache,
        store=store,
        plugins=load_registry(plugin, plugin_folder, strict),
    )
    for path in drawn.files:
        print(path)
