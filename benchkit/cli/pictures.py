"""Pictures in and out of files, with every way they can be unusable said in one line."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from benchkit.datasets.pictures import PIXEL_LIMIT
from benchkit.errors import BenchkitError
from benchkit.specs import said, shortened
from benchkit.store.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

#: What is opened at all: of Pillow's formats some start another program (PostScript) or read further files.
READ = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "TGA", "ICO", "JPEG2000", "AVIF")
_NUMBERS = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")
_GAP = 4


def read_image(path: Path) -> Image.Image:
    """An image file as RGB, turned as its camera says; raises BenchkitError when it cannot be read whole."""
    return _read(path, "image").convert("RGB")


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask file as (H, W) bool: selected is what is neither black nor transparent.

    Raises BenchkitError when it cannot be read whole.
    """
    picture = _read(path, "mask")
    if picture.mode in _NUMBERS:
        return np.asarray(picture) != 0
    pixels = np.asarray(picture.convert("RGBA"))
    selected: NDArray[np.bool_] = (pixels[..., :3] != 0).any(axis=-1) & (pixels[..., 3] != 0)
    return selected


def _read(path: Path, what: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of many pixels (the limit here is ours) and of odd tags
            with Image.open(path, formats=[name for name in READ if name in _openable()]) as picture:
                if picture.width * picture.height > PIXEL_LIMIT:
                    size = f"{picture.width}x{picture.height}"
                    raise BenchkitError(f"{size} are more than {PIXEL_LIMIT} pixels: reduce the picture")
                picture.load()
                return ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise BenchkitError(f"there is no {what} file '{shortened(str(path), 300)}'") from None
    except UnidentifiedImageError:
        raise BenchkitError(f"cannot read {what} '{path}': it is no image file that Pillow knows") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged bytes
        reason = getattr(error, "strerror", None) or said(error)
        raise BenchkitError(f"cannot read {what} '{shortened(str(path), 300)}': {reason}") from None


def _openable() -> Collection[str]:
    Image.init()
    return Image.OPEN


def check_target(path: Path, option: str, *, image: bool = True) -> None:
    """Raise BenchkitError unless a file can be written there (and its name is an image format's)."""
    if image and path.suffix.lower() not in _writable_suffixes():
        raise BenchkitError(f"{option} '{path}': name an image file, such as {path.stem or 'image'}.png")
    folder = path.parent
    if path.is_dir():
        raise BenchkitError(f"{option} '{path}' is a folder: name a file")
    if not folder.is_dir():
        raise BenchkitError(f"{option} '{path}': there is no folder '{folder}'")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BenchkitError(f"{option} '{path}': folder '{folder}' cannot be written; name another one")


def _writable_suffixes() -> set[str]:
    Image.init()
    return {suffix for suffix, name in Image.registered_extensions().items() if name in Image.SAVE}


def save_image(path: Path, picture: Image.Image, option: str) -> None:
    """Write a picture whole or not at all; raises BenchkitError naming the option."""
    sink = io.BytesIO()
    lossless: dict[str, Any] = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    try:
        picture.save(sink, format=Image.registered_extensions()[path.suffix.lower()], **lossless)
        write_atomic(path, sink.getvalue())
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BenchkitError(f"{option} '{path}' cannot be written: {reason}; name another file") from None


def side_by_side(before: Image.Image, mask: NDArray[np.bool_], after: Image.Image) -> Image.Image:
    """Before, mask (white is selected) and after in one row, RGB."""
    panels = [before, Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB"), after]
    width, height = before.size
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height), "white")
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i * (width + _GAP), 0))
    return sheet
