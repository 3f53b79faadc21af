"""Sizes, orientations and missing ends, without decoding a pixel."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from benchkit.errors import BenchkitError
from benchkit.readers.image_headers import orient_mask, read_checked_header, read_header
from benchkit.readers.images import decode_image

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
FORMS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")


def encoded(form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, form, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every picture whose pixels are decoded."""
    seen: list[str] = []
    load = ImageFile.ImageFile.load

    def noted(self: ImageFile.ImageFile) -> Any:
        seen.append(str(self.format))
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    return seen


@pytest.mark.parametrize("form", FORMS)
def test_a_header_costs_no_pixels(form: str, undecoded: list[str], tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(encoded(form))
    for data in (file, file.read_bytes()):
        header = read_header(data, "a")
        assert (header.stored, header.shape, header.orientation, header.cut) == ((60, 90), (60, 90), 1, False)
    assert not undecoded


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_the_orientation_is_read(form: str) -> None:
    header = read_header(encoded(form, exif=exif(6)), "a")
    assert (header.stored, header.shape, header.orientation) == ((60, 90), (90, 60), 6)


def test_an_orientation_behind_the_pixels_of_a_png_is_seen() -> None:
    plain = encoded("PNG")
    for chunk in (
        png_chunk(b"eXIf", exif(8).tobytes().removeprefix(b"Exif\0\0")),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="8"/>'),
    ):
        data = plain[:-12] + chunk + plain[-12:]
        assert read_header(data, "a").orientation == 8
        assert decode_image(data, "a").shape == (90, 60, 3)
    text = png_chunk(b"tEXt", b"parameters\0a hand, 20 steps")
    assert read_header(plain[:-12] + text + plain[-12:], "a").orientation == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_lacks_its_end_is_found(form: str, undecoded: list[str]) -> None:
    data = encoded(form)
    for keep in (len(data) - 400, len(data) * 3 // 4):
        with pytest.raises(BenchkitError, match=r"^a: cannot be decoded"):
            read_checked_header(data[:keep], "a")
    assert undecoded or form == "WEBP", "only of a WebP does the header fail"
    undecoded.clear()
    read_checked_header(data, "a")
    assert not undecoded


def test_a_picture_that_only_seems_cut_is_read() -> None:
    data = encoded("JPEG") + bytes(1 << 17)  # what some cameras append
    assert read_header(data, "a").cut and read_checked_header(data, "a").shape == (60, 90)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_turn_as_their_pictures_do(orientation: int) -> None:
    mask = PHOTO[..., 0] > 127
    stored = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(stored, "PNG", exif=exif(orientation))
    assert np.array_equal(orient_mask(mask, orientation), decode_image(stored.getvalue(), "a")[..., 0] > 127)
