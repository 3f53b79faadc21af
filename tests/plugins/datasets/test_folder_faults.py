"""What is wrong with a folder is one line that names the file and the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchkit.api import BenchkitError
from benchkit_plugins.datasets.folder.dataset import Folder
from tests.plugins.datasets.folder_makers import MAKERS, SPLITS, coco, mark, photo, write


def read_all(root: Path | str | None, **params: Any) -> None:
    dataset = Folder(None if root is None else str(root), size=16, **params)
    for split, size in dataset.splits().items():
        dataset.read(split, range(size))


def refused(root: Path | str | None, reason: str, **params: Any) -> None:
    with pytest.raises(BenchkitError, match=reason) as found:
        read_all(root, **params)
    assert "\n" not in str(found.value)


def test_a_root_that_is_no_folder_of_images(tmp_path: Path) -> None:
    refused(None, "write folder:root=PATH")
    refused(tmp_path / "absent", "absent: no such folder")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "file: a file, not a folder")
    refused(tmp_path, "no images")
    for layout, reason in (
        ("mmseg", "has no img_dir/"),
        ("coco", "holds no annotations/"),
        ("hf", "has no Parquet"),
    ):
        refused(tmp_path, reason, layout=layout)


def plain(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        MAKERS["plain"](root)
        change(root)

    return make


def coco_with(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        MAKERS["coco"](root)
        data = coco("test")
        change(data)
        (root / "annotations" / "instances_test.json").write_text(json.dumps(data))

    return make


def mmseg(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        MAKERS["mmseg"](root)
        change(root)

    return make


def twice(data: dict[str, Any]) -> None:
    data["images"].append(data["images"][0])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            plain(lambda r: write(r / "pool/1.mask.png", mark(0)[:9])),
            r"1\.mask\.png: a mask of 32x9 for an image of 32x20",
        ),
        (plain(lambda r: (r / "pool/1.png").unlink()), r"1\.mask\.png: a mask without an image: there is no '1'"),
        (plain(lambda r: write(r / "test/masks/9.png", mark(0))), r"masks.9\.png: a mask without an image"),
        (plain(lambda r: write(r / "pool/masks/1.png", mark(0))), r"1\.mask\.png' is a mask of the same image"),
        (plain(lambda r: write(r / "pool/1.webp", mark(0))), r"1\.webp: 'pool/1\.png' has the same name: keep one"),
        (
            plain(lambda r: write(r / "stray.png", mark(0))),
            r"both in it and in folders of it, 'stray\.png' and 'clean/0\.png': move the former",
        ),
        (
            plain(lambda r: (r / "clean/0.png").write_bytes(b"x")),
            r"clean.0\.png: not a readable PNG, JPEG, WebP, TIFF, BMP or PPM",
        ),
        (
            plain(lambda r: write(r / "pool/1.mask.png", photo("pool", 1)[..., 0])),
            r"1\.mask\.png: a mask with the values",
        ),
        (plain(lambda r: (r / "clean/0.txt").write_bytes(b"\xff\xfe")), r"clean.0\.txt: not UTF-8"),
        (plain(lambda r: (r / "clean/captions.jsonl").write_text("{]")), r"captions\.jsonl: line 1 is not JSON"),
        (plain(lambda r: (r / "clean/captions.jsonl").write_text('\n{"text": "a"}')), "line 2 has no 'file_name'"),
        (plain(lambda r: (r / "clean/metadata.csv").write_text("file_name,text\nx.png,a")), r"line 2 names 'x\.png'"),
        (
            plain(lambda r: (r / "clean/captions.csv").write_text("file_name,text\n0.png,a\n0.png,b\n")),
            r"line 3 names '0\.png' a second time",
        ),
        (
            plain(lambda r: (r / "clean/captions.jsonl").write_text('{"file_name": "0.png", "text": 3}')),
            "line 1: the caption is not text",
        ),
        (mmseg(lambda r: write(r / "ann_dir/test/9.png", mark(0))), r"9\.png: a mask without an image"),
        (
            mmseg(lambda r: write(r / "ann_dir/tset/0.png", mark(0))),
            r"tset.0\.png: a mask without an image: there is no split 'tset' of images",
        ),
        (mmseg(lambda r: write(r / "img_dir/9.png", mark(0))), "img_dir: images lie both in it and in folders"),
        (
            coco_with(lambda d: d["images"][0].update(file_name="../../x.png")),
            r"images\[0\]: file_name '../../x\.png' leads",
        ),
        (
            coco_with(lambda d: d["images"][1].update(file_name="/etc/x.png")),
            r"images\[1\]: file_name '/etc/x\.png' leads",
        ),
        (
            coco_with(lambda d: d["images"][1].update(file_name="C:\\x.png")),
            r"file_name 'C:\\x\.png' holds a backslash",
        ),
        (coco_with(lambda d: d["images"][1].update(file_name="2.png")), r"2\.png: no such file"),
        (coco_with(twice), r"images\[2\]: id 7 is another image's already"),
        (coco_with(lambda d: d["images"][1].update(file_name="0.png")), "'0.png' and '0.png' have the same name"),
        (coco_with(lambda d: d["images"][0].pop("file_name")), r"images\[0\] lacks id or file_name"),
        (coco_with(lambda d: d["annotations"][1].update(image_id=99)), r"annotations\[1\]: there is no image of id 99"),
        (
            coco_with(lambda d: d["annotations"][1].update(category_id=9)),
            r"annotations\[1\]: there is no category of id 9",
        ),
        (
            coco_with(lambda d: d["annotations"][0].update(segmentation=[])),
            r"annotations\[0\] .*0\.png.*: no polygon, no RLE and no box: remove",
        ),
        (coco_with(lambda d: d["annotations"][0].update(segmentation=[[1, 2]])), "a polygon is x, y"),
        (coco_with(lambda d: d["annotations"][1]["segmentation"]["counts"].pop()), "an RLE of 350 pixels for an image"),
        (coco_with(lambda d: d["annotations"][1]["segmentation"].update(size=[9, 9])), r"an RLE of size \[9, 9\]"),
        (coco_with(lambda d: d["annotations"][1].update(category_id=[1])), r"there is no category of id \[1\]"),
        (coco_with(lambda d: d["annotations"].append([])), r"annotations\[2\] lacks image_id"),
        (coco_with(lambda d: d.update(categories={"id": 1})), "'categories' is not a list"),
        (coco_with(lambda d: d.pop("images")), "no COCO file"),
    ],
)
def test_a_fault_is_named(make: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    make(tmp_path / "root")
    refused(tmp_path / "root", reason)


def test_a_fault_does_not_take_the_other_splits(tmp_path: Path) -> None:
    MAKERS["plain"](tmp_path)
    (tmp_path / "clean" / "0.png").write_bytes(b"x")
    dataset = Folder(str(tmp_path), size=16)
    assert len(dataset.read("pool", [0, 1])) == 2 and len(dataset.read("clean", [1])) == 1


def cells(**changed: Any) -> Callable[[Path], None]:
    """A Parquet file whose columns are as the test says."""
    import pyarrow as pa
    from pyarrow import parquet

    from tests.plugins.datasets.folder_makers import table

    def make(root: Path) -> None:
        rows = table("pool")
        for name, values in changed.items():
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
        root.mkdir()
        parquet.write_table(rows, root / "pool.parquet")

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (cells(image=[{"bytes": None, "path": "a.png"}] * 2), "row 0 of 'pool', column 'image': only a path, no image"),
        (cells(image=[1, 2]), "column 'image': no encoded image"),
        (cells(image=[b"x", b"y"]), "row 0 of 'pool': not a readable PNG"),
        (cells(image=[None, None]), "row 0 of 'pool' has no image"),
        (cells(mask=["a", "b"]), "column 'mask': no encoded image"),
        (cells(caption=[1, 2]), "column 'caption' does not contain text"),
    ],
)
def test_a_fault_of_a_table_is_named(make: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    make(tmp_path / "root")
    refused(tmp_path / "root", reason)


def test_masks_of_another_size_in_a_table(tmp_path: Path) -> None:
    from tests.plugins.datasets.folder_makers import png

    small = [{"bytes": png(mark(0)[:5]), "path": None}] * 2
    cells(mask=small)(tmp_path / "root")
    refused(tmp_path / "root", "row 0 of 'pool', column 'mask': a mask of 32x5 for an image of 32x20")


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    MAKERS["parquet"](tmp_path / "a")
    file = tmp_path / "a" / "data" / "pool-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    refused(tmp_path / "a", r"pool-00000-of-00001\.parquet: cannot be read \(")
    MAKERS["saved"](tmp_path / "b")
    arrow = tmp_path / "b" / "pool" / "data-00000-of-00001.arrow"
    arrow.write_bytes(arrow.read_bytes()[:-300])
    refused(tmp_path / "b", r"data-00000-of-00001\.arrow: cannot be read \(")
    for content, reason in (
        ("[", "no JSON object"),
        ('{"_data_files": [{"filename": "../x.arrow"}]}', "names no files beside it"),
        ('{"_data_files": [], "_indices_data_files": [{"filename": "i"}]}', "flatten_indices"),
        ('{"_data_files": [{"filename": "x.arrow"}]}', r"x\.arrow: No such file"),
    ):
        (tmp_path / "b" / "pool" / "state.json").write_text(content)
        refused(tmp_path / "b", reason)
    (tmp_path / "b" / "dataset_dict.json").write_text('{"splits": [".."]}')
    refused(tmp_path / "b", "not a list of folder names")


def test_a_split_in_two_folders_is_refused(tmp_path: Path) -> None:
    MAKERS["parquet"](tmp_path / "first")
    MAKERS["parquet"](tmp_path / "second")
    refused(tmp_path, "split 'clean' is in .*first.data too: name one folder as root")
    assert set(Folder(str(tmp_path / "first"), size=16).splits()) == set(SPLITS)


def test_no_samples_beyond_the_end(tmp_path: Path) -> None:
    MAKERS["plain"](tmp_path)
    dataset = Folder(str(tmp_path), size=16)
    for index in (2, -1):
        with pytest.raises(BenchkitError, match=f"has 2 images: there is no number {index}$"):
            dataset.read("pool", [index])
    with pytest.raises(BenchkitError, match="has no split 'wild': it has clean, pool, test"):
        dataset.read("wild", [0])
    assert np.array_equal(dataset.read("pool", [1, 0])[1].image, dataset.read("pool", [0])[0].image)
