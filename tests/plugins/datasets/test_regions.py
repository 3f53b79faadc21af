"""COCO's polygons and runs against areas in closed form, counts made by hand, and another rasteriser."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from benchkit.errors import BenchkitError
from benchkit_plugins.datasets.folder.regions import check_region, decode_rle, draw_polygon, draw_region, parse_rle_text


def packed(runs: list[int]) -> str:
    """COCO's text form, written from its description: the inverse of `parse_rle_text`."""
    text = ""
    for i, run in enumerate(runs):
        value = run - (runs[i - 2] if i > 2 else 0)
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + (32 if more else 0))
    return text


def test_runs_go_down_the_columns() -> None:
    wanted = np.array([[0, 1, 0], [1, 1, 0]], bool)
    assert np.array_equal(decode_rle([1, 3, 2], (2, 3), "a"), wanted)
    assert np.array_equal(draw_region({"size": [2, 3], "counts": [1, 3, 2]}, (2, 3), "a"), wanted)
    assert decode_rle([0, 6], (2, 3), "a").all() and not decode_rle([6], (2, 3), "a").any()


def test_the_text_form_by_hand() -> None:
    # 1, 3 and 2 fit in five bits; 100 = 3 * 32 + 4 takes two characters; the fourth run is 1 - 3 = -2, bits 11110.
    assert parse_rle_text("132", "a") == [1, 3, 2]
    assert parse_rle_text("T3", "a") == [100]
    assert parse_rle_text("132N", "a") == [1, 3, 2, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
def test_the_text_form_returns(runs: list[int]) -> None:
    assert parse_rle_text(packed(runs), "a") == runs


@pytest.mark.parametrize("text", ["1é", "T", "\x10"])
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(BenchkitError, match=r"^a: .*damaged$"):
        parse_rle_text(text, "a")


def test_rectangles_are_exact() -> None:
    found = draw_polygon(np.array([[2, 1], [7, 1], [7, 4], [2, 4]], float), (6, 9))
    wanted = np.zeros((6, 9), bool)
    wanted[1:4, 2:7] = True
    assert np.array_equal(found, wanted)
    assert draw_polygon(np.array([[-5, -5], [50, -5], [50, 50], [-5, 50]], float), (6, 9)).all()


def test_a_circle_has_its_area() -> None:
    corners = np.array([[60 + 40 * cos(k * pi / 90), 50 + 40 * sin(k * pi / 90)] for k in range(180)])
    assert draw_polygon(corners, (100, 120)).sum() == pytest.approx(pi * 40**2, rel=0.005)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_convex_polygons_are_as_matplotlib_has_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * pi, 7))
    corners = np.stack([20 + 15 * np.cos(angles), 14 + 12 * np.sin(angles)], 1)
    rows, columns = np.mgrid[:30, :40] + 0.5
    inside = Outline(corners).contains_points(np.stack([columns.ravel(), rows.ravel()], 1)).reshape(30, 40)
    found = draw_polygon(corners, (30, 40))
    assert not inside.any() or np.array_equal(found, inside)


def test_a_thin_polygon_does_not_vanish() -> None:
    found = draw_polygon(np.array([[3, 2.1], [20, 2.1], [20, 2.3]], float), (10, 30))
    assert found[2, 3:21].all() and found.sum() == 18
    assert not draw_polygon(np.array([[50, 50], [60, 50], [60, 50.1]], float), (10, 30)).any()


def test_several_polygons_are_joined() -> None:
    squares = [[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 3, 1, 3, 3, 1, 3]]
    assert draw_region(squares, (4, 4), "a").sum() == 7


@pytest.mark.parametrize("wrong", [None, [], {}, "x", [[0, 0, 1, 1]], [["a"] * 6], [[0.0] * 5 + [float("nan")]]])
def test_other_forms_are_refused(wrong: object) -> None:
    with pytest.raises(BenchkitError, match=r"^a: "):
        draw_region(wrong, (4, 4), "a")


@pytest.mark.parametrize("counts", [[3], [-1, 17], ["3"], None, 5])
def test_runs_must_fill_the_image(counts: object) -> None:
    with pytest.raises(BenchkitError, match=r"^a: an RLE"):
        decode_rle(counts, (4, 4), "a")


SQUARE = [2, 2, 8, 2, 8, 8, 2, 8]


@pytest.mark.parametrize(
    ("polygon", "sure"),
    [
        ([x + 40 for x in SQUARE], True),  # beside the image
        ([-x for x in SQUARE], True),
        ([10, 10, 60, 10, 60, 50, 10, 50], True),  # draw_region on a larger one
        ([2, 2, 33, 2, 33, 8, 2, 8], False),  # no more than a rounding, where no size is stated
    ],
)
def test_a_polygon_that_reaches_out_of_its_image_is_refused(polygon: list[float], sure: bool) -> None:
    for look in (draw_region, check_region):
        with pytest.raises(
            BenchkitError, match=r"^a: a polygon from .* reaches out of the image of 30x20: correct or clip"
        ):
            look([SQUARE, polygon], (20, 30), "a", sure=sure)


def test_a_polygon_may_reach_a_little_over_the_edge() -> None:
    for sure in (True, False):
        assert draw_region([[-1, -1, 31.5, -1, 31.5, 21, -1, 21]], (20, 30), "a", sure=sure).all()
    assert draw_region([[0, 0, 104.9, 0, 104.9, 50, 0, 50]], (50, 100), "a").all()
    with pytest.raises(BenchkitError, match="reaches out"):
        draw_region([[0, 0, 105.1, 0, 105.1, 50, 0, 50]], (50, 100), "a")


def test_looking_at_a_region_raises_what_drawing_it_would() -> None:
    for wrong in (
        [[1, 2]],
        [],
        {"size": [9, 9], "counts": [81]},
        {"size": [20, 30], "counts": [1]},
        "x",
        [[float("nan")] * 6],
    ):
        messages = []
        for look in (draw_region, check_region):
            with pytest.raises(BenchkitError) as found:
                look(wrong, (20, 30), "a")
            messages.append(str(found.value))
        assert messages[0] == messages[1] and messages[0].startswith("a: ")
