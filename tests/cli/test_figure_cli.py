"""The paper's figures of a run: the right images in the right places, as files that open."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from benchkit.errors import BenchkitError
from benchkit.outputs.finished_run import FinishedRun, RowQuery, train_of
from benchkit.outputs.paper_figures import FigureRequest, draw_figure, region_changes
from benchkit.planning.plan import PlannedCell
from benchkit.report.pictures import SELECTED, Picture, PictureSheet, draw_pictures, heading
from tests.helpers.small_comparison import ODD_TITLE, PLUGINS, Finished, Run


def corrupted(opened: FinishedRun, row: str) -> tuple[PlannedCell, np.ndarray, np.ndarray, np.ndarray]:
    """The cell of a row; its corrupted images and the masks they were corrupted in; the images before."""
    cell = opened.find_cell(RowQuery(row))
    chunks = train_of(cell).pairs.chunks  # type: ignore[union-attr]
    arrays = [opened.env.arrays(chunk) for chunk in chunks]
    select = chunks[0].region.select
    before = np.concatenate([opened.env.arrays(stage)["images"] for stage in select.images])
    return cell, np.concatenate([a["images"] for a in arrays]), select.masks(opened.env), before


def kept(masks: np.ndarray) -> np.ndarray:
    return np.flatnonzero(masks.any(axis=(1, 2)))


def test_before_and_after_shows_the_first_method_that_changes_anything(opened: FinishedRun) -> None:
    sheet = draw_figure(4, opened, FigureRequest(count=17))
    _, after, masks, before = corrupted(opened, "gaussian:steps=1")
    places = kept(masks)[:17]
    assert "gaussian:steps=1" in sheet.title
    assert len(sheet.columns) == len(places) > 16, "images of the second chunk are wanted too"
    for x, place in enumerate(places):
        assert np.array_equal(sheet.rows[0][x].image, before[place])
        assert np.array_equal(sheet.rows[1][x].image, after[place])
        assert np.array_equal(dict(sheet.rows[1][x].outlines)[SELECTED], masks[place])


def test_methods_stand_side_by_side_on_the_same_images(opened: FinishedRun) -> None:
    sheet = draw_figure(5, opened, FigureRequest(count=2))
    assert sheet.columns == ("image", "none:steps=1", "gaussian:steps=1", "gaussian:steps=0", "pixel-blur")
    for x, row in enumerate(sheet.columns[1:], start=1):
        _, after, masks, before = corrupted(opened, row)
        for y, place in enumerate(kept(masks)[:2]):
            assert np.array_equal(sheet.rows[y][x].image, after[place])
            assert np.array_equal(sheet.rows[y][0].image, before[place])


def test_a_number_of_steps_that_the_run_has_comes_out_the_same_when_made_anew(opened: FinishedRun) -> None:
    sheet = draw_figure(6, opened, FigureRequest(count=2, steps=(0, 1, 3)))
    assert sheet.columns == ("image", "0 steps", "1 steps", "3 steps")
    for x, row in ((1, "gaussian:steps=0"), (2, "gaussian:steps=1")):
        _, after, masks, _ = corrupted(opened, row)
        for y, place in enumerate(kept(masks)[:2]):
            # Two images at once, where the run took 16: the network's last bits may differ.
            difference = sheet.rows[y][x].image.astype(int) - after[place]
            assert np.abs(difference).max() <= 1
    assert not np.array_equal(sheet.rows[0][2].image, sheet.rows[0][3].image)


def test_the_steps_of_the_paper_end_where_the_schedule_does(opened: FinishedRun) -> None:
    assert draw_figure(6, opened, FigureRequest(count=1)).columns == ("image", "5 steps", "10 steps")
    with pytest.raises(BenchkitError, match="0 to 10"):
        draw_figure(6, opened, FigureRequest(steps=(5, 11)))
    with pytest.raises(BenchkitError, match="is not inverted"):
        draw_figure(6, opened, FigureRequest(RowQuery("pixel-blur")))


def test_image_latent_beside_intermediate_latent(opened: FinishedRun) -> None:
    sheet = draw_figure(7, opened, FigureRequest(count=1))
    assert sheet.columns == ("image", "image latent", "intermediate latent, 1 steps")
    for x, row in ((1, "gaussian:steps=0"), (2, "gaussian:steps=1")):
        _, after, masks, _ = corrupted(opened, row)
        assert np.array_equal(sheet.rows[0][x].image, after[kept(masks)[0]])
    with pytest.raises(BenchkitError, match="steps=0"):
        draw_figure(7, opened, FigureRequest(RowQuery("none:steps=1")))


def test_failures_are_sorted_by_their_least_changed_region(opened: FinishedRun) -> None:
    sheet = draw_figure(8, opened, FigureRequest(RowQuery("none:steps=1"), count=3))
    assert all(picture.note == "least change 0.0 %" for picture in sheet.rows[1]), "a round trip changes nothing"
    assert re.search(r"(\d+) of \1 regions \(100\.0 %\)", sheet.foot)
    shown = [float(p.note.split()[2]) for p in draw_figure(8, opened, FigureRequest(count=18)).rows[1]]
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]


def test_region_changes_by_hand() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:6, 2:6] = mask[6, 6] = True  # one region: corners touch
    mask[10:14, 10:20] = True
    before, after = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint8)
    after[2:6, 2:6] = 51
    after[0, 0] = 255
    labels, changes = region_changes(after, before, mask)
    assert changes == pytest.approx([0.2 * 16 / 17, 0.0])
    assert np.array_equal(labels > 0, mask)
    assert labels[6, 6] == labels[2, 2] != labels[10, 10]


def test_regions_too_small_to_see_are_left_out() -> None:
    mask = np.zeros((100, 100), bool)
    mask[0, :9] = True
    mask[50:60, 50:60] = True
    labels, changes = region_changes(np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100, 3), np.uint8), mask)
    assert len(changes) == 1
    assert np.flatnonzero(labels).size == 100


def test_files_open_and_are_the_same_every_time() -> None:
    image = np.full((20, 30, 3), 200, np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[5:, :10] = True
    picture = Picture(image, ((SELECTED, mask),), "a $note$ <i>")
    sheet = PictureSheet(ODD_TITLE, ("a$b$", "c"), ("row <b>",), ((picture, Picture(image)),), "foot\x1b[31m\nline")
    made = {form: draw_pictures(sheet, form) for form in ("png", "svg", "pdf")}  # type: ignore[arg-type]
    with Image.open(io.BytesIO(made["png"])) as picture_file:
        pixels = np.asarray(picture_file.convert("RGB")).reshape(-1, 3)
    green = (np.abs(pixels.astype(int) - (0x5D, 0xFF, 0x5D)).max(axis=1) < 20).sum()
    assert green > 50, "the outline is to be seen"
    assert (pixels == 200).all(axis=1).mean() > 0.2, "images are drawn with their own colours"
    tree = ElementTree.fromstring(made["svg"])
    assert len(tree.findall(".//{http://www.w3.org/2000/svg}image")) == 2
    assert not tree.findall(".//{http://www.w3.org/2000/svg}script")
    assert made["pdf"].startswith(b"%PDF-")
    assert made == {form: draw_pictures(sheet, form) for form in made}  # type: ignore[arg-type]


def test_headings_are_short() -> None:
    assert heading("a:steps=1") == "a:steps=1"
    assert heading("a-longer-name:steps=10,factor=2") == "a-longer-name\nsteps=10, factor=2"
    assert all(len(line) <= 22 for line in heading("x" * 200).split("\n"))
    assert heading("x" * 200).count("\n") == 2


def test_the_command_writes_every_format_once(run: Run, shown: Finished, tmp_path: Path) -> None:
    arguments = ["figure", 4, shown.out, "--cache", shown.cache, "--plugin", PLUGINS, "--count", 2]
    result = run(*arguments, "--out", tmp_path / "four.svg", "--format", "png,svg")
    assert result.code == 0, result.err
    assert result.out.splitlines() == [str(tmp_path / "four.png"), str(tmp_path / "four.svg")]
    assert Image.open(tmp_path / "four.png").format == "PNG"
    again = run(*arguments, "--out", tmp_path / "four.png")
    assert again.code == 2
    assert "exists already" in again.err
    assert run(*arguments, "--out", tmp_path / "four.png", "--force").code == 0


def test_mistakes_are_one_line_and_write_nothing(run: Run, shown: Finished, cache: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((4, "2099", "--cache", shown.cache), "unknown run '2099'"),
        ((4, shown.out), "is not in cache"),
        ((4, "2099"), "does not exist; name the run"),
        ((4, shown.out, "--cache", shown.cache, "--row", "gausian:steps=1"), "did you mean 'gaussian:steps=1'?"),
        ((4, shown.out, "--cache", shown.cache, "--row", "gaussian"), "gaussian:steps=0 or gaussian:steps=1"),
        ((4, shown.out, "--cache", shown.cache, "--seed", 7), "no seed 7: it has 0"),
        ((9, shown.out), "less than or equal to 8"),
        ((4, shown.out, "--format", "gif"), "unknown format 'gif'"),
        ((6, shown.out, "--steps", "5,x"), "--steps '5,x'"),
    ):
        result = run("figure", *arguments, "--plugin", PLUGINS, "--out", tmp_path / "none.png")
        assert result.code == 2
        assert message in result.err
        assert result.err.count("\n") == 1
    assert not cache.exists()
    assert not list(tmp_path.glob("none*"))


def test_pruned_artifacts_are_named_with_the_remedy(run: Run, shown: Finished, tmp_path: Path) -> None:
    shutil.copytree(shown.cache, tmp_path / "pruned")
    shutil.rmtree(tmp_path / "pruned" / "objects")
    name = json.loads((shown.out / "run.json").read_text())["run"]
    result = run("figure", 5, name, "--cache", tmp_path / "pruned", "--plugin", PLUGINS, "--out", tmp_path / "5.png")
    assert result.code == 2
    assert "run 'benchkit compare' again" in result.err
    assert result.err.count("\n") == 1


def test_a_method_that_failed_is_left_out_and_named(opened: FinishedRun) -> None:
    failed = opened.find_cell(RowQuery("gaussian:steps=0"))
    states = {**opened.states, failed.key: replace(opened.states[failed.key], state="failed", reason="no luck")}
    lame = replace(opened, states=states)
    sheet = draw_figure(5, lame, FigureRequest(count=1))
    assert "gaussian:steps=0" not in sheet.columns
    assert "Not finished: gaussian:steps=0." in sheet.foot
    with pytest.raises(BenchkitError, match=r"'gaussian:steps=0' is failed \(no luck\)"):
        draw_figure(4, lame, FigureRequest(RowQuery("gaussian:steps=0")))
