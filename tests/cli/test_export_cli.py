"""A run's training set in every format: opened by other means, and compared with what the detector was trained on."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from benchkit.outputs.exports import make_format
from benchkit.outputs.exports.coco import annotation, run_lengths
from benchkit.outputs.exports.items import training_items
from benchkit.outputs.exports.provenance import provenance
from benchkit.outputs.exports.write import contents, write_export
from benchkit.outputs.finished_run import FinishedRun, RowQuery, train_of
from benchkit.runs.run import find_model
from benchkit.stages.pairs import Pairs
from tests.helpers.small_comparison import ODD_TITLE, PLUGINS, Finished, Run

ROW = "human+gaussian:steps=1"
DOCS = Path(__file__).parents[2] / "docs"


def written(opened: FinishedRun, form: str, folder: Path, row: str = ROW) -> Pairs:
    """Export a row into a new folder; what it must hold."""
    folder.mkdir()
    planned = opened.find_cell(RowQuery(row))
    facts = provenance(opened, planned, form)
    pairs = train_of(planned).pairs.load(opened.env)
    count = write_export(training_items(opened, planned), make_format(form), folder, "train", facts)
    assert count == len(pairs.images) > 16
    return pairs


def names(folder: Path) -> list[str]:
    return [json.loads(line)["name"] for line in (folder / "manifest.jsonl").read_text().splitlines()]


def same(pixels: Any, expected: np.ndarray) -> None:
    assert np.array_equal(np.asarray(Image.open(pixels)), expected)


@pytest.mark.parametrize("form", ["folder", "mmseg", "coco", "hf"])
def test_the_folder_dataset_reads_what_was_written(opened: FinishedRun, tmp_path: Path, form: str) -> None:
    """Image, mask and caption of every pair, to the pixel; WebDataset's shards it does not read."""
    from benchkit_plugins.datasets.folder.dataset import Folder

    folder = tmp_path / "set"
    pairs = written(opened, form, folder)
    captions = [item.caption for item in training_items(opened, opened.find_cell(RowQuery(ROW)))]
    side = pairs.images.shape[1]
    dataset = Folder(root=str(folder), size=side, order="name")
    assert dataset.splits() == {"train": len(pairs.images)}
    samples = dataset.read("train", range(len(pairs.images)))
    if form != "hf":  # whose rows have an order and no names
        by_name = {sample.id.rpartition("/")[2]: sample for sample in samples}
        samples = [by_name[name] for name in names(folder)]
    assert len(samples) == len(pairs.images)
    for sample, image, mask, caption in zip(samples, pairs.images, pairs.masks, captions, strict=True):
        assert np.array_equal(sample.image, image)
        assert sample.mask is not None and np.array_equal(sample.mask, mask)
        assert sample.caption == caption


def test_mmseg_has_class_ids_and_a_config(opened: FinishedRun, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    pairs = written(opened, "mmseg", folder)
    for name, image, mask in zip(names(folder), pairs.images, pairs.masks, strict=True):
        same(folder / "img_dir" / "train" / f"{name}.png", image)
        same(folder / "ann_dir" / "train" / f"{name}.png", mask.astype(np.uint8))
    space: dict[str, Any] = {}
    exec(compile((folder / "dataset.py").read_text(), "dataset.py", "exec"), space)
    dataset = space["train_dataloader"]["dataset"]
    assert dataset["data_prefix"] == {"img_path": "img_dir/train", "seg_map_path": "ann_dir/train"}
    assert dataset["metainfo"]["classes"] == ("background", "artifact")


@pytest.mark.slow
def test_mmsegmentation_reads_it(opened: FinishedRun, tmp_path: Path) -> None:
    from mmengine.config import Config
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules

    folder = tmp_path / "set"
    pairs = written(opened, "mmseg", folder)
    register_all_modules()
    config = Config.fromfile(str(folder / "dataset.py")).train_dataloader.dataset
    config.pipeline = [step for step in config.pipeline if step["type"] != "RandomFlip"]
    dataset = DATASETS.build(config)
    assert len(dataset) == len(pairs.images)
    by_name = dict(zip(names(folder), zip(pairs.images, pairs.masks, strict=True), strict=True))
    for i in (0, len(dataset) - 1):
        sample = dataset[i]
        image, mask = by_name[Path(sample["data_samples"].img_path).stem]
        assert np.array_equal(sample["inputs"].permute(1, 2, 0).numpy()[..., ::-1], image)  # mmcv reads BGR
        assert np.array_equal(sample["data_samples"].gt_sem_seg.data[0].numpy(), mask)


def decoded(segmentation: dict[str, Any]) -> np.ndarray:
    """A mask from uncompressed run lengths, pixel by pixel, as COCO defines them."""
    height, width = segmentation["size"]
    mask, place, value = np.zeros((height, width), bool), 0, False
    for length in segmentation["counts"]:
        for _ in range(length):
            mask[place % height, place // height] = value
            place += 1
        value = not value
    assert place == height * width
    return mask


def test_coco_decodes_to_the_masks(opened: FinishedRun, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    pairs = written(opened, "coco", folder)
    data = json.loads((folder / "annotations" / "train.json").read_text())
    assert data["categories"] == [{"id": 1, "name": "artifact", "supercategory": "artifact"}]
    assert [a["id"] for a in data["annotations"]] == list(range(1, len(data["annotations"]) + 1))
    for image, pixels, mask in zip(data["images"], pairs.images, pairs.masks, strict=True):
        same(folder / "images" / "train" / image["file_name"], pixels)
        assert (image["height"], image["width"]) == mask.shape
        whole = np.zeros_like(mask)
        for one in (a for a in data["annotations"] if a["image_id"] == image["id"]):
            region = decoded(one["segmentation"])
            assert not (whole & region).any()
            whole |= region
            assert one["area"] == region.sum()
            x, y, width, height = one["bbox"]
            assert region[y : y + height, x : x + width].sum() == region.sum(), "the box holds it"
            edges = region[y, :], region[y + height - 1, :], region[:, x], region[:, x + width - 1]
            assert all(edge.any() for edge in edges), "and no more"
        assert np.array_equal(whole, mask)


def test_run_lengths_by_hand() -> None:
    assert run_lengths(np.array([[0, 1], [0, 1], [1, 1]], bool)) == [2, 4]
    assert run_lengths(np.array([[1, 0], [0, 0]], bool)) == [0, 1, 3]
    assert run_lengths(np.ones((2, 2), bool)) == [0, 4]
    found = annotation(np.array([[0, 0, 0], [0, 1, 1]], bool))
    assert (found["area"], found["bbox"]) == (2, [1, 1, 2, 1])


def test_hf_is_parquet_with_pictures_and_a_card(opened: FinishedRun, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    pairs = written(opened, "hf", folder)
    head, card = (folder / "README.md").read_text().removeprefix("---\n").split("\n---\n", 1)
    facts = yaml.safe_load(head)
    (files,) = facts["configs"][0]["data_files"]
    table = pq.read_table(*folder.glob(files["path"]))
    # `datasets` warns of splits without a size in its own memory, and counts examples itself.
    assert set(facts["dataset_info"]) == {"features"} and facts["configs"][0]["data_files"][0]["split"] == "train"
    assert table.num_rows == len(pairs.images)
    assert [f["name"] for f in facts["dataset_info"]["features"]] == table.column_names
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == features["mask"] == {"_type": "Image"}
    for row, image, mask in zip(table.to_pylist(), pairs.images, pairs.masks, strict=True):
        same(io.BytesIO(row["image"]["bytes"]), image)
        same(io.BytesIO(row["mask"]["bytes"]), mask.astype(np.uint8) * 255)
    assert {row["part"] for row in table.to_pylist()} == {"labelled", "corrupted"}
    assert "`=An 'odd' $title$ <b>of</b> _it_`" in card
    assert "- selector: `random-boxes`\n" in card, "without its defaults"


def test_webdataset_is_the_same_bytes_every_time(opened: FinishedRun, tmp_path: Path) -> None:
    pairs = written(opened, "webdataset", tmp_path / "set")
    written(opened, "webdataset", tmp_path / "again")
    shard = tmp_path / "set" / "shards" / "train-000000.tar"
    assert shard.read_bytes() == (tmp_path / "again" / "shards" / "train-000000.tar").read_bytes()
    with tarfile.open(shard) as file:
        members = file.getmembers()
        found: dict[str, dict[str, bytes]] = {}
        for member in members:
            key, _, ending = member.name.partition(".")
            found.setdefault(key, {})[ending] = file.extractfile(member).read()  # type: ignore[union-attr]
    assert {(m.mtime, m.uid, m.uname) for m in members} == {(0, 0, "")}
    assert list(found) == names(tmp_path / "set")
    for one, image, mask in zip(found.values(), pairs.images, pairs.masks, strict=True):
        same(io.BytesIO(one["png"]), image)
        same(io.BytesIO(one["mask.png"]), mask.astype(np.uint8) * 255)
        assert json.loads(one["json"])["caption"].startswith("a square at")


def test_provenance_says_where_everything_is_from(opened: FinishedRun, tmp_path: Path) -> None:
    written(opened, "folder", tmp_path / "set")
    reported = json.loads((tmp_path / "set" / "provenance.json").read_text())
    assert (reported["run"], reported["row"], reported["seed"], reported["title"]) == (opened.id, ROW, 0, ODD_TITLE)
    assert reported["checkpoint"]["identity"] == find_model(opened.grid).identity
    human, corrupted = reported["training_set"]
    assert human == {"is": "labelled", "dataset": "shapes", "split": "pool", "images": 4}
    assert corrupted["corruptor"]["spec"] == "gaussian:steps=1"
    assert re.fullmatch("[0-9a-f]{64}", corrupted["corruptor"]["identity"])
    assert corrupted["selector"]["spec"].startswith("random-boxes")
    assert str(opened.env.store.root) not in (tmp_path / "set" / "provenance.json").read_text()
    assert sorted(contents(tmp_path / "set")) == sorted(p.name for p in (tmp_path / "set").iterdir())
    lines = [json.loads(line) for line in (tmp_path / "set" / "manifest.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines[-2:]] == ["clean-16", "clean-17"]
    assert {line["split"] for line in lines} == {"pool", "clean"}


def test_pseudo_labels_are_the_images_as_they_were(opened: FinishedRun, tmp_path: Path) -> None:
    pairs = written(opened, "folder", tmp_path / "set", "pseudo")
    for name, image, mask in zip(names(tmp_path / "set"), pairs.images, pairs.masks, strict=True):
        same(tmp_path / "set" / "train" / f"{name}.png", image)
        same(tmp_path / "set" / "train" / f"{name}.mask.png", mask.astype(np.uint8) * 255)


def test_the_contents_of_an_earlier_export_are_names_in_the_folder(tmp_path: Path) -> None:
    reported = {"contents": ["train", "../up", "/etc", "..", ".", "", 3, "a/b"]}
    (tmp_path / "provenance.json").write_text(json.dumps(reported))
    assert contents(tmp_path) == ("train",)
    (tmp_path / "provenance.json").write_text("[]")
    assert contents(tmp_path) == ()


def test_the_command_replaces_its_own_export_only_when_told(run: Run, shown: Finished, tmp_path: Path) -> None:
    out = tmp_path / "set"
    arguments = ["export", shown.out, "--cache", shown.cache, "--plugin", PLUGINS, "--row", "human", "--out", out]
    result = run(*arguments, "--format", "mmseg")
    assert result.code == 0, result.err
    assert "4 images of row 'human', seed 0, detector dot" in result.out
    (out / "mine.txt").write_text("kept")
    again = run(*arguments, "--format", "coco")
    assert again.code == 2
    assert "is not empty" in again.err
    assert run(*arguments, "--format", "coco", "--force").code == 0
    assert {p.name for p in out.iterdir()} == {
        *("images", "annotations", "manifest.jsonl", "provenance.json", "README.md"),
        "mine.txt",
    }


def test_mistakes_are_one_line_and_write_nothing(run: Run, shown: Finished, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    shutil.copytree(shown.cache, tmp_path / "pruned")
    shutil.rmtree(tmp_path / "pruned" / "objects")
    for arguments, message in (
        (["--row", "humna", "--format", "coco"], "did you mean 'human'?"),
        (["--row", "human", "--format", "cocoa"], "did you mean 'coco'?"),
        (["--row", "all-negative", "--format", "coco"], "unknown row"),
        (["--row", "human", "--detector", "dott", "--format", "coco"], "did you mean 'dot'?"),
        (["--row", "human", "--format", "coco", "--split", "../x"], "--split '../x'"),
        (["--row", "human", "--format", "coco", "--out", tmp_path / "full", "--force"], "other files than an export"),
        (["--row", "human", "--format", "coco", "--cache", tmp_path / "pruned"], "run 'benchkit compare' again"),
        (["--row", "human", "--format", "detector", "--cache", tmp_path / "pruned"], "run 'benchkit compare' again"),
    ):
        before = ["--out", tmp_path / "none", "--cache", shown.cache, "--plugin", PLUGINS]
        result = run("export", shown.out, *before, *arguments)
        assert result.code == 2
        assert message in result.err
        assert result.err.count("\n") == 1
    assert not (tmp_path / "none").exists()
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
