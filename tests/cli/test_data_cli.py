"""`benchkit data`: datasets listed, and exported whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import benchkit
from benchkit.inference.images import image_tensor
from benchkit.plugin.loading import import_file
from tests.helpers.small_comparison import PLUGINS, Run

SHAPES = ("data", "export", "shapes", "--plugin", PLUGINS)


def shapes(split: str, count: int) -> list[Any]:
    return import_file(PLUGINS).Shapes().read(split, range(count))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_datasets_are_listed_with_their_splits(run: Run) -> None:
    result = run("data", "list", "--plugin", PLUGINS)
    assert result.code == 0
    assert "portraits" in result.out
    assert "clean 20" in result.out
    listed = {one["name"]: one for one in json.loads(run("data", "list", "--json").out)["datasets"]}
    assert listed["portraits"]["splits"]["test"] == 500


def test_a_raw_export_holds_the_datasets_own_pixels(run: Run, tmp_path: Path) -> None:
    result = run(*SHAPES, "--split", "test", "--out", tmp_path / "x", "--count", 3, "--raw")
    assert result.code == 0, result.err
    assert result.out == f"3 images of shapes/test in {tmp_path / 'x'}\n"
    written = lines(tmp_path / "x")
    assert [line["id"] for line in written] == ["test-0", "test-1", "test-2"]
    for line, sample in zip(written, shapes("test", 3), strict=True):
        assert np.array_equal(pixels(tmp_path / "x" / line["image"]), sample.image)
        assert np.array_equal(pixels(tmp_path / "x" / line["mask"]), sample.mask * np.uint8(255))
        assert np.array_equal(pixels(tmp_path / "x" / line["kinds"]["square"]) > 0, sample.kinds["square"])
        assert np.array_equal(pixels(tmp_path / "x" / line["attributes"]["parts"]), sample.attributes["parts"])
        assert line["attributes"]["corner"] == sample.attributes["corner"].tolist()
        assert line["caption"] == sample.caption


def test_images_pass_the_autoencoder_once(run: Run, tmp_path: Path, tiny_checkpoint: Path) -> None:
    result = run(*SHAPES, "--split", "clean", "--out", tmp_path / "x", "--model", tiny_checkpoint)
    assert result.code == 0, result.err
    backend = benchkit.load_model(tiny_checkpoint, device="cpu")
    samples = shapes("clean", 20)
    for chunk in (samples[:16], samples[16:]):
        images = image_tensor([Image.fromarray(s.image) for s in chunk], 8)
        decoded = (backend.autoencode(images) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        for sample, expected in zip(chunk, decoded, strict=True):
            assert np.array_equal(pixels(tmp_path / "x" / "images" / f"{sample.id}.png"), expected)
    assert {line["mask"] for line in lines(tmp_path / "x")} == {None}
    card = (tmp_path / "x" / "README.md").read_text()
    assert f"checkpoint `{backend.identity[:12]}`" in card
    assert "without a mask (not annotated): 20" in card


def test_the_card_counts_masks_and_kinds(run: Run, tmp_path: Path) -> None:
    assert run(*SHAPES, "--split", "test", "--out", tmp_path / "x", "--raw").code == 0
    card = (tmp_path / "x" / "README.md").read_text()
    assert "with a mask: 6; annotated: 14.06 % of their pixels" in card
    assert "| square | 6 |" in card
    assert "images: as read" in card


def test_an_earlier_export_is_replaced_by_force(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "x"
    assert run(*SHAPES, "--split", "test", "--out", target, "--raw").code == 0
    again = run(*SHAPES, "--split", "clean", "--out", target, "--raw", "--count", 1)
    assert again.code == 2
    assert "--force" in again.err
    assert run(*SHAPES, "--split", "clean", "--out", target, "--raw", "--count", 1, "--force").code == 0
    assert [path.name for path in (target / "images").iterdir()] == ["clean-0.png"]
    assert not (target / "masks").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "tset"], "did you mean 'test'?"),
        (["--split", "test", "--count", 7], "has 6 samples"),
        (["--split", "test", "--model", "portrats"], "checkpoint"),
    ],
)
def test_mistakes_leave_no_folder(run: Run, tmp_path: Path, arguments: list[object], message: str) -> None:
    result = run(*SHAPES, *arguments, "--out", tmp_path / "deep" / "x")
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "deep").exists()


def test_a_dataset_that_fails_half_way_leaves_nothing(run: Run, tmp_path: Path) -> None:
    plugin = tmp_path / "faulty.py"
    plugin.write_text(PLUGINS.read_text().replace('f"{split}-{index}"', '"../twice" if index > 2 else str(index)'))
    result = run("data", "export", "shapes", "--plugin", plugin, "--split", "test", "--raw", "--out", tmp_path / "x")
    assert result.code == 2
    assert "have the same id '../twice'" in result.err
    assert not (tmp_path / "x").exists()


def test_a_folder_of_any_names_is_exported(run: Run, tmp_path: Path) -> None:
    """Blanks, brackets, Cyrillic, ids with `/` and `#`, odd kinds, and two that differ in capitals alone."""
    from urllib.parse import unquote

    root, kinds = tmp_path / "root", ["hand/melted", "a | b", "Face", "face"]
    (root / "pool").mkdir(parents=True)
    (root / "annotations").mkdir()
    names = ["\u0444\u043e\u0442\u043e (1).png", "a b.png", "A B.png"]
    for number, name in enumerate(names):
        Image.new("RGB", (24, 16), (number, 0, 0)).save(root / "pool" / name)
    box = [[2, 2, 14, 2, 14, 14, 2, 14]]
    marks = [{"id": n, "image_id": n % 3, "category_id": n, "segmentation": box} for n in range(len(kinds))]
    coco = {
        "images": [{"id": n, "file_name": name, "width": 24, "height": 16} for n, name in enumerate(names)],
        "categories": [{"id": n, "name": kind} for n, kind in enumerate(kinds)],
        "annotations": marks,
    }
    (root / "annotations" / "pool.json").write_text(json.dumps(coco))
    place = f"folder:root={root},size=16,fit=tile"
    result = run("data", "export", place, "--split", "pool", "--raw", "--out", tmp_path / "x")
    assert result.code == 0, result.err
    written = lines(tmp_path / "x")
    assert {line["id"] for line in written} == {f"pool/{name[:-4]}#{tile}" for name in names for tile in range(2)}
    assert len({line["image"].casefold() for line in written}) == 6
    for line in written:
        assert unquote(Path(line["image"]).stem) == line["id"]
        assert pixels(tmp_path / "x" / line["image"])[0, 0, 0] == names.index(f"{line['id'][5:-2]}.png")
    folders = {kind: Path(file).parts[1] for line in written for kind, file in line["kinds"].items()}
    assert {kind: unquote(folder) for kind, folder in folders.items()} == {kind: kind for kind in kinds}
    assert len({folder.casefold() for folder in folders.values()}) == 4
    assert r"| a \| b | 2 |" in (tmp_path / "x" / "README.md").read_text()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Splits of three images; in `pool` two have a mask, one of which is empty; and a file that is not read."""
    from PIL import ImageDraw

    root = tmp_path / "shots"
    for split in ("pool", "test"):
        (root / split / "masks").mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (24, 16), (90, 90, 90)).save(root / split / f"{number}.png")
    mask = Image.new("L", (24, 16))
    mask.save(root / "pool" / "masks" / "0.png")
    ImageDraw.Draw(mask).rectangle((0, 0, 11, 15), fill=255)
    mask.save(root / "pool" / "masks" / "1.png")
    (root / "test" / "2.heic").write_text("")
    (root / "pool" / "0.txt").write_text("a hand")
    return root


def test_what_a_dataset_holds_is_told_on_one_screen(run: Run, shots: Path) -> None:
    place = f"folder:root={shots},size=16,validation=test"
    result = run("data", "list", place)
    assert result.code == 0, result.err
    lines = [line.split() for line in result.out.splitlines()]
    assert ["pool", "3", "2", "1", "1", "25.0", "%", "–", "1", "24x16", "–"] in lines
    assert ["test", "3", "0", "3", "–", "–", "–", "0", "24x16", "–"] in lines
    assert "skipped: 1 .heic file, such as 'test/2.heic': the suffix is not supported" in result.out
    assert "validation and test are the same images, the folder's 'test'" in result.out
    reported = json.loads(run("data", "list", place, "--json").out)
    assert reported["dataset"] == place and len(reported["remarks"]) == 1
    why = "the suffix is not supported"
    assert reported["passed_over"] == [{"suffix": ".heic", "why": why, "count": 1, "example": "test/2.heic"}]
    pool = reported["splits"]["pool"]
    assert (pool["images"], pool["annotated"], pool["unannotated"], pool["captioned"], pool["no_artifact"]) == (
        3,
        2,
        1,
        1,
        1,
    )
    assert (pool["sizes"], pool["faults"], pool["looked_at"]) == ({"24x16": 3}, [], 3)


def test_images_that_cannot_be_read_are_listed(run: Run, shots: Path) -> None:
    (shots / "test" / "1.png").write_bytes(b"")
    result = run("data", "list", f"folder:root={shots},size=16")
    assert result.code == 3
    (line,) = (line for line in result.out.splitlines() if line.startswith("cannot be read: "))
    assert str(shots / "test" / "1.png") in line
    assert "1 images of" in result.err and "cannot be read" in result.err


def test_pixels_of_nothing_are_refused(run: Run) -> None:
    result = run("data", "list", "--pixels")
    assert result.code == 2 and "--pixels: also name the dataset" in result.err


@pytest.mark.parametrize("form", ["png", "svg"])
def test_a_sheet_shows_images_with_their_masks(run: Run, shots: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"sheet.{form}"
    result = run("data", "show", f"folder:root={shots},size=16", "--split", "pool", "--out", out)
    assert result.code == 0, result.err
    assert result.out == f"3 images of folder:root={shots},size=16/pool in {out}\n"
    if form == "png":
        colours = {tuple(pixel) for pixel in pixels(out)[..., :3].reshape(-1, 3).tolist()}
        assert (0x5D, 0xFF, 0x5D) in colours and (90, 90, 90) in colours


def test_what_stands_under_a_picture_and_what_is_hatched() -> None:
    from benchkit.api import Sample
    from benchkit.report.contact_sheet import contact_sheet
    from benchkit.report.pictures import draw_pictures

    image, mask = np.full((16, 16, 3), 90, np.uint8), np.zeros((16, 16), bool)
    marked, ignored = mask.copy(), mask.copy()
    marked[:4], ignored[8:] = True, True
    samples = [
        Sample("pool/a", image),
        Sample("pool/b", image, mask, "a hand"),
        Sample("pool/" + "c" * 50, image, marked, None, {"hand": marked, "face": mask}, ignored=ignored),
    ]
    sheet = contact_sheet("three", samples)
    notes = [picture.note.split("\n") for row in sheet.rows for picture in row if picture]
    assert notes[:2] == [["pool/a", "no mask"], ["pool/b", "no artifact", "“a hand”"]]
    assert notes[2][1:] == ["25.0 % annotated", "hand"] and len(notes[2][0]) <= 27 and "…" in notes[2][0]
    assert sheet.foot == "Outlined: annotated as artifact. Hatched: ignored."
    plain = contact_sheet("three", [*samples[:2], Sample(samples[2].id, image, marked, None, {"hand": marked})])
    assert draw_pictures(sheet, "png") != draw_pictures(plain, "png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "pool", "--out", "sheet.bmp"], "name a file that ends in .png, .svg, .pdf"),
        (["--split", "poll", "--out", "sheet.png"], "did you mean 'pool'?"),
        (["--split", "pool", "--count", 40, "--out", "sheet.png"], "has 3 samples"),
    ],
)
def test_sheets_that_cannot_be(run: Run, shots: Path, tmp_path: Path, options: list[object], message: str) -> None:
    options = [tmp_path / str(one) if "sheet" in str(one) else one for one in options]
    result = run("data", "show", f"folder:root={shots}", *options)
    assert result.code == 2 and message in result.err
    assert not list(tmp_path.glob("sheet*"))
