"""Draw the paper's figures of corrupted images, from Python and for `benchkit figure`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.errors import ArgumentTypeError, ArgumentValueError, BenchkitError, UnknownNameError, describe_value
from benchkit.functions.arguments import check_texts, check_whole
from benchkit.functions.finished import RunLike, make_query, open_run
from benchkit.functions.grid_arguments import note
from benchkit.functions.paired_difference import Row
from benchkit.functions.plugin_arguments import PluginLike, PluginSources
from benchkit.inference.images import check_sequence
from benchkit.system.paths import check_path

if TYPE_CHECKING:
    from benchkit.report.pictures import PictureSheet
    from benchkit.store.location import Location

NUMBERS = (4, 5, 6, 7, 8)


@dataclass(frozen=True, eq=False, repr=False)
class PaperFigure:
    """A drawn figure; a notebook shows it. sheet: its pictures and texts. files: those that were written.

    Example:
        >>> import benchkit
        >>> benchkit.figure(5, "runs/first", device="cpu").files
        ()
    """

    sheet: PictureSheet
    files: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        return f"<PaperFigure '{self.sheet.title}'>"

    def _repr_png_(self) -> bytes:
        """Return the figure for a notebook."""
        from benchkit.report.pictures import draw_pictures

        return draw_pictures(self.sheet, "png")


def figure(
    number: int,
    run: RunLike,
    *,
    out: str | Path | None = None,
    formats: Sequence[str] | None = None,
    count: int | None = None,
    steps: Sequence[int] | None = None,
    row: Row | None = None,
    selector: PluginLike | None = None,
    detector: PluginLike | None = None,
    seed: int | None = None,
    force: bool = False,
    device: str = "auto",
    cache: str | Path | Location | None = None,
    store: str | None = None,
    plugins: PluginSources = (),
    strict: bool = False,
) -> PaperFigure:
    """Draw one of the paper's figures with images of a run.

    4: images before and after corruption, with the selected regions. 5: all methods on the same images. 6: several
    numbers of inversion steps; these images are computed now. 7: corruption of the image latent against corruption
    after more steps. 8: selected regions that hardly changed. Figures 4, 6 and 8 show the first method of the run that
    changes images, unless `row` names another.

    number: 4 to 8. run: its id, its output folder, or what `compare` returned. out: the file to write; None writes
    none. formats: png, svg, pdf; None is the suffix of `out`. count: number of images. steps: numbers of inversion
    steps in figure 6. selector, detector, seed: which of the run's; None is the first. force: replace files. device:
    used by figure 6 only. The other arguments: see `compare`. Raises BenchkitError for an unknown run or row, for a
    file that exists, and if the cache no longer has the images.

    Example:
        >>> import benchkit
        >>> benchkit.figure(4, "runs/first", device="cpu")
        <PaperFigure 'Before and after: gaussian:steps=1'>
    """
    from benchkit.outputs.paper_figures import FigureRequest, draw_figure
    from benchkit.report.pictures import draw_pictures
    from benchkit.system.devices import resolve_device
    from benchkit.system.output_files import write_file

    if number not in NUMBERS:
        raise ArgumentValueError(f"number={number!r}: the figures of corrupted images are 4, 5, 6, 7 and 8")
    if count is not None:
        check_whole("`count`", count, 1, 50)
    if steps is not None:
        if number != 6:
            raise ArgumentValueError(f"`steps`: only figure 6 has steps; omit them for figure {number}")
        steps = [check_whole("`steps`", one) for one in check_sequence(steps, "`steps`", "a list such as [5, 10]")]
    files = {} if out is None else _targets(check_path("out", out), formats, force)
    if formats is not None and not files:
        raise ArgumentValueError("`formats`: also give `out`, the file to write")
    opened = open_run(run, cache, store, plugins, strict, resolve_device(device))
    query = make_query(opened, row, selector, detector, seed)
    sheet = draw_figure(number, opened, FigureRequest(query, count, None if steps is None else tuple(steps)))
    shown = len(sheet.columns if number in (4, 8) else sheet.names)
    if count is not None and shown < count:
        note(f"`count` {count}: there are {shown} images to show")
    for name, path in files.items():
        write_file(path, draw_pictures(sheet, name))  # type: ignore[arg-type]
    return PaperFigure(sheet, tuple(files.values()))


def _targets(path: Path, formats: Sequence[str] | None, force: bool) -> dict[str, Path]:
    """Return format -> file; raise BenchkitError for an unknown format and for a file that cannot be written."""
    from benchkit.report.pictures import FORMS
    from benchkit.system.output_files import check_file

    if isinstance(formats, str) or not isinstance(formats, Sequence | None):
        raise ArgumentTypeError(f"formats: {describe_value(formats)} is no list: give one, such as ['png', 'svg']")
    suffix = path.suffix[1:].lower()
    files = {}
    for name in dict.fromkeys(
        text.strip().lower() for text in check_texts("formats", formats or [suffix or "png"], "png")
    ):
        if name not in FORMS:
            raise UnknownNameError("format", name, FORMS)
        other = path.with_suffix(f".{name}") if suffix in FORMS else Path(f"{path}.{name}")
        files[name] = path if suffix == name else other
        try:
            check_file(files[name], force)
        except BenchkitError as error:
            raise ArgumentValueError(f"`out` {error}") from None
    return files
