"""`benchkit export`: the training set of a run's row for other programs, or the detector trained on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, places_named
from benchkit.cli.unused_options import refuse_unused
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.outputs.exports import FORMATS, make_format
from benchkit.system.output_files import check_folder, explain_write_errors, replace_folder

if TYPE_CHECKING:
    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.planning.planner import PlannedCell

DETECTOR = "detector"
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
    from benchkit.inference.detector import CARD
    from benchkit.outputs.exports.write import PROVENANCE
    from benchkit.outputs.finished_run import FinishedRun, RowQuery

    if form not in CHOICES:
        raise UnknownNameError("format", form, CHOICES)
    if form == DETECTOR:
        refuse_unused({"split"}, f"--format {DETECTOR} writes no images; leave it out")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,80}", split):
        raise BenchkitError(f"--split '{split}': use letters, digits and _, such as train")
    check_folder(out, force, CARD if form == DETECTOR else PROVENANCE)
    opened = FinishedRun.open(run, places_named(run, cache, store), load_registry(plugin, plugin_folder, strict))
    planned = opened.find_cell(RowQuery(row, selector, detector, seed))
    detector = planned.cell.detector.short if planned.cell.detector else None
    by = planned.cell.training.selector
    chosen = f", selector {by.short}" if by else ""
    whose = f"row '{opened.name(planned)}'{chosen}, seed {planned.cell.seed}, detector {detector}"
    with explain_write_errors(out):
        if form == DETECTOR:
            _write_detector(opened, planned, out, force)
            print(f"detector of {whose} in {out}")
        else:
            count = _write_images(opened, planned, form, out, split, force)
            print(f"{count} images of {whose} in {out}")


def _write_detector(run: FinishedRun, planned: PlannedCell, out: Path, force: bool) -> None:
    from benchkit.inference.detector import CARD, WEIGHTS
    from benchkit.outputs.exports.detector import write_detector

    with replace_folder(out, force, CARD, lambda: (WEIGHTS,)) as folder:
        write_detector(run, planned, folder)


def _write_images(run: FinishedRun, planned: PlannedCell, form: str, out: Path, split: str, force: bool) -> int:
    """Write the training set in a format; return the number of images."""
    from benchkit.outputs.exports.items import training_items
    from benchkit.outputs.exports.provenance import provenance
    from benchkit.outputs.exports.write import PROVENANCE, contents, write_export

    with replace_folder(out, force, PROVENANCE, lambda: contents(out)) as folder:
        facts = provenance(run, planned, form)
        return write_export(training_items(run, planned), make_format(form), folder, split, facts)
