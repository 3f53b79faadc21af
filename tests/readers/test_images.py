"""Pictures of every accepted kind come out as the pixels they show; what is damaged or doubtful is one clear line."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from benchkit.errors import BenchkitError
from benchkit.readers.image_headers import read_shape
from benchkit.readers.images import decode_image
from benchkit.readers.masks import decode_mask

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
DISC = np.hypot(*np.mgrid[-20:20, -24:24]) < 13


def encoded(picture: Image.Image | np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(file, form, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG by hand, of one filterless image."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_keep_every_pixel(form: str, options: dict[str, Any], tmp_path: Path) -> None:
    data = encoded(PHOTO, form, **options)
    found = decode_image(data, "a")
    assert found.dtype == np.uint8 and np.array_equal(found, PHOTO)
    (tmp_path / "a").write_bytes(data)
    assert np.array_equal(decode_image(tmp_path / "a", "a"), PHOTO)
    assert read_shape(data, "a") == (6, 9)


def test_a_jpeg_is_read_as_opencv_reads_it() -> None:
    smooth = np.stack([np.add.outer(np.arange(32) * 3, np.arange(48) * 2)] * 3, 2).astype(np.uint8)
    data = encoded(smooth, "JPEG", quality=90)
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decode_image(data, "a").astype(int) - other).max() <= 2


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_become_their_upper_eight(form: str) -> None:
    deep = (np.arange(54, dtype=np.uint16) * 1213).reshape(6, 9)
    found = decode_image(encoded(deep, form), "a")
    assert np.array_equal(found, np.repeat((deep >> 8)[..., None], 3, 2))


def test_sixteen_bits_of_colour_too() -> None:
    deep = RNG.integers(0, 65536, (2, 3, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    assert np.array_equal(decode_image(png(3, 2, 16, 2, rows), "a"), deep >> 8)


def test_transparency_lies_on_white() -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]]], np.uint8)
    found = decode_image(encoded(pixels), "a")
    share = 51 / 255
    blended = [round(255 + (value - 255) * share) for value in (0, 100, 200)]
    assert found[0, 0].tolist() == [10, 20, 30] and found[0, 1].tolist() == [255, 255, 255]
    assert np.abs(found[0, 2].astype(int) - blended).max() <= 1


def test_palette_grey_one_bit_and_cmyk_become_rgb() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([9, 8, 7, 60, 50, 40, 200, 100, 0])
    assert decode_image(encoded(palette), "a").tolist() == [[[9, 8, 7], [60, 50, 40], [200, 100, 0]]]
    assert decode_image(encoded(palette, transparency=1), "a").tolist()[0][1] == [255, 255, 255]
    assert decode_image(encoded(PHOTO[..., 0]), "a").tolist() == np.repeat(PHOTO[..., :1], 3, 2).tolist()
    assert decode_image(encoded(Image.fromarray(DISC)), "a")[..., 1].tolist() == (DISC * 255).tolist()
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    for form in ("TIFF", "JPEG"):
        assert np.abs(decode_image(encoded(cyan, form), "a").astype(int) - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_images_masks_and_shapes(orientation: int) -> None:
    """EXIF 2.3: what the 0th row and the 0th column of the stored pixels show, by hand."""
    shown = {
        1: PHOTO,
        2: PHOTO[:, ::-1],
        3: PHOTO[::-1, ::-1],
        4: PHOTO[::-1],
        5: PHOTO.transpose(1, 0, 2),
        6: np.rot90(PHOTO, -1),
        7: PHOTO[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PHOTO, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PHOTO, exif=exif)
    assert np.array_equal(decode_image(data, "a"), shown)
    assert read_shape(data, "a") == shown.shape[:2]
    mask = (PHOTO[..., 0] > 127).astype(np.uint8)
    assert np.array_equal(decode_mask(encoded(mask, exif=exif), "a"), shown[..., 0] > 127)


def test_of_several_pages_the_first_is_read() -> None:
    data = encoded(Image.fromarray(PHOTO), "TIFF", save_all=True, append_images=[Image.new("RGB", (3, 3))])
    assert np.array_equal(decode_image(data, "a"), PHOTO)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_truncated_file_is_named(form: str) -> None:
    data = encoded(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), form)
    for keep in (0, 5, 40, len(data) // 2):
        for decode in (decode_image, decode_mask):
            with pytest.raises(BenchkitError, match=r"^shots/a\.png: [^\n]+$"):
                decode(data[:keep], "shots/a.png")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GIF89a" + bytes(60), "not a readable PNG, JPEG"),
        (encoded(Image.fromarray(PHOTO), "GIF"), "not a readable PNG, JPEG"),
        (b"", r"an empty file \(0 bytes\)"),
        (encoded(np.zeros((2, 2), np.float32), "TIFF"), "32-bit"),
        (png(50_000, 50_000, 8, 2, b""), "more than 100000000 pixels"),
        (png(12_000, 9_000, 8, 2, b""), "12000x9000 are more than"),
        (Path("no/such/file.png"), "no such file"),
        (Path(), "a folder, not an image"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes | Path, reason: str) -> None:
    for decode in (decode_image, read_shape) if reason != "32-bit" else (decode_image,):
        with pytest.raises(BenchkitError, match=f"^here: [^\n]*{reason}[^\n]*$"):
            decode(data, "here")


def test_the_limit_can_be_moved() -> None:
    with pytest.raises(BenchkitError, match="9x6 are more than 53 pixels"):
        decode_image(encoded(PHOTO), "a", limit=53)
    assert decode_image(encoded(PHOTO), "a", limit=54).shape == (6, 9, 3)


def test_flipped_bytes_never_escape_as_another_error() -> None:
    for form in ("PNG", "JPEG", "WEBP", "TIFF"):
        data = bytearray(encoded(PHOTO, form))
        for place in range(0, len(data), 7):
            damaged = bytearray(data)
            damaged[place] ^= 0xFF
            try:
                assert decode_image(bytes(damaged), "a").ndim == 3
            except BenchkitError as error:
                assert "\n" not in str(error)


# A WebP may be lossy: 0 and 1 are not told from noise there.
@pytest.mark.parametrize(("form", "top"), [("PNG", 1), ("PNG", 255), ("TIFF", 1), ("TIFF", 255), ("WEBP", 255)])
def test_masks_of_two_values(form: str, top: int) -> None:
    found = decode_mask(encoded((DISC * top).astype(np.uint8), form, lossless=True), "m")
    assert found.dtype == np.bool_ and np.array_equal(found, DISC)


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_masks_of_sixteen_bits(top: int) -> None:
    assert np.array_equal(decode_mask(encoded((DISC * top).astype(np.uint16)), "m"), DISC)


def test_masks_of_one_bit_colour_and_opaque_alpha() -> None:
    assert np.array_equal(decode_mask(encoded(Image.fromarray(DISC)), "m"), DISC)
    coloured = np.where(DISC[..., None], np.array([0, 3, 0], np.uint8), np.uint8(0))
    assert np.array_equal(decode_mask(encoded(coloured), "m"), DISC)
    opaque = np.dstack([coloured, np.full(DISC.shape, 255, np.uint8)])
    assert np.array_equal(decode_mask(encoded(opaque), "m"), DISC)


@pytest.mark.parametrize("value", [0, 255])
def test_masks_of_one_value(value: int) -> None:
    for form in ("PNG", "JPEG", "WEBP"):
        assert (decode_mask(encoded(np.full((16, 16), value, np.uint8), form), "m") == (value > 0)).all()


def test_a_good_jpeg_is_read_and_a_poor_one_is_not() -> None:
    for picture in (DISC * np.uint8(255), np.where(DISC[..., None], np.uint8(255), np.zeros(3, np.uint8))):
        for form in ("JPEG", "WEBP"):
            assert np.array_equal(decode_mask(encoded(picture, form, quality=95), "m"), DISC)
        with pytest.raises(
            BenchkitError, match=r"^m: a lossy mask with the values .* \(\d+ of them\): save masks as PNG"
        ):
            decode_mask(encoded(picture, "JPEG", quality=8), "m")


def test_a_faint_jpeg_is_not_read_as_empty() -> None:
    with pytest.raises(BenchkitError, match="a lossy mask with the values 0, 1"):
        decode_mask(encoded((DISC * 20).astype(np.uint8), "JPEG", quality=100), "m")


RAMP = np.tile(np.arange(48, dtype=np.uint8), (40, 1))


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.array([[0, 3, 17, 250]], np.uint8), "a mask with the values 0, 3, 17, 250"),
        (np.array([[0, 128]], np.uint8), "a mask with the values 0, 128"),
        (np.array([[0, 1, 255]], np.uint8), "a mask with the values 0, 1, 255"),
        (np.array([[0, 700]], np.uint16), "a mask with the values 0, 700"),
        (RAMP, r"0, 1, 2, 3, 4 … 47 \(48 of them\)"),
        (np.dstack([RAMP, RAMP.T[:40].repeat(2, 1)[:, :48], RAMP]), "colours beside black"),
        (np.dstack([RAMP, RAMP]), "transparency"),
    ],
)
def test_other_values_are_listed_with_the_remedy(picture: np.ndarray, reason: str) -> None:
    with pytest.raises(BenchkitError, match=f"^m.png: .*{reason}.*: save masks as PNG with 0 and 1, or 0 and 255$"):
        decode_mask(encoded(picture), "m.png")
