"""Write the training set of a run's row, or its detector, from Python and for `benchkit export`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.errors import ArgumentValueError, UnknownNameError
from benchkit.functions.arguments import check_texts
from benchkit.functions.finished import RunLike, make_query, open_run
from benchkit.functions.paired_difference import Row, row_text
from benchkit.functions.plugin_arguments import PluginLike, PluginSources
from benchkit.system.paths import check_path

if TYPE_CHECKING:
    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.planning.plan import PlannedCell
    from benchkit.store.location import Location

DETECTOR = "detector"


@dataclass(frozen=True)
class Exported:
    """What was written. row: the row with selector, seed and detector. images: their number; None for a detector."""

    out: Path
    row: str
    images: int | None

    def __repr__(self) -> str:
        what = "detector" if self.images is None else f"{self.images} images"
        return f"<Exported {what} of {self.row} in '{self.out}'>"


def export(
    run: RunLike,
    out: str | Path,
    *,
    row: Row,
    format: str,
    split: str = "train",
    selector: PluginLike | None = None,
    detector: PluginLike | None = None,
    seed: int | None = None,
    force: bool = False,
    cache: str | Path | Location | None = None,
    store: str | None = None,
    plugins: PluginSources = (),
    strict: bool = False,
) -> Exported:
    """Write the training set of one row of a run: images, masks, captions, and their origin.

    The images are those that the detector of the row was trained on. The format `detector` writes the trained detector
    instead: its weights as safetensors, and a card.

    run: its id, its output folder, or what `compare` returned. out: a new or empty folder. row: its name on the board,
    such as human, or its corruptor. format: coco, folder, hf, mmseg, webdataset or detector. split: the name of the
    split in the files. selector, detector, seed: which of the run's; None is the first. force: replace an earlier
    export in `out`. The other arguments: see `compare`. Raises BenchkitError for an unknown run, row or format, for a
    folder that is not empty, and if the cache no longer has the images.

    Example:
        >>> import benchkit
        >>> benchkit.export("runs/first", "exports", row="human", format="folder").images
        4
    """
    from benchkit.inference.detector import CARD
    from benchkit.outputs.exports import FORMATS
    from benchkit.outputs.exports.write import PROVENANCE
    from benchkit.system.output_files import check_folder, explain_write_errors

    folder = check_path("out", out)
    check_texts("format", [format], "folder")
    check_texts("split", [split], "train")
    if format not in (*FORMATS, DETECTOR):
        raise UnknownNameError("format", format, (*FORMATS, DETECTOR))
    if not re.fullmatch(r"[A-Za-z0-9_]{1,80}", split):
        raise ArgumentValueError(f"`split` '{split}': use letters, digits and _, such as train")
    check_folder(folder, force, CARD if format == DETECTOR else PROVENANCE)
    opened = open_run(run, cache, store, plugins, strict)
    planned = opened.find_cell(make_query(opened, row_text(row), selector, detector, seed))
    trained = planned.cell.detector.short if planned.cell.detector else None
    by = planned.cell.training.selector
    chosen = f", selector {by.short}" if by else ""
    whose = f"row '{opened.name(planned)}'{chosen}, seed {planned.cell.seed}, detector {trained}"
    with explain_write_errors(folder):
        if format == DETECTOR:
            _write_detector(opened, planned, folder, force)
            return Exported(folder, whose, None)
        return Exported(folder, whose, _write_images(opened, planned, format, folder, split, force))


def _write_detector(run: FinishedRun, planned: PlannedCell, out: Path, force: bool) -> None:
    from benchkit.inference.detector import CARD, WEIGHTS
    from benchkit.outputs.exports.detector import write_detector
    from benchkit.system.output_files import replace_folder

    with replace_folder(out, force, CARD, lambda: (WEIGHTS,)) as folder:
        write_detector(run, planned, folder)


def _write_images(run: FinishedRun, planned: PlannedCell, form: str, out: Path, split: str, force: bool) -> int:
    """Write the training set in a format; return the number of images."""
    from benchkit.outputs.exports import make_format
    from benchkit.outputs.exports.items import training_items
    from benchkit.outputs.exports.provenance import provenance
    from benchkit.outputs.exports.write import PROVENANCE, contents, write_export
    from benchkit.system.output_files import replace_folder

    with replace_folder(out, force, PROVENANCE, lambda: contents(out)) as folder:
        facts = provenance(run, planned, form)
        return write_export(training_items(run, planned), make_format(form), folder, split, facts)
