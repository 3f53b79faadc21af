"""A trained detector as a folder, as a function, and on images of any kind."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.cli.detect import overlay, quantise
from benchkit.errors import BenchkitError
from benchkit.inference.detector import Scores, TrainedDetector, read_detector
from benchkit.inference.tiling import predict_tiled, starts
from benchkit.outputs.exports.detector import write_detector
from benchkit.outputs.finished_run import FinishedRun, RowQuery, train_of
from tests.helpers.small_comparison import PLUGINS, Finished, Run


@pytest.fixture(scope="session")
def saved(opened: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The detector of row `human` in a folder."""
    folder = tmp_path_factory.mktemp("detector")
    write_detector(opened, opened.find_cell(RowQuery("human")), folder)
    return folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    folder = tmp_path / "detector"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def edit(folder: Path, change: Callable[[dict], None]) -> None:
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def loaded(folder: Path, opened: FinishedRun, warned: list[str] | None = None) -> TrainedDetector:
    return read_detector(folder, "cpu", opened.env.registry, (warned or []).append)


def test_one_picture_alone_is_refused_with_the_right_form(saved: Path, opened: FinishedRun) -> None:
    detector = read_detector(saved, "cpu", opened.env.registry, [].append)
    for picture in (Image.new("RGB", (32, 32)), np.zeros((32, 32, 3), np.uint8)):
        with pytest.raises(
            BenchkitError, match=r"put the one image into a list, \[images\]|one image write images\[None\]"
        ):
            detector(picture)


def test_what_is_loaded_answers_as_what_was_scored(saved: Path, opened: FinishedRun) -> None:
    from benchkit.training import loop as training

    planned = opened.find_cell(RowQuery("human"))
    assert planned.evaluate is not None
    images = opened.env.arrays(planned.evaluate.test[0])["images"]
    expected = training.predict(train_of(planned).network(opened.env), images)
    warned: list[str] = []
    detector = read_detector(saved, "cpu", opened.env.registry, warned.append)
    heats = detector([Image.fromarray(images[0]), images[1]])
    assert not warned
    assert np.allclose(heats, expected[:2], atol=1e-6)
    assert heats[0].dtype == np.float32
    row = json.loads((saved / "card.json").read_text())
    assert row["detector"]["name"] == "dot"
    facts = json.loads(opened.env.store.open(planned.evaluate.key).read("row.json"))
    assert (row["metrics"], row["threshold"]) == (facts["row"], facts["threshold"])
    assert row["threshold_from"] == "best F1 on validation images"
    assert "benchkit.load_detector" in (saved / "README.md").read_text()


def test_probabilities_have_gradients(saved: Path, opened: FinishedRun) -> None:
    import torch

    detector = loaded(saved, opened)
    images = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    heat = detector.probabilities(images)
    assert heat.shape == (2, 9, 7)
    heat.mean().backward()
    assert images.grad is not None
    step = 1e-2 * images.grad / images.grad.abs().max()
    assert detector.probabilities(images + step).mean() > heat.mean(), "the gradient points uphill"
    with pytest.raises(BenchkitError, match="floats"):
        detector.probabilities(torch.zeros(2, 3, 9, 7, dtype=torch.uint8))


def test_another_version_of_the_plugin_is_a_warning(copied: Path, opened: FinishedRun) -> None:
    edit(copied, lambda card: card["detector"].update(identity="0" * 64))
    warned: list[str] = []
    read_detector(copied, "cpu", opened.env.registry, warned.append)
    (text,) = warned
    assert "another version of its plugin (source 000000000000" in text
    with pytest.warns(UserWarning, match="another version of its plugin"):
        read_detector(copied, "cpu", opened.env.registry)


def test_damaged_folders_are_refused_in_one_line(copied: Path, opened: FinishedRun, tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(BenchkitError, match=message) as caught:
            loaded(copied, opened)
        assert "\n" not in str(caught.value)

    weights = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(weights[:-4])
    refused("damaged or incomplete")
    (copied / "model.safetensors").write_bytes(weights)
    edit(copied, lambda card: card["detector"].update(name="dott"))
    refused("did you mean 'dot'")
    edit(copied, lambda card: card.update(schema=99))
    refused("not the card of a detector")
    (copied / "card.json").write_text("{")
    refused("not JSON")
    (copied / "card.json").unlink()
    refused("name a folder of an exported detector")


def test_scores_by_hand() -> None:
    heat = np.array([[0.0, 0.5], [0.5, 1.0]], np.float32)
    assert TrainedDetector(None, 0.5, {}).scores(heat) == Scores(0.5, 1.0, 0.75)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(40, 90), (90, 40), (131, 131), (33, 33), (20, 300)])
def test_tiles_join_without_seams(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    seen: list[tuple[int, ...]] = []

    def predict(images: np.ndarray) -> np.ndarray:
        seen.append(images.shape[1:3])
        return images.mean(axis=-1) / 255

    assert np.allclose(predict_tiled(predict, image, 40), image.mean(axis=-1) / 255, atol=1e-6)
    assert all(max(one) <= 40 for one in seen)


def test_tiles_cover_a_side_and_overlap() -> None:
    for length in (41, 80, 100, 1000):
        places = starts(length, 40)
        assert places[0] == 0
        assert places[-1] == length - 40
        assert all(1 <= b - a <= 30 for a, b in pairwise(places))
    assert starts(40, 40) == [0]


def test_heat_maps_are_rounded_to_the_nearest_level() -> None:
    heat = np.array([[0.0, 0.5, 1.0, 1 / 255]], np.float32)
    assert quantise(heat, 8).tolist() == [[0, 128, 255, 1]]
    assert quantise(heat, 16).tolist() == [[0, 32768, 65535, 257]]
    assert quantise(heat, 16).dtype == np.uint16


def test_an_overlay_reddens_and_outlines() -> None:
    image, heat = np.full((8, 8, 3), 100, np.uint8), np.zeros((8, 8), np.float32)
    heat[2:7, 2:7] = 1
    shown = overlay(image, heat, heat > 0.5)
    assert shown[0, 0].tolist() == [100, 100, 100]
    assert shown[4, 4].tolist() == [193, 40, 40]  # 0.4 * 100 + 0.6 * (255, 0, 0)
    assert shown[2, 4].tolist() == [93, 255, 93]


def test_images_of_any_size_and_files_that_are_none(run: Run, saved: Path, opened: FinishedRun, tmp_path: Path) -> None:
    rng, folder = np.random.default_rng(0), tmp_path / "images"
    folder.mkdir()
    sizes = {"=1+1": (20, 33), "b": (64, 48), "c": (7, 5)}
    for name, size in sizes.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes((folder / "b.png").read_bytes()[:99])
    (folder / "notes.txt").write_text("no image")
    out = tmp_path / "out"
    arguments = ["detect", saved, folder, "--out", out, "--plugin", PLUGINS, "--tile", 40, "--threshold", 0.4]
    result = run(*arguments, "--bits", 16)
    assert result.code == 3, result.err
    assert "broken.png" in result.err
    assert "1 of 4 files could not be processed" in result.err
    lines = {Path(line["image"]).name: line for line in csv.DictReader((out / "scores.csv").read_text().splitlines())}
    assert set(lines) == {"=1+1.png", "b.png", "c.png", "broken.png"}
    assert "broken.png" in lines["broken.png"]["error"]
    assert not lines["broken.png"]["mean"]
    detector = loaded(saved, opened)
    for name, size in sizes.items():
        line = lines[f"{name}.png"]
        (heat,) = TrainedDetector(detector.network, 0.4, {}, 40)([Image.open(folder / f"{name}.png")])
        assert (int(line["height"]), int(line["width"])) == heat.shape == size
        assert float(line["mean"]) == pytest.approx(heat.mean(), abs=1e-6)
        assert float(line["max"]) == pytest.approx(heat.max(), abs=1e-6)
        assert float(line["area"]) == pytest.approx((heat >= 0.4).mean(), abs=1e-6)
        written = np.asarray(Image.open(out / "heat" / f"{line['name']}.png"))
        assert np.abs(written / 65535 - heat).max() < 1e-5
        assert np.array_equal(np.asarray(Image.open(out / "masks" / f"{line['name']}.png")) > 0, heat >= 0.4)
        assert Image.open(out / "overlay" / f"{line['name']}.png").size == (size[1], size[0])
    refused = run(*arguments)
    assert refused.code == 2
    assert "is not empty" in refused.err


def test_images_are_read_as_datasets_read_them(run: Run, saved: Path, opened: FinishedRun, tmp_path: Path) -> None:
    rng, folder, turned = np.random.default_rng(0), tmp_path / "images", Image.Exif()
    folder.mkdir()
    pixels = rng.integers(0, 256, (6, 9, 4), np.uint8)
    deep = rng.integers(0, 65536, (6, 9), np.uint16)
    turned[0x0112] = 6  # a quarter turn
    Image.fromarray(pixels * np.array([1, 1, 1, 0], np.uint8), "RGBA").save(folder / "clear.png")
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(pixels[..., :3]).save(folder / "turned.png", exif=turned)
    result = run("detect", saved, folder, "--out", tmp_path / "out", "--plugin", PLUGINS, "--bits", 16)
    assert result.code == 0, result.err
    expected = {
        "clear": np.full((6, 9, 3), 255, np.uint8),
        "deep": np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, 2),
        "turned": np.rot90(pixels[..., :3], -1),
    }
    for name, heat in zip(expected, loaded(saved, opened)(list(expected.values())), strict=True):
        written = np.asarray(Image.open(tmp_path / "out" / "heat" / f"{name}.png"))
        assert np.abs(written / 65535 - heat).max() < 1e-5, name
    (heat,) = loaded(saved, opened)([Image.open(folder / "deep.png")])
    assert np.abs(np.asarray(Image.open(tmp_path / "out" / "heat" / "deep.png")) / 65535 - heat).max() < 1e-5


def test_prepare_keeps_what_detect_scores_lowest(run: Run, saved: Path, tmp_path: Path) -> None:
    """`data prepare dalle3-hq --cleanest-by` and `detect` say the same of the same images, by an exported detector."""
    import tarfile

    rng, folder = np.random.default_rng(0), tmp_path / "images"
    folder.mkdir()
    with tarfile.open(tmp_path / "data-000000.tar", "w") as shard:
        for i in range(9):
            pixels = rng.integers(0, 40 + 24 * i, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"i{i}.png")
            shard.add(folder / f"i{i}.png", f"i{i}.png")
    plugins = ("--plugin", PLUGINS, "--device", "cpu")
    assert run("detect", saved, folder, "--out", tmp_path / "out", *plugins).code == 0
    lines = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))
    by_score = sorted(lines, key=lambda line: (float(line["area"]), float(line["mean"])))
    filtered = ("--cleanest-by", saved, "--cleanest-of", 9, "--cleanest-size", 32, *plugins)
    shards = ("--shards", tmp_path / "data-000000.tar", "--count", 4, "--out", tmp_path / "set")
    result = run("data", "prepare", "dalle3-hq", *shards, *filtered)
    assert result.code == 0, result.err
    with (tmp_path / "set" / "cleanest.csv").open() as listed:
        found = {line["name"]: line for line in csv.DictReader(listed)}
    assert {name for name, line in found.items() if line["kept"] == "1"} == {line["name"] for line in by_score[:4]}
    for line in lines:
        assert float(found[line["name"]]["fraction"]) == pytest.approx(float(line["area"]), abs=1e-4)
        assert float(found[line["name"]]["mean"]) == pytest.approx(float(line["mean"]), rel=1e-4)
    assert len({float(line["mean"]) for line in lines}) == 9


def test_a_runs_own_detector_and_names_that_are_formulas(
    run: Run, shown: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32), "teal").save("=cmd().png")
    options = ["--cache", shown.cache, "--plugin", PLUGINS, "--out", "out"]
    named = run("detect", shown.out, "=cmd().png", *options)
    assert named.code == 2
    assert "choose one with --row: human, pseudo" in named.err
    result = run("detect", shown.out, "=cmd().png", *options, "--row", "human")
    assert result.code == 0, result.err
    (line,) = csv.DictReader(Path("out/scores.csv").read_text().splitlines())
    assert line["image"] == "'=cmd().png"
    assert line["name"] == "%3Dcmd%28%29"


def test_an_image_that_the_network_refuses_costs_one_line(
    run: Run, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, side in (("a", 16), ("odd", 17), ("c", 16)):
        Image.fromarray(np.zeros((16, side, 3), np.uint8)).save(folder / f"{name}.png")
    called = TrainedDetector.__call__

    def picky(self: TrainedDetector, images: list[np.ndarray]) -> list[np.ndarray]:
        if images[0].shape[1] % 2:
            raise RuntimeError("expected size 18 but got 17")
        return called(self, images)

    monkeypatch.setattr(TrainedDetector, "__call__", picky)
    out = tmp_path / "out"
    result = run("detect", saved, folder, "--out", out, "--plugin", PLUGINS)
    assert result.code == 3
    (failed,) = (line for line in result.err.splitlines() if "failed:" in line)
    assert "odd.png': RuntimeError: expected size 18 but got 17" in failed
    assert {path.stem for path in (out / "heat").iterdir()} == {"a", "c"}
    lines = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert [bool(line["error"]) for line in lines] == [False, False, True]
    none = run("detect", saved, folder / "odd.png", "--out", tmp_path / "none", "--plugin", PLUGINS)
    assert none.code == 2 and "none of the 1 files could be processed" in none.err and not (tmp_path / "none").exists()
