"""Read an image file as an RGB array: `decode_image`.

See `image_headers` to read only the size, and `masks` for mask files.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

#: Suffixes of image files, lower case.
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".pbm", ".pgm", ".ppm", ".pnm")
#: Images of more pixels are not decoded: a file of some kilobytes can claim gigabytes.
PIXEL_LIMIT = 100_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")


def decode_image(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> NDArray[np.uint8]:
    """Decode one PNG, JPEG, WebP, TIFF (of several pages the first), BMP or PPM file to (H, W, 3) uint8.

    EXIF orientation is applied; transparency is composited on white; of 16 bits the upper eight are kept; CMYK,
    palette and grey become RGB, colour profiles are ignored. Raises BenchkitError, beginning with `where`, for a file
    that is missing, truncated, not an image, 32-bit, or of more than `limit` pixels.
    """
    with explain_image_errors(where, limit), open_image(data, where, limit) as picture:
        return _rgb(picture, where)


@contextmanager
def explain_image_errors(where: str, limit: int = PIXEL_LIMIT) -> Iterator[None]:
    """Raise any error that Pillow raises on damaged files as a BenchkitError of one line, beginning with `where`."""
    from PIL import UnidentifiedImageError
    from PIL.Image import DecompressionBombError

    try:
        with warnings.catch_warnings():
            # Pillow warns of unusual tags, and of many pixels, which are limited here.
            warnings.simplefilter("ignore")
            yield
    except BenchkitError:
        raise
    except DecompressionBombError:
        raise BenchkitError(f"{where}: more than {limit} pixels: reduce the image") from None
    except UnidentifiedImageError:
        formats = "PNG, JPEG, WebP, TIFF, BMP or PPM"
        raise BenchkitError(f"{where}: not a readable {formats} file: replace the file") from None
    except FileNotFoundError:
        raise BenchkitError(f"{where}: no such file: correct its name, or put it there") from None
    except IsADirectoryError:
        raise BenchkitError(f"{where}: a folder, not an image: name one file") from None
    except PermissionError:
        raise BenchkitError(f"{where}: permission denied: make the file readable") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BenchkitError(f"{where}: cannot be decoded ({reason[:120]}): replace the file") from None


def open_image(data: bytes | Path, where: str, limit: int) -> ImageFile:
    """Open an image and check its size; pixels are not read yet. Call it inside `explain_image_errors`."""
    from PIL import Image

    if (len(data) if isinstance(data, bytes) else data.stat().st_size) == 0:
        raise BenchkitError(f"{where}: an empty file (0 bytes): replace the file")
    picture = Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS)
    width, height = picture.size
    if width * height > limit:
        picture.close()
        raise BenchkitError(f"{where}: {width}x{height} are more than {limit} pixels: reduce the image")
    return picture


def apply_orientation(picture: Image) -> Image:
    """Return the image turned upright by its EXIF orientation; keep `format`, which Pillow's function drops."""
    from PIL import ImageOps

    found = ImageOps.exif_transpose(picture)
    found.format = picture.format
    return found


def to_rgb(picture: Image, where: str) -> NDArray[np.uint8]:
    """Return an open image of any mode as (H, W, 3) uint8, exactly as `decode_image` of its file.

    Raises BenchkitError, beginning with `where`, for pixels that cannot be decoded, and for 32-bit values.
    """
    with explain_image_errors(where):
        return _rgb(picture, where)


def check_mode(picture: Image, where: str) -> None:
    """Raise BenchkitError for an image of 32-bit values; pixels are not decoded."""
    if picture.mode == "F" or (picture.mode == "I" and picture.format != "PPM"):  # I is the mode of a 16-bit PPM
        raise BenchkitError(f"{where}: 32-bit values have no known range: save the image with 8 or 16 bits a channel")


def _rgb(picture: Image, where: str) -> NDArray[np.uint8]:
    from PIL import Image

    picture = apply_orientation(picture)
    check_mode(picture, where)
    if picture.mode == "I" or picture.mode.startswith("I;16"):  # 16 bits
        grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, (255, 255, 255, 255)), over)
    return np.array(picture.convert("RGB"), np.uint8)
