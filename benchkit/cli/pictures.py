"""Images and masks in files: reading, checking where to write, writing, and one row of pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchkit.errors import BenchkitError, shortened
from benchkit.readers.images import decode_image
from benchkit.readers.masks import decode_mask
from benchkit.system.files import write_atomic
from benchkit.system.output_files import check_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAP = 4


def read_image(path: Path) -> Image.Image:
    """Read an image file as RGB, as datasets do; raise BenchkitError if it cannot be read."""
    return Image.fromarray(decode_image(path, f"image '{shortened(str(path), 300)}'"))


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask file as (H, W) bool, as datasets do; raise BenchkitError if its values are ambiguous."""
    return decode_mask(path, f"mask '{shortened(str(path), 300)}'")


def check_target(path: Path, option: str, *, force: bool = False, image: bool = True) -> None:
    """Raise BenchkitError unless a file can be written there, with `image` unless its suffix is of an image format."""
    if image and path.suffix.lower() not in _writable_suffixes():
        raise BenchkitError(f"{option} '{path}': name an image file, such as {path.stem or 'image'}.png")
    try:
        check_file(path, force)
    except BenchkitError as error:
        raise BenchkitError(f"{option} {error}") from None


def _writable_suffixes() -> set[str]:
    Image.init()
    return {suffix for suffix, name in Image.registered_extensions().items() if name in Image.SAVE}


def save_image(path: Path, picture: Image.Image, option: str) -> None:
    """Write a picture completely or not at all; raise BenchkitError that names the option."""
    sink = io.BytesIO()
    lossless: dict[str, Any] = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    try:
        picture.save(sink, format=Image.registered_extensions()[path.suffix.lower()], **lossless)
        write_atomic(path, sink.getvalue())
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BenchkitError(f"{option} '{path}' cannot be written: {reason}; name another file") from None


def side_by_side(before: Image.Image, mask: NDArray[np.bool_], after: Image.Image) -> Image.Image:
    """Return the image before, the mask (white: selected) and the image after in one row, RGB."""
    panels = [before, Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB"), after]
    width, height = before.size
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height), "white")
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i * (width + _GAP), 0))
    return sheet
