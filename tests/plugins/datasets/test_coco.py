"""What of a COCO file counts: its frame, crowds, categories and boxes; every fault is named before an image is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchkit.api import BenchkitError, Sample
from benchkit_plugins.datasets.folder.dataset import Folder

#: Height and width of the pictures as they are stored.
SHAPE = (24, 32)
#: Columns 2 to 6, rows 3 to 13.
REGION = [[2, 3, 6, 3, 6, 13, 2, 13]]


def folder(root: Path, *annotations: dict[str, Any], size: Any = SHAPE, orientation: int = 1, **image: Any) -> Path:
    """One picture, 0.png, and what is marked on it; size: (height, width) that the file states."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    Image.new("RGB", SHAPE[::-1], "grey").save(root / "images" / "0.png", exif=exif)
    entry = {"id": 1, "file_name": "0.png", **({} if size is None else {"height": size[0], "width": size[1]}), **image}
    data = {
        "images": [entry],
        "categories": [{"id": 1, "name": "artifact"}, {"id": 2, "name": "person"}, {"id": 3, "name": "hand+foot"}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 1, **one} for n, one in enumerate(annotations)],
    }
    (root / "annotations" / "test.json").write_text(json.dumps(data))
    return root


def read(root: Path, **params: Any) -> Sample:
    dataset = Folder(str(root), size=32, fit="pad", **params)
    (sample,), (facts,) = dataset.read("test", [0]), dataset.inspect("test", [0])
    assert facts.fault is None and facts.labelled and facts.id == sample.id == "test/0"
    return sample


def refused(root: Path, reason: str, **params: Any) -> None:
    """By `read` and, before it, by `inspect`, in the same words."""
    dataset = Folder(str(root), size=32, **params)
    (facts,) = dataset.inspect("test", [0])
    with pytest.raises(BenchkitError, match=reason) as found:
        dataset.read("test", [0])
    assert facts.fault is not None and facts.fault in str(found.value) and "\n" not in facts.fault


def region(rows: slice, columns: slice) -> np.ndarray:
    """(32, 32) bool: a rectangle of the picture as `fit=pad` frames it."""
    found = np.zeros((32, 32), bool)
    found[4:28][rows, columns] = True
    return found


def test_a_picture_of_another_size_than_the_file_states_is_refused(tmp_path: Path) -> None:
    refused(
        folder(tmp_path / "a", {"segmentation": REGION}, size=(48, 64)),
        r"images/0\.png: the COCO file states 64x48, the image has 32x24: give the image that was annotated, or ",
    )
    refused(folder(tmp_path / "b", size=(48, 64)), "the COCO file states 64x48")
    refused(
        folder(tmp_path / "c", {"segmentation": REGION}, size=(48, 64), orientation=6),
        r"states 64x48, the image has 24x32 \(32x24 before EXIF turns it\)",
    )
    for n, wrong in enumerate((0, -1, "64", 1.5, float("inf"))):
        root = folder(tmp_path / str(n), size=None, width=wrong, height=24)
        with pytest.raises(BenchkitError, match=r"images\[0\]: width .* and height 24 are not whole numbers above 0"):
            Folder(str(root)).splits()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_annotations_lie_where_width_and_height_say(orientation: int, tmp_path: Path) -> None:
    """As shown if they are the upright picture's, as stored if they are the file's; if both, the user must say."""
    upright = SHAPE[::-1] if orientation > 4 else SHAPE
    in_upright = np.zeros(upright, bool)
    in_upright[3:13, 2:6] = True
    stored = np.zeros(SHAPE, np.uint8)
    stored[3:13, 2:6] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "mask.png"
    Image.fromarray(stored).save(file, exif=exif)
    from benchkit.readers.masks import decode_mask

    marks = {"segmentation": REGION}
    frames = {"upright": (upright, in_upright), "stored": (SHAPE, decode_mask(file, "m"))}
    for name, (size, wanted) in frames.items():
        root = folder(tmp_path / name, marks, size=size, orientation=orientation)
        before = (32 - upright[0]) // 2, (32 - upright[1]) // 2
        part = np.s_[before[0] : before[0] + upright[0], before[1] : before[1] + upright[1]]
        if upright != SHAPE or orientation == 1:
            assert np.array_equal(read(root).mask[part], wanted)
        else:
            refused(root, "sizes do not show whether .* set turned=upright or turned=stored, or save the")
        assert np.array_equal(read(root, turned=name).mask[part], wanted)
    if orientation > 1:
        refused(
            folder(tmp_path / "c", marks, size=None, orientation=orientation), "set turned=upright or turned=stored"
        )
        read(folder(tmp_path / "d", size=None, orientation=orientation))


def test_a_label_that_would_vanish_is_an_error(tmp_path: Path) -> None:
    beside = [[40, 3, 46, 3, 46, 13, 40, 13]]
    for n, size in enumerate((SHAPE, None)):
        refused(
            folder(tmp_path / str(n), {"segmentation": beside}, size=size), r"annotations\[0\] .*reaches out of the"
        )
    refused(
        folder(tmp_path / "turned", {"segmentation": [[2, 3, 6, 3, 6, 30]]}, orientation=6), "out of the image of 32x24"
    )


def test_a_crowd_counts_in_nothing(tmp_path: Path) -> None:
    runs = {"size": list(SHAPE), "counts": [0, 24 * 8, 24 * 24]}
    sample = read(folder(tmp_path / "a", {"segmentation": runs, "iscrowd": 1}))
    assert np.array_equal(sample.ignored, region(np.s_[:], np.s_[:8]))
    assert sample.mask is not None and not sample.mask.any() and not sample.kinds
    assert Folder(str(tmp_path / "a"), size=32).inspect("test", [0])[0].positive is False
    sample = read(folder(tmp_path / "b", {"segmentation": runs, "ignore": 1}, {"segmentation": REGION}))
    assert np.array_equal(sample.mask, region(np.s_[3:13], np.s_[2:6])), "what is marked itself stays marked"
    assert np.array_equal(sample.ignored, region(np.s_[:], np.s_[:8]) & ~sample.mask)
    assert read(folder(tmp_path / "c", {"segmentation": REGION, "iscrowd": 0})).ignored is None
    crowd = {"segmentation": REGION, "iscrowd": 1}
    assert read(folder(tmp_path / "d", {**crowd, "category_id": 2}), categories="artifact").ignored is None
    with pytest.raises(BenchkitError, match=r"annotations\[0\]: iscrowd and ignore are 0 or 1"):
        Folder(str(folder(tmp_path / "e", {**crowd, "iscrowd": 2}))).splits()


def test_a_turned_crowd_turns_with_its_picture(tmp_path: Path) -> None:
    sample = read(folder(tmp_path, {"segmentation": REGION, "iscrowd": 1}, orientation=6))
    wanted = np.zeros((32, 24), bool)
    wanted[2:6, 24 - 13 : 24 - 3] = True  # the stored rows run from right to left
    assert np.array_equal(sample.ignored[:, 4:28], wanted)


def test_categories_are_chosen_by_name(tmp_path: Path) -> None:
    person = [[20, 3, 26, 3, 26, 13, 20, 13]]
    marks = (
        {"segmentation": REGION},
        {"segmentation": person, "category_id": 2},
        {"segmentation": [], "category_id": 3},
    )
    root = folder(tmp_path, *marks[:2])
    assert set(read(root).kinds) == {"artifact", "person"}
    only = read(root, categories="artifact")
    assert set(only.kinds) == {"artifact"} and np.array_equal(only.mask, region(np.s_[3:13], np.s_[2:6]))
    assert set(read(root, categories="person + artifact").kinds) == {"artifact", "person"}
    assert not read(root, categories="hand+foot").mask.any(), "a name may hold the sign itself"
    with pytest.raises(
        BenchkitError, match=r"^categories=artefact\+hand: there is no category 'artefact', 'hand': choose from a"
    ):
        Folder(str(root), categories="artefact+hand").splits()
    read(folder(tmp_path / "faulty", *marks), categories="artifact+person")
    refused(tmp_path / "faulty", "no polygon")


def test_what_was_counted_is_said_and_recorded(tmp_path: Path) -> None:
    other = {"segmentation": REGION, "category_id": 2}
    root = folder(
        tmp_path, {"segmentation": REGION}, {"segmentation": REGION, "iscrowd": 1}, {"bbox": [2, 3, 4, 5]}, other
    )
    everything = Folder(str(root), size=32, boxes=True)
    assert everything.provenance() == {"categories": "artifact, hand+foot, person"}
    assert everything.remarks(())[:3] == [
        "annotations counted, by category: artifact 2, hand+foot 0, person 1",
        "annotations of crowds, whose pixels count in nothing: 1",
        "annotations without a region, whose box is used: 1",
    ]
    chosen = Folder(str(root), size=32, categories="person")
    assert chosen.provenance() == {"categories": "person"}
    assert chosen.remarks(())[:2] == [
        "annotations counted, by category: person 1",
        "annotations not counted, by category: artifact 2",
    ]
    assert Folder(str(root / "images"), size=32).provenance() == {}


def test_a_box_alone_marks_nothing_unless_it_is_wanted(tmp_path: Path) -> None:
    box = {"bbox": [2, 3, 4, 10]}
    for n, empty in enumerate(({"segmentation": []}, {"segmentation": None}, {})):
        root = folder(tmp_path / str(n), {**box, **empty})
        refused(
            root, r"annotations\[0\] .*: only a box, no polygon or RLE: set boxes=true to use whole boxes, or remove"
        )
        assert np.array_equal(read(root, boxes=True).mask, region(np.s_[3:13], np.s_[2:6]))
    for n, wrong in enumerate((None, [2, 3, 4], [2, 3, 0, 10], [2, 3, float("nan"), 4], ["2", 3, 4, 10])):
        refused(folder(tmp_path / f"wrong{n}", {"bbox": wrong}), "no polygon, no RLE and no box: remove", boxes=True)
    refused(folder(tmp_path / "out", {"bbox": [60, 3, 4, 10]}), "reaches out", boxes=True)


def test_all_faults_of_all_images_are_known_before_one_is_read(tmp_path: Path) -> None:
    root = folder(tmp_path, *[{"segmentation": []}] * 3, {"segmentation": REGION}, {"segmentation": "x"}, {"bbox": 3})
    data = json.loads((root / "annotations/test.json").read_text())
    data["images"] += [{"id": n, "file_name": f"{n}.png"} for n in (2, 3)]
    (root / "annotations/test.json").write_text(json.dumps(data))
    faults = [facts.fault or "" for facts in Folder(str(root), size=32, order="name").inspect("test", range(3))]
    assert [fault.count("annotations[") for fault in faults] == [3, 0, 0] and faults[0].endswith("; and 2 more")
    assert all(f"{n}.png: no such file: " in fault for n, fault in ((2, faults[1]), (3, faults[2])))


def test_images_that_are_missing_do_not_hide_the_others(tmp_path: Path) -> None:
    root = folder(tmp_path, {"segmentation": REGION})
    data = json.loads((root / "annotations/test.json").read_text())
    data["images"].insert(0, {"id": 0, "file_name": "-.png"})
    (root / "annotations/test.json").write_text(json.dumps(data))
    faults = [facts.fault for facts in Folder(str(root), size=32, order="name").inspect("test", range(2))]
    assert faults == [f"{root}/images/-.png: no such file: correct its name, or put it there", None]


def test_all_entries_that_cannot_be_used_are_named_at_once(tmp_path: Path) -> None:
    marks = [{"segmentation": REGION, "image_id": 9}] * 7
    root = folder(tmp_path, {"segmentation": REGION, "category_id": 5}, *marks, file_name="../0.png")
    with pytest.raises(BenchkitError) as found:
        Folder(str(root)).splits()
    message = str(found.value)
    assert (
        "images[0]: file_name '../0.png' leads out" in message
        and "annotations[0]: there is no category of id 5" in message
    )
    assert "annotations[3]: there is no image of id 9" in message and message.endswith("; and 4 more such")


def test_the_faults_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    root = folder(tmp_path, {"segmentation": REGION, "category_id": 5})
    file = root / "annotations/test.json"
    (root / "annotations/pool.json").write_bytes(file.read_bytes())
    (root / "annotations/wild.json").write_text("{")
    with pytest.raises(BenchkitError) as found:
        Folder(str(root)).splits()
    assert [f"{name}.json: " in str(found.value) for name in ("pool", "test", "wild")] == [True] * 3


def test_an_id_of_another_type_is_said_to_be_one(tmp_path: Path) -> None:
    root = folder(tmp_path, {"segmentation": REGION, "image_id": "1", "category_id": "1"})
    data = json.loads((root / "annotations/test.json").read_text())
    known = data["images"][0]["id"]
    data["annotations"][0]["image_id"] = str(known)
    (root / "annotations/test.json").write_text(json.dumps(data))
    with pytest.raises(BenchkitError, match=f"no image of id '{known}' .there is one of id {known}: write both in one"):
        Folder(str(root)).splits()


def test_corners_that_are_parts_of_the_picture_are_refused(tmp_path: Path) -> None:
    """As some converters write them: they would mark one pixel."""
    for name, region in (("polygon", {"segmentation": [[0.1, 0.1, 0.3, 0.1, 0.3, 0.3]]}), ("box", {"bbox": [0.1] * 4})):
        refused(folder(tmp_path / name, region), "a region within 0 and 1: COCO counts in pixels: mul", boxes=True)
    assert read(folder(tmp_path / "pixel", {"segmentation": [[0, 0, 1, 0, 1, 1, 0, 1]]})).mask is not None


def test_the_sizes_of_the_other_files_are_known_where_one_is_missing(tmp_path: Path) -> None:
    root = folder(tmp_path, {"segmentation": REGION})
    data = json.loads((root / "annotations/test.json").read_text())
    data["images"].append({"id": "more", "file_name": "more.png"})
    (root / "annotations/test.json").write_text(json.dumps(data))
    assert list(Folder(str(root), size=16).file_sizes("test")) == [(24, 32)]


def test_ids_given_twice_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, {"segmentation": REGION}, {"segmentation": REGION, "id": 0})
    with pytest.raises(BenchkitError, match=r"annotations\[1\]: id 0 is another annotation's already: give each"):
        Folder(str(root)).splits()
    data = json.loads((root / "annotations/test.json").read_text())
    data["annotations"], data["categories"][1]["id"] = [], 1
    (root / "annotations/test.json").write_text(json.dumps(data))
    with pytest.raises(BenchkitError, match=r"categories\[1\]: id 1 is category 'artifact' already: keep one"):
        Folder(str(root)).splits()


def test_what_a_layout_has_no_use_for_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, {"segmentation": REGION})
    with pytest.raises(BenchkitError, match=r"^ignore=255: this folder is read as coco, which does not use it: remove"):
        Folder(str(root), ignore=255).splits()
    with pytest.raises(
        BenchkitError, match=r"^categories=artifact, boxes=True, image_column=a: this folder is read as pl"
    ):
        Folder(str(root / "images"), categories="artifact", boxes=True, image_column="a").splits()
