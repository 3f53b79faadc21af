"""Picture files to arrays: any image to RGB, and a mask only where its values leave no doubt."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
#: Suffixes of the files that are read as pictures, lower case.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
#: More pixels than this are not decoded: a file of some kilobytes can claim gigabytes.
PIXEL_LIMIT = 100_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
#: Formats that change values a little when they are written; a WebP does not say whether it is lossless.
LOSSY = ("JPEG", "MPO", "WEBP")
#: In a lossy mask, values up to the first are background and values from the second are artifact.
NEAR_0, NEAR_255 = 63, 192
#: A mask of more colours than this beside black is a photograph, or has smoothed edges.
MASK_COLOURS = 64
#: EXIF orientations that exchange width and height.
QUARTER_TURNS = (5, 6, 7, 8)
REMEDY = "save masks as PNG with 0 and 1, or 0 and 255"


def decode_image(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> NDArray[np.uint8]:
    """One PNG, JPEG, WebP or TIFF (of several pages the first) as (H, W, 3) uint8.

    EXIF orientation is applied; transparency is composited on white; of 16 bits the upper eight are kept; CMYK,
    palette and grey become RGB, colour profiles are ignored. Raises BenchkitError, beginning with `where`, for a file
    that is missing, truncated, no such picture, 32-bit, or of more than `limit` pixels.
    """
    return _guarded(_image, data, where, limit)


def decode_mask(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> NDArray[np.bool_]:
    """One mask file as (H, W) bool, EXIF orientation applied.

    Accepted: 1-bit; one channel of 8, 16 or 32 bits with the values 0 and 1, 0 and 255, or 0 and 65535; a palette
    (index 0 is background); RGB with up to 64 colours (black is background). In JPEG and WebP every channel must keep
    away from the middle: up to 63 is 0, from 192 is 255, and some pixel must reach 192 unless all are 0.
    Raises BenchkitError, beginning with `where`, for any other values, for transparency, and as `decode_image` does.
    """
    return _guarded(_mask, data, where, limit)


def picture_shape(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> tuple[int, int]:
    """(height, width) that `decode_image` would give, from the file's header alone; raises BenchkitError as it does."""
    return _guarded(_shape, data, where, limit)


def _shape(data: bytes | Path, where: str, limit: int) -> tuple[int, int]:
    from PIL import ExifTags

    with _header(data, where, limit) as picture:
        turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in QUARTER_TURNS
        width, height = picture.size
    return (width, height) if turned else (height, width)


def _guarded(decode: Callable[[bytes | Path, str, int], T], data: bytes | Path, where: str, limit: int) -> T:
    """Pillow's plugins raise nearly anything on damaged bytes; a user sees one line that names the file."""
    from PIL import UnidentifiedImageError
    from PIL.Image import DecompressionBombError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of many pixels (the limit here is ours) and of odd tags
            return decode(data, where, limit)
    except BenchkitError:
        raise
    except DecompressionBombError:
        raise BenchkitError(f"{where}: more than {limit} pixels: reduce the picture") from None
    except UnidentifiedImageError:
        raise BenchkitError(f"{where}: no PNG, JPEG, WebP or TIFF that can be read: replace the file") from None
    except FileNotFoundError:
        raise BenchkitError(f"{where}: no such file") from None
    except IsADirectoryError:
        raise BenchkitError(f"{where}: a folder, no picture: name one file") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BenchkitError(f"{where}: cannot be decoded ({reason[:120]}): replace the file") from None


def _header(data: bytes | Path, where: str, limit: int) -> Image:
    """The picture with its size checked and its pixels not yet read."""
    from PIL import Image

    picture = Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS)
    width, height = picture.size
    if width * height > limit:
        picture.close()
        raise BenchkitError(f"{where}: {width}x{height} are more than {limit} pixels: reduce the picture")
    return picture


def _upright(data: bytes | Path, where: str, limit: int) -> Image:
    from PIL import ImageOps

    with _header(data, where, limit) as picture:
        picture.load()
        kind = picture.format
        found = ImageOps.exif_transpose(picture)
    found.format = kind  # which transposing forgets, and a mask's rule asks for
    return found


def _image(data: bytes | Path, where: str, limit: int) -> NDArray[np.uint8]:
    return rgb_pixels(_upright(data, where, limit), where)


def rgb_pixels(picture: Image, where: str) -> NDArray[np.uint8]:
    """An open picture of any mode as (H, W, 3) uint8: as `decode_image` of its file, but not turned.

    Raises BenchkitError, beginning with `where`, for 32-bit values.
    """
    from PIL import Image

    if picture.mode in ("I", "F"):
        raise BenchkitError(f"{where}: 32-bit values have no known range: save the picture with 8 or 16 bits a channel")
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, (255, 255, 255, 255)), over)
    return np.array(picture.convert("RGB"), np.uint8)


def _mask(data: bytes | Path, where: str, limit: int) -> NDArray[np.bool_]:
    picture = _upright(data, where, limit)
    lossy = picture.format in LOSSY
    if picture.mode == "1":
        return np.array(picture, bool)
    if picture.mode == "P":
        return _of_palette(np.array(picture), where)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        alpha = picture.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            raise BenchkitError(f"{where}: a mask with transparency has two meanings: {REMEDY}")
        picture = picture.convert("L" if picture.mode in ("LA", "La") else "RGB")
    if picture.mode in ("L", "I", "F") or picture.mode.startswith("I;16"):
        return _of_values(np.array(picture), lossy, where)
    return _of_colours(np.array(picture.convert("RGB")), lossy, where)


def _of_values(values: NDArray[Any], lossy: bool, where: str) -> NDArray[np.bool_]:
    """One channel: 0 and 1, 0 and 255, 0 and 65535; or clearly near 0 and 255 where the format is lossy."""
    found = np.unique(values)
    if lossy:
        if not _two_heaps(found):
            raise BenchkitError(f"{where}: a lossy mask with the values {_listed(found)}: {REMEDY}")
        return np.asarray(values >= NEAR_255)
    top = found[-1]
    if top not in (0, 1, 255, 65535) or not np.isin(found, (0, top)).all():
        raise BenchkitError(f"{where}: a mask with the values {_listed(found)}: {REMEDY}")
    return np.asarray(values > 0)


def _of_palette(indices: NDArray[np.uint8], where: str) -> NDArray[np.bool_]:
    found = np.unique(indices)
    if found[-1] == 255 and not np.isin(found, (0, 255)).all():
        raise BenchkitError(f"{where}: a palette mask with the indices {_listed(found)}, 255 being `ignore`: {REMEDY}")
    return indices > 0


def _of_colours(colours: NDArray[np.uint8], lossy: bool, where: str) -> NDArray[np.bool_]:
    if (colours == colours[..., :1]).all():
        return _of_values(colours[..., 0], lossy, where)
    if lossy:
        if not _two_heaps(np.unique(colours)):
            raise BenchkitError(f"{where}: a lossy mask with the values {_listed(np.unique(colours))}: {REMEDY}")
        return np.asarray((colours >= NEAR_255).any(axis=2))
    packed = colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    count = np.count_nonzero(np.unique(packed))
    if count > MASK_COLOURS:
        raise BenchkitError(f"{where}: a mask of {count} colours beside black (at most {MASK_COLOURS}): {REMEDY}")
    return packed > 0


def _two_heaps(found: NDArray[Any]) -> bool:
    """Whether the values of a lossy mask lie near 0 and 255 alone; a faint one (0 and 1, say) does not count as 0."""
    middle = (found > NEAR_0) & (found < NEAR_255)
    return not middle.any() and bool(found[-1] >= NEAR_255 or found[-1] == 0)


def _listed(found: NDArray[Any]) -> str:
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in found[:5].tolist()]
    return ", ".join(texts) if len(found) <= 5 else f"{', '.join(texts)} … {found[-1]} ({len(found)} of them)"
