"""`benchkit detect`: heat maps, masks, overlays and scores of any images, by a trained detector."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchkit.cli import options, progress
from benchkit.cli.common import load_registry, one_line, places_named, tell
from benchkit.cli.given import note_unused, refuse_unused
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    import numpy as np

    from benchkit.inference.detector import TrainedDetector
    from benchkit.plugin.registry import Registry

_log = logging.getLogger(__name__)

SOME_IMAGES_FAILED = 3
TABLE = "scores.csv"
ROOMS = ("heat", "masks", "overlay")

Source = Annotated[
    str, typer.Argument(metavar="RUN|DETECTOR", help="A run (with --row), or a folder of 'export --format detector'.")
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", min=0, max=1, metavar="P", help="Of the masks; default: the detector's own."),
]


def detect(
    source: Source,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES…", help="Image files, and folders of them.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    threshold: Threshold = None,
    bits: Annotated[int, typer.Option(metavar="8|16", help="Of the heat maps.")] = 8,
    tile: Annotated[int, typer.Option(min=32, metavar="PIXELS", help="Larger images are seen in tiles.")] = 1024,
    row: Annotated[str | None, typer.Option("--row", metavar="ROW", help="Of a run: whose detector.")] = None,
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
    """Mark artifacts in images: heat/, masks/ and overlay/ as PNG, and scores.csv.

    Scores of an image: mean and max of the probability, and the fraction of its area at or above the threshold. Exit
    code 3: some files could not be read or marked; they are named in scores.csv, and the rest is done.
    """
    from benchkit.inference.detector import is_detector
    from benchkit.outputs.finished_run import Wanted
    from benchkit.system.output_files import check_folder, replace_folder

    if is_detector(Path(source)):
        only_of_a_run = f"'{source}' is a trained detector's folder, and of a run alone there is something to choose"
        refuse_unused({"row", "selector", "detector", "seed"}, only_of_a_run)
        note_unused({"cache", "store"}, only_of_a_run)
    if threshold is not None and not 0 <= threshold <= 1:
        raise BenchkitError(f"--threshold {threshold}: give a probability from 0 to 1")
    if bits not in (8, 16):
        raise BenchkitError(f"--bits {bits}: choose 8 or 16")
    check_folder(out, force, TABLE, "what 'detect' wrote")
    files = list(_files(images))
    registry = load_registry(plugin, plugin_folder, strict)
    with replace_folder(out, force, TABLE, lambda: ROOMS) as folder:
        found = _detector(source, Wanted(row, selector, detector, seed), (cache, store), registry, device)
        found = replace(found, tile=tile, threshold=found.threshold if threshold is None else threshold)
        work = _Work(found, folder, bits)
        work.run(files)
    print(f"{work.done} images in {out}, threshold {found.threshold:.4f}: {TABLE}, {', '.join(ROOMS)}")
    if work.done < len(files):
        tell(f"{len(files) - work.done} of {len(files)} files could not be marked; they are named in {out / TABLE}")
        raise typer.Exit(SOME_IMAGES_FAILED)


def _detector(
    source: str, wanted: Any, where: tuple[str | None, str | None], registry: Registry, device: str
) -> TrainedDetector:
    from benchkit.inference import detector as trained
    from benchkit.inference.functional import resolve_device
    from benchkit.outputs.exports.detector import trained_detector
    from benchkit.outputs.finished_run import FinishedRun

    if trained.is_detector(Path(source)):
        return trained.load_detector(source, device, registry=registry, warn=lambda text: tell(f"warning: {text}"))
    run = FinishedRun.open(source, places_named(source, *where), registry, resolve_device(device))
    if wanted.row is None:
        rows = dict.fromkeys(run.name(planned) for planned in run.trained())
        raise BenchkitError(f"run {run.id} has several detectors: name whose with --row: {', '.join(rows)}")
    return trained_detector(run, run.cell(wanted))


def _files(given: Sequence[Path]) -> Iterator[Path]:
    """The files as given, and those in folders (and linked ones) that have an image's suffix, by name; each once."""
    from benchkit.readers.pictures import SUFFIXES
    from benchkit.readers.walk import files_below
    from benchkit.specs.spec import shortened

    seen: set[Path] = set()
    for path in given:
        if not os.path.exists(path):  # noqa: PTH110  # of a name that no file can have it says no
            raise BenchkitError(f"there is no file or folder '{shortened(str(path))}'")
        found = [path]
        if path.is_dir():
            found = files_below(path, SUFFIXES)
            if not found:
                raise BenchkitError(f"folder '{path}' holds no image files")
        yield from (one for one in found if one not in seen)
        seen.update(found)


@dataclass
class _Work:
    """Images one after another into a folder. done: how many could be marked."""

    detector: TrainedDetector
    folder: Path
    bits: int
    done: int = 0
    _lines: list[dict[str, Any]] = field(default_factory=list)

    def run(self, files: Sequence[Path]) -> None:
        """Write everything; raises BenchkitError where none of the files can be marked."""
        import pandas as pd

        from benchkit.outputs.exports.names import Names
        from benchkit.report.tables import csv_text

        names = Names()
        for room in ROOMS:
            (self.folder / room).mkdir()
        with progress.shown() as screen:
            screen.start(len(files))
            for file in files:
                screen.note(f"detect {file.name}")
                self._lines.append({"image": str(file), "error": None, **self._one(file, names)})
                screen.advance()
        if not self.done:
            raise BenchkitError(f"none of the {len(files)} files could be marked: {self._lines[0]['error']}")
        frame = pd.DataFrame(self._lines, columns=[*_COLUMNS], dtype=object)  # whole numbers stay whole
        (self.folder / TABLE).write_text(csv_text(frame), "utf-8", "replace")

    def _one(self, file: Path, names: Any) -> dict[str, Any]:
        import numpy as np

        from benchkit.cli.pictures import read_image

        try:
            image = np.asarray(read_image(file))
            (heat,) = self.detector([image])
        except BenchkitError as error:
            return self._failed(str(error) if str(file) in str(error) else f"image '{file}': {error}")
        except Exception as error:  # a network may be anybody's, and refuse some sizes: the other images are kept
            return self._failed(f"image '{file}': {type(error).__name__}: {error}")
        name = names.of(file.stem)
        marked = heat >= self.detector.threshold
        self._save("heat", name, quantised(heat, self.bits))
        self._save("masks", name, marked.astype(np.uint8) * 255)
        self._save("overlay", name, overlay(image, heat, marked))
        self.done += 1
        scores = self.detector.scores(heat)
        size = {"width": image.shape[1], "height": image.shape[0]}
        return {"name": name, **size, "mean": scores.mean, "max": scores.largest, "area": scores.area}

    def _failed(self, reason: str) -> dict[str, str]:
        tell(f"failed: {reason}")
        _log.warning("detect: %s", reason, exc_info=True)
        return {"error": one_line(reason)}

    def _save(self, room: str, name: str, pixels: np.ndarray) -> None:
        from PIL import Image

        Image.fromarray(pixels).save(self.folder / room / f"{name}.png")


_COLUMNS = ("image", "name", "width", "height", "mean", "max", "area", "error")


def quantised(heat: np.ndarray, bits: int) -> np.ndarray:
    """Probabilities (H, W) as whole numbers, 0 to 255 or to 65535, rounded to the nearest."""
    import numpy as np

    return np.round(heat.astype(np.float64) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def overlay(image: np.ndarray, heat: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """The image reddened by probability, what is marked outlined in green: (H, W, 3) uint8."""
    import numpy as np
    from scipy import ndimage

    share = 0.6 * heat[..., None]
    shown = image * (1 - share) + np.array([255.0, 0.0, 0.0]) * share
    edge = marked & ~ndimage.binary_erosion(marked, border_value=0)
    shown[edge] = (93, 255, 93)
    return shown.round().astype(np.uint8)
