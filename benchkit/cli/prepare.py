"""`benchkit data prepare`: check published data once, and write them as one Parquet set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, tell
from benchkit.cli.unused_options import App, refuse_unused
from benchkit.errors import BenchkitError
from benchkit.functions import progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchkit.functions.progress import Progress
    from benchkit.inference.detector import TrainedDetector
    from benchkit.preparation.cleanest import Judge

app = App(help="Convert published data to a checked set, once.", rich_markup_mode=None)

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="A new or empty folder. Default: $BENCHKIT_DATA/NAME, else in the user's data folder.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a prepared set in --out.")]
Tokens = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME|DIR", help="Count the captions that are too long for this checkpoint's tokenizer."
    ),
]

#: Default number of scored images for each kept image.
CANDIDATES = 4
CleanestBy = Annotated[
    Path | None,
    typer.Option(
        "--cleanest-by",
        metavar="DETECTOR",
        help="Draw more images and keep those in which this exported detector finds the least artifacts.",
    ),
]
CleanestOf = Annotated[
    int | None,
    typer.Option(
        "--cleanest-of", min=1, metavar="N", help="Number of images to draw for --cleanest-by. Default: 4 × --count."
    ),
]
CleanestSize = Annotated[
    int,
    typer.Option(
        "--cleanest-size",
        min=8,
        max=4096,
        metavar="PIXELS",
        help="Images are resized to squares of this side for --cleanest-by.",
    ),
]


@app.command("richhf-18k", short_help="Join RichHF-18k's labels with their images.")
def richhf(
    records: Annotated[
        list[Path],
        typer.Option(metavar="DIR|FILE", help="RichHF-18k's TFRecord files, or tables made from them; repeatable."),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR|FILE",
            help="Pick-a-Pic's images: folders, zip, tar, parquet and arrow files; repeatable. Default: the tables of "
            "--records.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=COLUMN,…",
            help="The columns of image, id, caption, artifact_map, … in tables; needed for unusual names.",
        ),
    ] = None,
    out: Out = None,
    rule: Annotated[
        str,
        typer.Option(
            metavar="NAME[:k=v,…]", help="Which examples to keep: three-annotators, by-scores, by-levels or all."
        ),
    ] = "three-annotators",
    model: Tokens = None,
    force: Force = False,
) -> None:
    """Join the labels of RichHF-18k with their images.

    Images are found by id: as files with this name, or as rows of tables such as Pick-a-Pic v1's parquet files.
    """
    from benchkit.preparation.richhf import KEYS, NAME, NOTICE, Preparation, summary
    from benchkit.preparation.richhf_rule import Rule
    from benchkit.readers.tables import Columns

    chosen, names, length = Rule.parse(rule), Columns.parse(columns or (), KEYS), _caption_length(model)
    with _writing(NAME, out, force) as (folder, screen):
        work = Preparation(records, images or (), chosen, screen.note, names)
        manifest = work.run(folder)
    _finished(NAME, out, manifest, [*summary(manifest, chosen), *_cut(work.captions, length, model)])
    tell(NOTICE)


@app.command("dalle3-hq", short_help="Draw images from DALL-E 3 shards.")
def dalle3(
    shards: Annotated[
        list[str],
        typer.Option(metavar="FOLDER|FILE|URL", help="Tar shards, on this machine or at a URL that fsspec can open."),
    ],
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Number of images in the set.")] = 10000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the draw.")] = 0,
    cleanest_by: CleanestBy = None,
    cleanest_of: CleanestOf = None,
    cleanest_size: CleanestSize = 512,
    device: options.Device = "auto",
    out: Out = None,
    model: Tokens = None,
    force: Force = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Draw random images from shards of Dalle3 1 Million+ High Quality Captions.

    The draw depends on the seed and on the images' names, not on the order of the shards. With --cleanest-by, a
    detector scores a larger draw, and the images in which it finds the least artifacts are kept.
    """
    from benchkit.preparation.dalle3 import NAME, NOTICE, Draw, summary

    judge = None
    if cleanest_by is not None:
        from benchkit.inference.detector import read_detector

        candidates, registry = _candidates(count, cleanest_of), load_registry(plugin, plugin_folder, strict)
        detector = read_detector(Path(cleanest_by), device, registry, lambda text: tell(f"warning: {text}"))
        judge = _judge(detector, candidates, cleanest_size)
    else:
        judging = {"cleanest_of", "cleanest_size", "device", "plugin", "plugin_folder", "strict"}
        refuse_unused(judging, "also name a detector with --cleanest-by")
    length = _caption_length(model)
    with _writing(NAME, out, force) as (folder, screen):
        work = Draw(shards, count, seed, screen.note, judge)
        manifest = work.run(folder)
    _finished(NAME, out, manifest, [*summary(manifest), *_cut(work.captions, length, model)])
    tell(NOTICE)


def _candidates(count: int, given: int | None) -> int:
    """Return how many images the detector scores: more than are kept."""
    if given is not None and given <= count:
        raise BenchkitError(f"--cleanest-of {given}: give more than --count {count}")
    return given or CANDIDATES * count


def _judge(detector: TrainedDetector, candidates: int, size: int) -> Judge:
    """Return the judge that scores images by the detector."""
    from benchkit.preparation.cleanest import Judge
    from benchkit.training import loop as training

    def score(images: NDArray[np.uint8]) -> list[tuple[float, float]]:
        figures = map(detector.scores, training.predict(detector.network, images))
        return [(one.area, one.mean) for one in figures]

    known = detector.card["detector"]
    about = {"detector": known["name"], "params": known["params"], "identity": known["identity"]}
    about |= {"sha256": detector.card["sha256"], "threshold": detector.threshold}
    return Judge(score, about, candidates, size)


@contextmanager
def _writing(name: str, out: Path | None, force: bool) -> Iterator[tuple[Path, Progress]]:
    from benchkit.readers.prepared import get_default_folder, replace_set

    with replace_set(out or get_default_folder(name), force) as folder, progress.shown() as screen:
        yield folder, screen


def _caption_length(model: str | None) -> Any:
    """Return a function that counts a caption's tokens, and their limit; or None without a model."""
    if model is None:
        return None
    from benchkit.diffusion.tokens import caption_length

    return caption_length(model)


def _cut(captions: Sequence[str], length: Any, model: str | None) -> list[str]:
    """Return a line with the number of captions that are too long for the tokenizer."""
    if length is None:
        return []
    count, limit = length
    cut = sum(count(caption) > limit for caption in captions)
    return [f"captions: the tokenizer of {model} cuts {cut:,} of {len(captions):,}, after {limit} tokens"]


def _finished(name: str, out: Path | None, manifest: dict[str, Any], lines: Sequence[str]) -> None:
    from benchkit.readers.prepared import LEFT_OUT, get_default_folder

    where = out or get_default_folder(name)
    for line in lines:
        print(line)
    for reason, number in manifest["left_out"].items():
        print(f"skipped: {number:,} {reason} (listed in {LEFT_OUT})")
    sizes = ", ".join(f"{split} {facts['rows']:,}" for split, facts in manifest["splits"].items())
    print(f"{name}: {sizes} in {where}")
