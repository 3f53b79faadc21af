"""`benchkit detect`: heat maps, masks, overlays and scores of any images by a trained detector."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchkit.cli import options
from benchkit.cli.common import find_named_locations, load_registry, one_line, tell
from benchkit.cli.unused_options import note_unused, refuse_unused
from benchkit.errors import BenchkitError
from benchkit.functions import progress

if TYPE_CHECKING:
    import numpy as np

    from benchkit.inference.detector import TrainedDetector
    from benchkit.outputs.finished_run import RowQuery
    from benchkit.plugin.registry import Registry

_log = logging.getLogger(__name__)

SOME_IMAGES_FAILED = 3
TABLE = "scores.csv"
FOLDERS = ("heat", "masks", "overlay")

Source = Annotated[
    str, typer.Argument(metavar="RUN|DETECTOR", help="A run (with --row), or the folder of an exported detector.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0,
        max=1,
        metavar="P",
        help="Pixels with this probability or more are in the masks. Default: the detector's own threshold.",
    ),
]


def detect(
    source: Source,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES…", help="Image files, or folders of images.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    threshold: Threshold = None,
    bits: Annotated[int, typer.Option(metavar="8|16", help="Bits per pixel of the heat maps.")] = 8,
    tile: Annotated[
        int,
        typer.Option(min=32, metavar="PIXELS", help="Images with a longer side are processed in tiles of this size."),
    ] = 1024,
    row: Annotated[
        str | None, typer.Option("--row", metavar="ROW", help="The row of the run whose detector to use.")
    ] = None,
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
    """Find artifacts in images. Writes PNG files to heat/, masks/ and overlay/, and a table scores.csv.

    The scores of an image are the mean and the maximum of its probabilities, and the fraction of its area at or above
    the threshold. Exit code 3: some files could not be processed; scores.csv names them and the reason.
    """
    from benchkit.inference.detector import is_detector
    from benchkit.outputs.finished_run import RowQuery
    from benchkit.system.output_files import check_folder, replace_folder

    if is_detector(Path(source)):
        only_of_a_run = f"'{source}' is the folder of one detector; only a run has several"
        refuse_unused({"row", "selector", "detector", "seed"}, only_of_a_run)
        note_unused({"cache", "store"}, only_of_a_run)
    if threshold is not None and not 0 <= threshold <= 1:
        raise BenchkitError(f"--threshold {threshold}: give a probability from 0 to 1")
    if bits not in (8, 16):
        raise BenchkitError(f"--bits {bits}: choose 8 or 16")
    check_folder(out, force, TABLE, "the result of 'benchkit detect'")
    files = list(_files(images))
    registry = load_registry(plugin, plugin_folder, strict)
    with replace_folder(out, force, TABLE, lambda: FOLDERS) as folder:
        trained = _load(source, RowQuery(row, selector, detector, seed), (cache, store), registry, device)
        trained = replace(trained, tile=tile, threshold=trained.threshold if threshold is None else threshold)
        work = _Work(trained, folder, bits)
        work.run(files)
    print(f"{work.done} images in {out}, threshold {trained.threshold:.4f}: {TABLE}, {', '.join(FOLDERS)}")
    if work.done < len(files):
        tell(f"{len(files) - work.done} of {len(files)} files could not be processed; they are named in {out / TABLE}")
        raise typer.Exit(SOME_IMAGES_FAILED)


def _load(
    source: str, query: RowQuery, where: tuple[str | None, str | None], registry: Registry, device: str
) -> TrainedDetector:
    from benchkit.inference.detector import is_detector, read_detector
    from benchkit.outputs.exports.detector import trained_detector
    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.system.devices import resolve_device

    if is_detector(Path(source)):
        return read_detector(Path(source), device, registry, lambda text: tell(f"warning: {text}"))
    run = FinishedRun.open(source, find_named_locations(source, *where), registry, resolve_device(device))
    if query.row is None:
        rows = dict.fromkeys(run.name(planned) for planned in run.trained())
        raise BenchkitError(f"run {run.id} has several detectors: choose one with --row: {', '.join(rows)}")
    return trained_detector(run, run.find_cell(query))


def _files(given: Sequence[Path]) -> Iterator[Path]:
    """Yield the given files, and the files of given folders that have an image's suffix, by name; each file once."""
    from benchkit.errors import shortened
    from benchkit.readers.images import SUFFIXES
    from benchkit.readers.walk import list_files

    seen: set[Path] = set()
    for path in given:
        if not os.path.exists(path):  # noqa: PTH110  # returns False for an impossible name, where Path raises
            raise BenchkitError(f"there is no file or folder '{shortened(str(path))}'")
        files = list_files(path, SUFFIXES) if path.is_dir() else [path]
        if not files:
            raise BenchkitError(f"folder '{path}' has no image files")
        yield from (file for file in files if file not in seen)
        seen.update(files)


@dataclass
class _Work:
    """Runs a detector on images one by one, and writes results to a folder. done: how many succeeded."""

    detector: TrainedDetector
    folder: Path
    bits: int
    done: int = 0
    _lines: list[dict[str, Any]] = field(default_factory=list)

    def run(self, files: Sequence[Path]) -> None:
        """Process all files; raise BenchkitError if none can be processed."""
        import pandas as pd

        from benchkit.outputs.exports.names import Names
        from benchkit.report.render_board import csv_text

        names = Names()
        for name in FOLDERS:
            (self.folder / name).mkdir()
        with progress.shown() as screen:
            screen.start(len(files))
            for file in files:
                screen.note(f"detect {file.name}")
                self._lines.append({"image": str(file), "error": None, **self._process(file, names)})
                screen.advance()
        if not self.done:
            raise BenchkitError(f"none of the {len(files)} files could be processed: {self._lines[0]['error']}")
        frame = pd.DataFrame(self._lines, columns=[*_COLUMNS], dtype=object)  # whole numbers stay whole
        (self.folder / TABLE).write_text(csv_text(frame), "utf-8", "replace")

    def _process(self, file: Path, names: Any) -> dict[str, Any]:
        import numpy as np

        from benchkit.cli.pictures import read_image

        try:
            image = np.asarray(read_image(file))
            (heat,) = self.detector([image])
        except BenchkitError as error:
            return self._failed(str(error) if str(file) in str(error) else f"image '{file}': {error}")
        except Exception as error:  # a plugin's network may refuse some sizes: go on with the other images
            return self._failed(f"image '{file}': {type(error).__name__}: {error}")
        name = names.of(file.stem)
        predicted = heat >= self.detector.threshold
        self._save("heat", name, quantise(heat, self.bits))
        self._save("masks", name, predicted.astype(np.uint8) * 255)
        self._save("overlay", name, overlay(image, heat, predicted))
        self.done += 1
        scores = self.detector.scores(heat)
        size = {"width": image.shape[1], "height": image.shape[0]}
        return {"name": name, **size, "mean": scores.mean, "max": scores.largest, "area": scores.area}

    def _failed(self, reason: str) -> dict[str, str]:
        tell(f"failed: {reason}")
        _log.warning("detect: %s", reason, exc_info=True)
        return {"error": one_line(reason)}

    def _save(self, folder: str, name: str, pixels: np.ndarray) -> None:
        from PIL import Image

        Image.fromarray(pixels).save(self.folder / folder / f"{name}.png")


_COLUMNS = ("image", "name", "width", "height", "mean", "max", "area", "error")


def quantise(heat: np.ndarray, bits: int) -> np.ndarray:
    """Return probabilities (H, W) as integers from 0 to 255 or 65535, rounded."""
    import numpy as np

    return np.round(heat.astype(np.float64) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def overlay(image: np.ndarray, heat: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the image with probabilities in red and predicted regions outlined in green: (H, W, 3) uint8."""
    import numpy as np
    from scipy import ndimage

    opacity = 0.6 * heat[..., None]
    shown = image * (1 - opacity) + np.array([255.0, 0.0, 0.0]) * opacity
    edge = predicted & ~ndimage.binary_erosion(predicted, border_value=0)
    shown[edge] = (93, 255, 93)
    return shown.round().astype(np.uint8)
