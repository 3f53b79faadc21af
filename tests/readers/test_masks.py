"""What the values of a mask mean: palettes by their colours, ignored values, label maps; doubt is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchkit.errors import BenchkitError
from benchkit.readers.masks import MaskRule, decode_label, decode_mask

#: A bar of ten rows over 40 rows; the row below it is the border that label maps ignore.
BAR = np.zeros((40, 30), bool)
BAR[:10] = True
BORDER = np.zeros((40, 30), bool)
BORDER[10] = True
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0]
PLAIN = MaskRule()


def encoded(picture: Image.Image | np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(file, form, **options)
    return file.getvalue()


def palette(indices: np.ndarray, colours: list[int], last: tuple[int, int, int] = (224, 224, 192)) -> bytes:
    """A palette PNG; index 255 has the colour `last`."""
    picture = Image.fromarray(indices.astype(np.uint8), "P")
    picture.putpalette([*colours, *[7] * (765 - len(colours)), *last])
    return encoded(picture)


def refused(data: bytes, reason: str, rule: MaskRule = PLAIN) -> None:
    with pytest.raises(BenchkitError, match=reason) as found:
        decode_label(data, "m.png", rule)
    assert str(found.value).startswith("m.png: ") and "\n" not in str(found.value)


def test_a_palette_of_black_and_white_is_read_by_its_colours() -> None:
    for white_first in (True, False):
        colours = [255] * 3 + [0] * 3 if white_first else [0] * 3 + [255] * 3
        data = palette(white_first != BAR, colours)
        assert np.array_equal(decode_mask(data, "m"), BAR)
        assert np.array_equal(decode_label(data, "m", PLAIN)[0], BAR)
    assert decode_mask(palette(np.zeros((4, 4)), [255, 255, 255, 0, 0, 0]), "m").all(), "a file that shows white alone"


def test_a_label_map_whose_index_0_is_black_is_read_by_its_indices() -> None:
    assert np.array_equal(decode_mask(palette(BAR * (np.arange(30) % 2 + 1), VOC), "m"), BAR)
    assert not decode_mask(palette(BAR * 0, VOC), "m").any() and decode_mask(palette(BAR * 0 + 2, VOC), "m").all()


def test_a_palette_of_grey_steps_is_a_channel() -> None:
    ramp = [step for step in range(256) for _ in range(3)]
    for top in (1, 255):
        picture = Image.fromarray((BAR * top).astype(np.uint8), "P")
        picture.putpalette(ramp)
        assert np.array_equal(decode_mask(encoded(picture), "m"), BAR)
    smooth = Image.fromarray((np.arange(1200).reshape(40, 30) % 50).astype(np.uint8), "P")
    smooth.putpalette(ramp)
    refused(encoded(smooth), r"a mask with the values 0, 1, 2, 3, 4 … 49 \(50 of them\)")


def test_a_palette_whose_colours_tell_no_background_is_refused_until_it_is_named() -> None:
    grey_wall = palette(BAR, [120, 120, 120, 180, 120, 120])
    refused(grey_wall, r"index 0 is #787878, with the indices 0, 1: .*set background=0 if index 0 is it, or save masks")
    assert np.array_equal(decode_label(grey_wall, "m", MaskRule(background=0))[0], BAR)
    assert np.array_equal(decode_label(grey_wall, "m", MaskRule(background=1))[0], ~BAR)
    white_page = palette(BAR, [255, 255, 255, 255, 0, 0])
    refused(white_page, "index 0 is white, .*do not show the background")
    refused(palette(BAR, [9, 9, 9, 0, 0, 0, 255, 0, 0]), "index 0 is #090909")
    refused(palette(BAR, [0] * 765), "index 0 is black, .*do not show the background")
    with pytest.raises(BenchkitError, match="do not show the background: save masks as PNG"):
        decode_mask(grey_wall, "m")  # where there is no setting, none is named


@pytest.mark.parametrize("last", [(224, 224, 192), (255, 255, 255)])
def test_the_index_255_beside_labels_may_mean_ignored(last: tuple[int, int, int]) -> None:
    labels = np.where(BORDER, 255, BAR)
    for indices in (labels, np.where(BORDER, 255, 0)):
        data = palette(indices, VOC, last)
        if last == (255, 255, 255) and indices.max() == 255 and 1 not in indices:
            assert np.array_equal(decode_mask(data, "m"), BORDER), "black and white: an ordinary mask"
        else:
            refused(data, "where 255 means `ignore` in most label maps: set ignore=255 to .*, background=0 if they are")
        assert np.array_equal(decode_label(data, "m", MaskRule(background=0))[0], indices > 0)
        assert np.array_equal(decode_label(data, "m", MaskRule(ignore=255))[0], indices == 1)


def test_a_transparent_palette_is_refused() -> None:
    picture = Image.fromarray(BAR.astype(np.uint8), "P")
    picture.putpalette(VOC)
    refused(encoded(picture, transparency=0), "transparency has two meanings")
    assert np.array_equal(decode_mask(encoded(picture, transparency=2), "m"), BAR), "no pixel has that index"


@pytest.mark.parametrize("ignore", [255, 128])
@pytest.mark.parametrize("kind", ["L", "I;16", "P", "RGB", "TIFF", "BMP"])
def test_the_ignored_value_counts_as_neither(kind: str, ignore: int) -> None:
    labels = np.where(BORDER, ignore, BAR).astype(np.uint8)
    data = {
        "L": lambda: encoded(labels),
        "I;16": lambda: encoded(labels.astype(np.uint16)),
        "P": lambda: palette(labels, VOC),
        "RGB": lambda: encoded(np.dstack([labels] * 3)),
        "TIFF": lambda: encoded(labels, "TIFF"),
        "BMP": lambda: encoded(labels, "BMP"),
    }[kind]()
    mask, ignored = decode_label(data, "m.png", MaskRule(ignore))
    assert np.array_equal(mask, BAR) and ignored is not None and np.array_equal(ignored, BORDER)
    if (kind, ignore) != ("P", 128):  # there it is a label like any
        refused(data, rf"set ignore={ignore} to exclude these pixels, (or set )?background=0 if ")


def test_the_ignored_grey_of_a_colour_mask() -> None:
    colours = np.zeros((40, 30, 3), np.uint8)
    colours[BAR], colours[BORDER] = (200, 0, 0), (255, 255, 255)
    mask, ignored = decode_label(encoded(colours), "m", MaskRule(255))
    assert np.array_equal(mask, BAR) and np.array_equal(ignored, BORDER)
    white_page = np.where(BAR[..., None], np.array([200, 0, 0], np.uint8), np.uint8(255))
    refused(encoded(white_page), "a mask of 2 colours without black, the background: set background=255 if white is it")
    assert np.array_equal(decode_label(encoded(white_page), "m", MaskRule(background=255))[0], BAR)


def test_nothing_is_ignored_where_the_value_does_not_occur() -> None:
    for data in (encoded((BAR * 1).astype(np.uint8)), encoded(Image.fromarray(BAR)), palette(BAR, VOC)):
        mask, ignored = decode_label(data, "m", MaskRule(255))
        assert np.array_equal(mask, BAR) and ignored is None


def test_label_maps_by_their_background() -> None:
    """As mmsegmentation's reduce_zero_label has it: 0 counts in nothing, 1 is the background."""
    labels = np.where(BORDER, 0, np.where(BAR, 7, 1)).astype(np.uint8)
    refused(encoded(labels), "set background=0 if every other value is an artifact")
    mask, ignored = decode_label(encoded(labels), "m", MaskRule(ignore=0, background=1))
    assert np.array_equal(mask, BAR) and np.array_equal(ignored, BORDER)
    assert np.array_equal(decode_label(encoded(labels), "m", MaskRule(background=1))[0], BAR | BORDER)
    for background in (0, 1, 255):
        wanted = BAR if background == 0 else ~BAR
        assert np.array_equal(
            decode_label(encoded(Image.fromarray(BAR)), "m", MaskRule(background=background))[0], wanted
        )
    heat = (np.arange(1200).reshape(40, 30) % 200).astype(np.uint8)
    refused(encoded(heat), "200 of them.: save masks as PNG")
    refused(encoded(heat), "a label map of 200 values", MaskRule(background=0))


def test_a_mask_of_several_pages_is_refused() -> None:
    pages = encoded(Image.fromarray(BAR), "TIFF", save_all=True, append_images=[Image.fromarray(~BAR)])
    refused(pages, "a mask of 2 pages: keep one")


def test_lossy_files_hold_no_labels() -> None:
    data = encoded(BAR * np.uint8(255), "JPEG", quality=95)
    assert np.array_equal(decode_mask(data, "m"), BAR)
    for rule in (MaskRule(ignore=255), MaskRule(background=0)):
        refused(data, r"a lossy mask \(JPEG\), whose values cannot be separated into labels", rule)


def test_a_colour_mask_of_16_bits_does_not_lose_its_lower_eight() -> None:
    import cv2

    labels = np.dstack([BAR * 1] * 3).astype(np.uint16)
    for ending in (".png", ".ppm"):
        data = cv2.imencode(ending, labels)[1].tobytes()
        refused(data, "16 bits a channel, of which only eight can be read")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 254, 255]), min_size=1, max_size=8), st.sampled_from([None, 0, 1, 2, 255]))
def test_a_pixel_is_marked_or_ignored_or_neither(values: list[int], ignore: int | None) -> None:
    array = np.array([values], np.uint8)
    mask, ignored = decode_label(encoded(array), "m", MaskRule(ignore, background=0 if ignore else 1))
    wanted = array == ignore
    assert np.array_equal(ignored if ignored is not None else np.zeros_like(mask), wanted)
    assert np.array_equal(mask, (array != (0 if ignore else 1)) & ~wanted)
