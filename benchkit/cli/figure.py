"""`benchkit figure`: the paper's figures of corrupted images, with a run's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, places_named, tell
from benchkit.cli.given import note_unused, refuse_unused
from benchkit.cli.options import parse_numbers
from benchkit.errors import BenchkitError, UnknownNameError

Row = Annotated[str | None, typer.Option("--row", metavar="ROW", help="The row of the board; default: see above.")]
Formats = Annotated[
    str | None, typer.Option("--format", metavar="png,svg,pdf", help="Default: FILE's ending, else png.")
]
StepList = Annotated[
    str | None, typer.Option("--steps", metavar="5,10,20", help="Of figure 6; default 5, 10, 20, 30, 40, 50.")
]


def figure(
    number: Annotated[int, typer.Argument(min=4, max=8, metavar="4|5|6|7|8", help="The paper's figure.")],
    run: options.RunName,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: figure-4.png and so on.")] = None,
    form: Formats = None,
    count: Annotated[int | None, typer.Option(min=1, max=50, metavar="N", help="Images; default 3 to 6.")] = None,
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
    """Draw one of the paper's figures with a run's own images.

    4: before and after, with the selected regions. 5: all methods on the same images. 6: numbers of inversion steps,
    made anew. 7: image latent against deeper ones. 8: regions that hardly changed. Figures 4, 6 and 8 show the run's
    first method that changes anything, unless --row names another.
    """
    from benchkit.inference.functional import resolve_device
    from benchkit.outputs.finished_run import FinishedRun, Wanted
    from benchkit.outputs.paper_figures import Order, paper_figure
    from benchkit.report.pictures import draw_pictures
    from benchkit.system.output_files import write_file

    if number != 6:
        refuse_unused({"steps"}, f"only figure 6 has steps; leave it out for figure {number}")
        note_unused({"device"}, "only figure 6 computes anything")
    files = _targets(number, out, form, force)
    order = Order(
        Wanted(row, selector, detector, seed),
        count,
        None if steps is None else tuple(parse_numbers("--steps", steps)),
    )
    registry = load_registry(plugin, plugin_folder, strict)
    opened = FinishedRun.open(run, places_named(run, cache, store), registry, resolve_device(device))
    sheet = paper_figure(number, opened, order)
    shown = len(sheet.columns if number in (4, 8) else sheet.names)
    if count is not None and shown < count:
        tell(f"note: --count {count}: there are {shown} images to show")
    for one, path in files.items():
        write_file(path, draw_pictures(sheet, one))  # type: ignore[arg-type]
        print(path)


def _targets(number: int, out: Path | None, form: str | None, force: bool) -> dict[str, Path]:
    """Format -> file; raises BenchkitError for an unknown format and a file that cannot be written, or is there."""
    from benchkit.cli.pictures import check_target
    from benchkit.report.pictures import FORMS

    path = Path(f"figure-{number}.png") if out is None else out
    named = path.suffix[1:].lower()
    wanted = form.split(",") if form else [named or "png"]
    files = {}
    for one in dict.fromkeys(text.strip().lower() for text in wanted):
        if "|" in one:
            raise BenchkitError(f"--format '{form}': formats are separated by commas: {one.replace('|', ',')}")
        if one not in FORMS:
            raise UnknownNameError("format", one, FORMS)
        files[one] = (
            path if named == one else (path.with_suffix(f".{one}") if named in FORMS else Path(f"{path}.{one}"))
        )
        check_target(files[one], "--out", force=force, image=False)
    return files
