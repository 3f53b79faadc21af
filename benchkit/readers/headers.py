"""What a picture file says of itself before its pixels: size, EXIF orientation, and whether its end is missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.readers.pictures import PIXEL_LIMIT, check_mode, opened, reading

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

#: On what labels of a picture lie that EXIF turns: on the upright picture, on its pixels as they are stored; by sizes.
Turned = Literal["auto", "upright", "stored"]
#: EXIF orientations that exchange width and height.
QUARTER_TURNS = (5, 6, 7, 8)
#: Keys of PNG's text chunks in which an orientation can stand.
_TURNING_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
#: How far from its end a JPEG's end mark is looked for, bytes: some cameras append data.
_TAIL = 1 << 16
#: Tags of a TIFF: its height and width; where its strips or tiles begin, and their lengths.
_TIFF_SIZE = (257, 256)
_TIFF_PARTS = ((273, 279), (324, 325))


@dataclass(frozen=True)
class Header:
    """stored: (height, width) of the pixels as they are stored. orientation: EXIF's, 1 (upright) to 8.

    cut: the file seems to end too early; only decoding it tells.
    """

    stored: tuple[int, int]
    orientation: int = 1
    cut: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the upright picture."""
        height, width = self.stored
        return (width, height) if self.orientation in QUARTER_TURNS else (height, width)


def picture_header(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> Header:
    """Read a picture's header, no pixels; raises BenchkitError as `decode_image` does where that cannot be read."""
    with reading(where, limit), opened(data, where, limit) as picture:
        stream = cast(BinaryIO, picture.fp)
        place, length = stream.tell(), stream.seek(0, os.SEEK_END)
        png = _walk_png(stream, length) if picture.format == "PNG" else None
        cut = png.cut if png is not None else _is_cut(picture, stream, length)
        stream.seek(place)
        stored = (picture.height, picture.width)
        if picture.format == "TIFF":  # whose size Pillow has turned already
            stored = (picture.tag_v2[_TIFF_SIZE[0]], picture.tag_v2[_TIFF_SIZE[1]])  # type: ignore[attr-defined]
        if png is not None and not png.may_turn:
            return Header(stored, 1, cut)
        return Header(stored, _orientation(picture), cut)


def checked_header(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> Header:
    """Read a picture's header; where the file seems cut, its pixels too, and raise BenchkitError if they are."""
    header = picture_header(data, where, limit=limit)
    if header.cut:
        with reading(where, limit), opened(data, where, limit) as picture:
            picture.load()
    return header


def checked_picture(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> Header:
    """As `checked_header`, of an image that is no mask; raises BenchkitError for 32-bit values too."""
    with reading(where, limit), opened(data, where, limit) as picture:
        check_mode(picture, where)
    return checked_header(data, where, limit=limit)


def picture_shape(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> tuple[int, int]:
    """(height, width) that `decode_image` would give, from the file's header alone; raises BenchkitError as it does."""
    return picture_header(data, where, limit=limit).shape


def oriented(array: NDArray[np.bool_], orientation: int) -> NDArray[np.bool_]:
    """Turn a mask (H, W) of the stored pixels as EXIF's orientation turns its picture."""
    rows, columns = array[::-1], array[:, ::-1]
    turns = {2: columns, 3: rows[:, ::-1], 4: rows, 5: array.T, 6: rows.T, 7: rows[:, ::-1].T, 8: columns.T}
    return np.ascontiguousarray(turns.get(orientation, array))


def turn_of(header: Header, size: tuple[int, int] | None, turned: Turned, what: str, where: str) -> int:
    """The orientation that brings a label upright whose picture EXIF turns: 1 if it lies on the upright picture.

    size: (height, width) of what the label was drawn on, None where it is not known; turned: see Turned. Raises
    BenchkitError, naming `where` and `what` the label is, where nothing tells on which it lies.
    """
    if header.orientation == 1 or turned == "upright":
        return 1
    if turned == "stored":
        return header.orientation
    if size is None or header.shape == header.stored:
        raise BenchkitError(
            f"{where}: EXIF turns the picture, and sizes do not tell whether the {what} lies on it as shown or as "
            "stored: set turned=upright or turned=stored, or save the picture upright"
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


def _walk_png(stream: BinaryIO, length: int) -> _Chunks:
    """Whether some chunk of a PNG may hold an orientation, and whether the last is missing.

    Pillow decodes all pixels to see chunks behind them; this reads eight bytes a chunk.
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
    """Where the pixels of a BMP or PPM end, if they are stored plainly; else 0."""
    (codec, _, offset, args), *_ = picture.tile
    stride = args[1] if isinstance(args, tuple) and isinstance(args[1], int) else 0
    bits = {"1": 1, "L": 8, "RGB": 24}.get(picture.mode, 0)
    return offset + (stride or (picture.width * bits + 7) // 8) * picture.height if codec == "raw" else 0
