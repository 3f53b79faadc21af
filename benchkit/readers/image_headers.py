"""Read an image file's header without its pixels: size, EXIF orientation, and whether the file is truncated.

Use `read_shape` for the size of an image, and `read_checked_header` to find damaged files early.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.readers.images import PIXEL_LIMIT, check_mode, explain_image_errors, open_image

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

#: What the label of an image with an EXIF orientation is aligned to: the upright image, or its stored pixels; `auto`
#: decides by the sizes.
Turned = Literal["auto", "upright", "stored"]
#: EXIF orientations that exchange width and height.
QUARTER_TURNS = (5, 6, 7, 8)
#: Keys of PNG's text chunks that can contain an orientation.
_TURNING_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
#: Number of bytes at the end of a JPEG in which its end marker is searched: some cameras append data.
_TAIL = 1 << 16
#: Tags of a TIFF: its height and width; where its strips or tiles begin, and their lengths.
_TIFF_SIZE = (257, 256)
_TIFF_PARTS = ((273, 279), (324, 325))


@dataclass(frozen=True)
class Header:
    """stored: (height, width) of the pixels as they are stored. orientation: EXIF's, 1 (upright) to 8.

    cut: the file seems truncated; only decoding it proves that.
    """

    stored: tuple[int, int]
    orientation: int = 1
    cut: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the upright image."""
        height, width = self.stored
        return (width, height) if self.orientation in QUARTER_TURNS else (height, width)


def read_header(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> Header:
    """Read an image's header, without pixels; raise BenchkitError as `decode_image` if it cannot be read."""
    with explain_image_errors(where, limit), open_image(data, where, limit) as picture:
        stream = cast(BinaryIO, picture.fp)
        place, length = stream.tell(), stream.seek(0, os.SEEK_END)
        png = _scan_png(stream, length) if picture.format == "PNG" else None
        cut = png.cut if png is not None else _is_cut(picture, stream, length)
        stream.seek(place)
        stored = (picture.height, picture.width)
        if picture.format == "TIFF":  # Pillow has already swapped its size
            stored = (picture.tag_v2[_TIFF_SIZE[0]], picture.tag_v2[_TIFF_SIZE[1]])  # type: ignore[attr-defined]
        if png is not None and not png.may_turn:
            return Header(stored, 1, cut)
        return Header(stored, _orientation(picture), cut)


def read_checked_header(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> Header:
    """Read an image's header; if the file seems truncated, decode it and raise BenchkitError if it is."""
    header = read_header(data, where, limit=limit)
    if header.cut:
        with explain_image_errors(where, limit), open_image(data, where, limit) as picture:
            picture.load()
    return header


def read_checked_image_header(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> Header:
    """Read as `read_checked_header`, an image that is not a mask; raise BenchkitError for 32-bit values too."""
    with explain_image_errors(where, limit), open_image(data, where, limit) as picture:
        check_mode(picture, where)
    return read_checked_header(data, where, limit=limit)


def read_shape(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> tuple[int, int]:
    """Return the (height, width) of `decode_image`, from the header alone; raise BenchkitError as it does."""
    return read_header(data, where, limit=limit).shape


def orient_mask(array: NDArray[np.bool_], orientation: int) -> NDArray[np.bool_]:
    """Return a mask (H, W) of the stored pixels, turned upright by the EXIF orientation."""
    rows, columns = array[::-1], array[:, ::-1]
    turns = {2: columns, 3: rows[:, ::-1], 4: rows, 5: array.T, 6: rows.T, 7: rows[:, ::-1].T, 8: columns.T}
    return np.ascontiguousarray(turns.get(orientation, array))


def find_orientation(header: Header, size: tuple[int, int] | None, turned: Turned, what: str, where: str) -> int:
    """Return the orientation that turns a label of an image upright: 1 if it is aligned to the upright image.

    size: (height, width) that the label was drawn for, None if unknown. turned: see Turned. Raises BenchkitError,
    naming `where` and `what` the label is, if the alignment cannot be decided.
    """
    if header.orientation == 1 or turned == "upright":
        return 1
    if turned == "stored":
        return header.orientation
    if size is None or header.shape == header.stored:
        raise BenchkitError(
            f"{where}: EXIF turns the image, and the sizes do not show whether the {what} is aligned to the upright or "
            "the stored image: set turned=upright or turned=stored, or save the image upright"
        )
    return header.orientation if size == header.stored else 1


def _orientation(picture: ImageFile) -> int:
    from PIL import ExifTags

    found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


@dataclass(frozen=True)
class _Chunks:
    may_turn: bool
    cut: bool


def _scan_png(stream: BinaryIO, length: int) -> _Chunks:
    """Return whether some chunk of a PNG may contain an orientation, and whether the last chunk is missing.

    Pillow decodes all pixels to reach the chunks behind them; this reads eight bytes of each chunk.
    """
    may_turn, place = False, 8
    while True:
        stream.seek(place)
        head = stream.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        place += 12 + size
        if len(head) < 8 or place > length:
            return _Chunks(may_turn, True)
        if kind == b"IEND":
            return _Chunks(may_turn, False)
        may_turn |= kind == b"eXIf" or (kind in _TEXTS and stream.read(min(size, 24)).startswith(_TURNING_TEXTS))


def _is_cut(picture: ImageFile, stream: BinaryIO, length: int) -> bool:
    if picture.format in ("JPEG", "MPO"):
        stream.seek(max(0, length - _TAIL))
        return b"\xff\xd9" not in stream.read(_TAIL)
    if picture.format == "WEBP":
        stream.seek(4)
        return int.from_bytes(stream.read(4), "little") + 8 > length
    if picture.format == "TIFF":
        tags = picture.tag_v2  # type: ignore[attr-defined]  # of Pillow's TIFF alone
        parts = [(tags.get(begin, ()), tags.get(size, ())) for begin, size in _TIFF_PARTS]
        return any(at + size > length for begins, sizes in parts for at, size in zip(begins, sizes, strict=False))
    return _uncompressed_end(picture) > length


def _uncompressed_end(picture: ImageFile) -> int:
    """Return the offset of the end of a BMP's or PPM's pixels if they are uncompressed, else 0."""
    (codec, _, offset, args), *_ = picture.tile
    stride = args[1] if isinstance(args, tuple) and isinstance(args[1], int) else 0
    bits = {"1": 1, "L": 8, "RGB": 24}.get(picture.mode, 0)
    return offset + (stride or (picture.width * bits + 7) // 8) * picture.height if codec == "raw" else 0
