"""`benchkit corrupt`: one image, its sheet, masks of every kind, and nothing half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import benchkit
from benchkit.cli import pictures
from benchkit.cli.pictures import read_image, side_by_side
from benchkit.plugin.registry import Registry
from benchkit.scaffold import new_plugin
from tests.helpers.small_comparison import Run

WIDTH, HEIGHT = 40, 32


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "clean-00007.png")
    return tmp_path / "clean-00007.png"


def selection() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 9:30] = True
    return mask


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    Image.fromarray(selection().astype(np.uint8)).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_the_image_is_what_the_python_api_makes(
    run: Run, tiny_checkpoint: Path, image: Path, mask: Path, folder: Path
) -> None:
    out = folder / "after.png"
    spec = ("--corruptor", "gaussian:steps=2", "--inverter", "ddim", "--seed", 3, "--caption", "a face")
    result = run("corrupt", image, "--mask", mask, *spec, "--model", tiny_checkpoint, "--out", out, "--device", "cpu")
    assert result.code == 0, result.err
    assert result.out == f"{out}: gaussian:steps=2 inside 16.4 % of the image\n"
    backend = benchkit.load_model(tiny_checkpoint, device="cpu")
    marked = torch.from_numpy(selection())[None]
    made = benchkit.corrupt(
        "gaussian:steps=2",
        [Image.open(image)],
        marked,
        model=backend,
        inverter="ddim",
        captions=["a face"],
        seed=3,
        ids=["clean-00007"],
    )
    expected = (made.images[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(out)), expected)
    assert [path.name for path in folder.iterdir()] == ["after.png"]


@pytest.mark.parametrize(("label", "cells"), [("image", selection()), ("latent", None)])
def test_the_sheet_shows_before_mask_and_after(
    run: Run, tiny_checkpoint: Path, image: Path, mask: Path, folder: Path, label: str, cells: np.ndarray | None
) -> None:
    out, sheet = folder / "after.png", folder / "sheet.png"
    result = run(
        *("corrupt", image, "--mask", mask, "--corruptor", "gaussian:steps=0", "--model", tiny_checkpoint),
        *("--out", out, "--sheet", sheet, "--label", label),
    )
    assert result.code == 0, result.err
    if cells is None:
        cells = np.zeros((HEIGHT, WIDTH), bool)
        cells[8:24, 8:32] = True
    expected = side_by_side(read_image(image), cells, read_image(out))
    assert np.array_equal(np.asarray(Image.open(sheet)), np.asarray(expected))
    assert expected.size == (3 * WIDTH + 8, HEIGHT)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_an_earlier_result_is_replaced_in_any_format(
    run: Run, tiny_checkpoint: Path, image: Path, mask: Path, folder: Path, suffix: str
) -> None:
    out = folder / f"after.{suffix}"
    out.write_text("an earlier result")
    arguments = ("--mask", mask, "--corruptor", "none:steps=0", "--model", tiny_checkpoint, "--out", out)
    assert run("corrupt", image, *arguments).code == 2
    assert out.read_text() == "an earlier result"
    assert run("corrupt", image, *arguments, "--force").code == 0
    assert Image.open(out).size == (WIDTH, HEIGHT)


def test_plugins_of_ones_own(
    run: Run, tiny_checkpoint: Path, image: Path, mask: Path, folder: Path, tmp_path: Path
) -> None:
    (text,) = new_plugin("corruptor", "mine", Registry.load()).values()
    (tmp_path / "mine.py").write_text(text)
    arguments = ("--mask", mask, "--model", tiny_checkpoint, "--out", folder / "a.png")
    assert run("corrupt", image, *arguments, "--corruptor", "mine").code == 2
    result = run("corrupt", image, *arguments, "--corruptor", "mine", "--plugin", tmp_path / "mine.py")
    assert result.code == 0, result.err


def test_an_image_is_what_a_dataset_makes_of_the_file(
    run: Run, tiny_checkpoint: Path, mask: Path, folder: Path, tmp_path: Path
) -> None:
    """16 bits, CMYK, transparency and a camera's turn, through the command and through the `folder` dataset."""
    from benchkit_plugins.datasets.folder.dataset import Folder

    rng, shots = np.random.default_rng(0), tmp_path / "shots" / "clean"
    shots.mkdir(parents=True)
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    colours = rng.integers(0, 256, (32, 32, 4), np.uint8)
    Image.fromarray(rng.integers(0, 65536, (32, 32), np.uint16)).save(shots / "deep.png")
    Image.fromarray(colours, "CMYK").save(shots / "ink.tif")
    Image.fromarray(colours, "RGBA").save(shots / "glass.png")
    Image.fromarray(colours[..., :3]).save(shots / "turned.jpg", exif=turned)
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(mask)
    samples = Folder(root=str(tmp_path / "shots"), size=32, order="name").read("clean", range(4))
    for file, sample in zip(sorted(shots.iterdir()), samples, strict=True):
        options = ("--mask", mask, "--corruptor", "none:steps=0", "--model", tiny_checkpoint, "--out", folder / "a.png")
        sheet = folder / "sheet.png"
        assert run("corrupt", file, *options, "--sheet", sheet, "--force").code == 0
        assert sample.id.endswith(file.stem)
        assert np.array_equal(np.asarray(Image.open(sheet))[:, :32], sample.image), file.name


@pytest.mark.parametrize(
    ("corruptor", "without"),
    [
        ("prompt-swap:steps=1", ", or set caption=null"),
        ("mode-interpolation:steps=1", ", or set reference=mirror"),
        ("mixture:of=gaussian+(prompt-swap:steps=1)", ", or set caption=null"),
    ],
)
def test_a_corruptor_that_needs_another_image_says_how_it_is_given(
    run: Run, tiny_checkpoint: Path, image: Path, mask: Path, folder: Path, corruptor: str, without: str
) -> None:
    asked = ("corrupt", image, "--mask", mask, "--corruptor", corruptor, "--model", tiny_checkpoint)
    asked = (*asked, "--inverter", "ddim", "--device", "cpu", "--caption", "a face", "--out", folder / "after.png")
    refused = run(*asked)
    assert refused.code == 2 and refused.err.count("\n") == 1
    assert "--reference IMAGE" in refused.err and "--reference-caption TEXT" in refused.err and without in refused.err
    other = folder.parent / "other.png"
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)).save(other)
    made = run(*asked, "--reference", other, "--reference-caption", "a hand")
    assert made.code == 0, made.err
    small = folder.parent / "small.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(small)
    of_another_size = run(*asked, "--reference", small, "--force")
    assert of_another_size.code == 2 and f"--reference '{small}' is 8x8 pixels, the image 40x32" in of_another_size.err


def test_the_references_caption_is_the_other_one(
    run: Run, tiny_checkpoint: Path, image: Path, mask: Path, folder: Path
) -> None:
    common = ("--mask", mask, "--model", tiny_checkpoint, "--inverter", "ddim", "--device", "cpu", "--caption", "face")
    swapped = ("--corruptor", "prompt-swap:steps=2", "--reference", image, "--reference-caption", "hand")
    assert run("corrupt", image, *common, *swapped, "--out", folder / "a.png").code == 0
    message = ("--corruptor", "prompt-swap:steps=2,caption=hand")
    assert run("corrupt", image, *common, *message, "--out", folder / "b.png").code == 0
    assert np.array_equal(np.asarray(Image.open(folder / "a.png")), np.asarray(Image.open(folder / "b.png")))
    unused = run("corrupt", image, *common, *message, "--reference", image, "--out", folder / "c.png")
    assert unused.code == 2 and "needs no reference image" in unused.err


def test_a_result_that_cannot_be_written_leaves_no_part_of_it(
    run: Run, tiny_checkpoint: Path, image: Path, mask: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "write_atomic", fail)
    arguments = ("--mask", mask, "--corruptor", "none:steps=0", "--model", tiny_checkpoint, "--out", folder / "a.png")
    result = run("corrupt", image, *arguments)
    assert result.code == 2 and "--out" in result.err and "No space left on device" in result.err
    assert not list(folder.iterdir())
