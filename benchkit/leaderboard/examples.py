"""Small images of a submission: what a method does to an image, and where the trained detector sees artifacts.

They are illustrations. Nothing can recompute them without the run's cache, so no figure depends on them. The submission
states the sha256 of their file, so that no image can be swapped afterwards. A file of somebody else is read as data of
a declared size: texts, and WebP images that are decoded before they are accepted.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from benchkit.errors import BenchkitError, describe_error
from benchkit.leaderboard.submission import EXAMPLES, FACTS, Submission
from benchkit.report.format_values import one_line
from benchkit.report.site.gallery import outline
from benchkit.system.files import read_regular

#: Bytes of the whole file, pixels of an image's longer side, and examples of one kind that a row has.
MOST_BYTES, SIDE, PER_ROW = 1_000_000, 128, 2
#: corrupted: an image before and after the corruption. heat: a test image, without and with the scores painted on it.
Kind = Literal["corrupted", "heat"]
OUTLINE = re.compile(r"[Mhv0-9 ]{0,200000}")
SCALE = re.compile(r"scale\([0-9.]{1,12} [0-9.]{1,12}\)")
_LONGEST_CAPTION = 100
_QUALITY = 60
_HEAT = np.array([255, 225, 60], np.float32)


@dataclass(frozen=True)
class SmallExample:
    """One example of a row. cell: key of a finished cell of the row. before, after: WebP images of the same size.

    mask: the edge of the selected or annotated pixels as SVG path data. scale: from its pixels to those of the images.
    """

    cell: str
    kind: Kind
    caption: str
    before: bytes
    after: bytes
    width: int
    height: int
    mask: str
    scale: str


def make_example(
    cell: str, kind: Kind, caption: str, before: np.ndarray, after: np.ndarray, mask: np.ndarray
) -> SmallExample:
    """Return an example of images (H, W, 3) uint8, reduced to SIDE, and a mask (H, W) bool."""
    (first, size), (second, _) = _encode(before), _encode(after)
    scale = f"scale({size[0] / mask.shape[1]:g} {size[1] / mask.shape[0]:g})"
    return SmallExample(cell, kind, one_line(caption)[:_LONGEST_CAPTION], first, second, *size, outline(mask), scale)


def paint_scores(image: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) uint8 in dark grey with its scores (H, W) in [0, 1] painted on it in yellow."""
    grey = 0.5 * image.mean(axis=-1, keepdims=True)
    share = np.clip(scores, 0, 1)[..., None]
    return np.asarray((1 - share) * grey + share * _HEAT, np.uint8)


def examples_to_parquet(examples: Sequence[SmallExample]) -> bytes:
    """Return examples as a file's contents; images that repeat are stored once."""
    kinds = {"before": pa.binary(), "after": pa.binary(), "width": pa.int64(), "height": pa.int64()}
    names = [field.name for field in fields(SmallExample)]
    columns = {n: pa.array([getattr(one, n) for one in examples], kinds.get(n, pa.string())) for n in names}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd", use_dictionary=True, write_statistics=False)
    return sink.getvalue()


def read_examples(folder: Path, submission: Submission) -> list[SmallExample]:
    """Return the examples of a submission in a folder; none where it has no such file.

    Raises BenchkitError, in one line, for a file that is too large, that contains anything but small images, or that is
    not the one whose sha256 the submission states. An earlier version stated none: see `find_unstated`.
    """
    where = f"{folder.name}/{EXAMPLES}"
    try:
        if (folder / EXAMPLES).stat().st_size > MOST_BYTES:
            raise BenchkitError(f"{where}: more than {MOST_BYTES} bytes")
        data = read_regular(folder / EXAMPLES)
    except FileNotFoundError:
        if submission.facts.examples is not None:
            raise BenchkitError(f"{where}: the file is missing, but {FACTS} states its sha256") from None
        return []
    except OSError as error:
        raise BenchkitError(f"{where}: cannot be read: {error.strerror or error}") from None
    if submission.facts.examples not in (None, hashlib.sha256(data).hexdigest()):
        raise BenchkitError(f"{where}: an image or a text was changed: {FACTS} states another sha256 of this file")
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        if file.metadata.num_rows > 2 * PER_ROW * len(submission.rows):
            raise BenchkitError(f"{where}: {file.metadata.num_rows} examples of {len(submission.rows)} cells")
        lines = file.read(columns=[field.name for field in fields(SmallExample)], use_threads=False).to_pylist()
        found = [SmallExample(**line) for line in lines]
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        raise BenchkitError(f"{where}: not a readable Parquet file of examples: {describe_error(error)}") from None
    if fault := _find_fault(found, set(submission.terms)):
        raise BenchkitError(f"{where}: {fault}")
    return found


def find_unstated(examples: Sequence[SmallExample], submission: Submission) -> list[str]:
    """Return the note that belongs to examples whose sha256 the submission does not state, as earlier versions did."""
    if not examples or submission.facts.examples is not None:
        return []
    return [f"{FACTS} states no sha256 of {EXAMPLES}, so its images could be swapped unnoticed; submit the run again"]


def _find_fault(examples: Iterable[SmallExample], cells: set[str]) -> str | None:
    numbers: Counter[tuple[str, str]] = Counter()
    for one in examples:
        if one.cell not in cells:
            return f"an example is of the cell '{one_line(one.cell)[:12]}', which is not finished"
        if one.kind not in get_args(Kind):
            return f"'{one_line(one.kind)[:40]}' is no kind of example"
        numbers[one.cell, one.kind] += 1
        if numbers[one.cell, one.kind] > PER_ROW:
            return f"more than {PER_ROW} examples of one kind for the cell {one.cell[:12]}"
        text = isinstance(one.caption, str) and one_line(one.caption) == one.caption
        if not text or len(one.caption) > _LONGEST_CAPTION:
            return "a caption is not one short line of text"
        if not (OUTLINE.fullmatch(str(one.mask)) and SCALE.fullmatch(str(one.scale))):
            return "an outline is not made of lines"
        if not all(_is_image(data, one.width, one.height) for data in (one.before, one.after)):
            return f"an image is no WebP image of the declared size, at most {SIDE} pixels"
    return None


def _is_image(data: object, width: object, height: object) -> bool:
    if not (isinstance(data, bytes) and isinstance(width, int) and isinstance(height, int)):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            if image.size != (width, height) or max(image.size) > SIDE or getattr(image, "n_frames", 1) != 1:
                return False
            image.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def _encode(image: np.ndarray) -> tuple[bytes, tuple[int, int]]:
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    picture.save(sink, "WEBP", quality=_QUALITY, method=6)
    return sink.getvalue(), picture.size
