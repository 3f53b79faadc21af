"""How people lay out images and masks: paired by name, or refused with the names that are understood."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.api import BenchkitError
from benchkit.readers.masks import MASK_SUFFIXES
from benchkit.readers.walk import walk
from benchkit_plugins.datasets.folder import places, plain, roles
from benchkit_plugins.datasets.folder.dataset import Folder
from benchkit_plugins.datasets.folder.layouts import passed_over
from benchkit_plugins.datasets.folder.plain import list_plain
from benchkit_plugins.datasets.folder.records import FileListing
from tests.plugins.datasets.folder_makers import png

PHOTO, MARKS = png(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)), png(np.eye(8, dtype=bool))
MARKS_IN_RGB = png(np.repeat(np.eye(8, dtype=np.uint8)[..., None], 3, axis=2) * np.uint8(255))


def make(root: Path, files: Iterable[str]) -> Path:
    """Files below a root: photographs; a path that begins with `!` is a label map of one channel, with `?` in RGB."""
    for file in files:
        path = root / file.lstrip("!?")
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = path.suffix.lower() in (".png", ".jpg")
        path.write_bytes({"!": MARKS, "?": MARKS_IN_RGB}.get(file[0], PHOTO) if picture else b"")
    return root


def pairs(root: Path) -> dict[str, str | None]:
    """`SPLIT/NAME` -> the path of its mask."""
    listing = list_plain(walk(root))
    assert isinstance(listing, FileListing)
    return {
        f"{split}/{record.name}": None if record.mask is None else Path(str(record.mask)).relative_to(root).as_posix()
        for split, records in listing.records.items()
        for record in records
    }


@pytest.mark.parametrize(
    ("image", "mask", "name"),
    [
        ("pool/hand.jpg", "pool/hand.mask.png", "pool/hand"),
        ("pool/hand.png", "pool/hand_mask.png", "pool/hand"),
        ("pool/hand.png", "pool/hand-mask.png", "pool/hand"),
        ("pool/hand.png", "pool/hand_label.PNG", "pool/hand"),
        ("pool/hand.png", "pool/hand_gt.png", "pool/hand"),
        ("pool/hand.png", "pool/hand.seg.png", "pool/hand"),
        ("pool/hand.png", "pool/mask_hand.png", "pool/hand"),
        ("pool/img_7.png", "pool/mask_7.png", "pool/img_7"),
        ("pool/7_image.png", "pool/7_mask.png", "pool/7_image"),
        ("pool/hand.png", "pool/hand_segmentation_mask.png", "pool/hand"),
        ("pool/hand.jpg", "pool/masks/hand.jpg.png", "pool/hand"),
        ("pool/hand.jpg", "pool/masks/hand.jpg_mask.png", "pool/hand"),
        ("images/Train/0.png", "masks/train/0.png", "Train/0"),
        ("images/\u00e9/0.png", "masks/e\u0301/0.png", "\u00e9/0"),
        ("pool/hand.png", "pool/masks/hand.png", "pool/hand"),
        ("pool/hand.png", "pool/masks/hand_mask.png", "pool/hand"),
        ("pool/hand.png", "pool/Labels/hand.png", "pool/hand"),
        ("pool/a/hand.png", "pool/masks/a/hand.png", "pool/a/hand"),
        ("pool/a/hand.png", "pool/a/masks/hand.png", "pool/a/hand"),
        ("pool/a/images/hand.png", "pool/a/masks/hand.png", "pool/a/hand"),
        ("pool/images/hand.png", "pool/masks/hand.png", "pool/hand"),
        ("train/images/0.png", "train/labels/0.png", "train/0"),
        ("train/imgs/0.jpg", "train/annotations/0.png", "train/0"),
        ("train/img/0.jpg", "train/ground_truth/0.png", "train/0"),
        ("images/train/0.png", "masks/train/0.png", "train/0"),
        ("images/train/0.png", "labels/train/0.png", "train/0"),
        ("imgs/train/0.png", "gt/train/0.png", "train/0"),
        ("img_dir/train/0.png", "ann_dir/train/0.png", "train/0"),
        ("JPEGImages/0.jpg", "SegmentationClass/0.png", "all/0"),
        ("images/0.png", "artifact_masks/0.png", "all/0"),
        ("images/img_001.png", "masks/mask_001.png", "all/img_001"),
        ("photos/0.png", "photo_masks/0.png", "all/0"),
        ("0.png", "masks/0.png", "all/0"),
        ("train/0.png", "train_masks/0_mask.png", "train/0"),
        ("train_images/0.png", "train_labels/0.png", "train/0"),
        ("train/0.png", "masks/train/0.png", "train/0"),
        ("train/Hand.png", "train/masks/hand.png", "train/Hand"),
    ],
)
def test_a_mask_finds_its_image(image: str, mask: str, name: str, tmp_path: Path) -> None:
    assert pairs(make(tmp_path, [image, f"!{mask}"])) == {name: mask}


def test_one_image_may_have_a_mask_and_another_none(tmp_path: Path) -> None:
    make(tmp_path, ["train/images/0.png", "train/images/1.png", "!train/masks/1.png", "clean/images/0.png"])
    assert pairs(tmp_path) == {"train/0": None, "train/1": "train/masks/1.png", "clean/0": None}


def test_names_composed_in_other_ways_are_paired(tmp_path: Path) -> None:
    """As a mask drawn on a Mac for an image from elsewhere."""
    composed, apart = (unicodedata.normalize(form, "h\u00e4nde") for form in ("NFC", "NFD"))
    make(tmp_path, [f"pool/{composed}.png", f"!pool/masks/{apart}.png"])
    assert pairs(tmp_path) == {f"pool/{composed}": f"pool/masks/{apart}.png"}


def test_names_that_differ_in_case_or_form_alone_are_told_apart_exactly(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "\u00e4") for form in ("NFC", "NFD"))
    names = ["a", "A", composed, apart]
    make(tmp_path, [f"pool/{n}.png" for n in names] + [f"!pool/{n}_mask.png" for n in names[1:]])
    assert pairs(tmp_path) == {f"pool/{n}": f"pool/{n}_mask.png" if n != "a" else None for n in names}


def test_an_image_may_be_called_as_masks_are(tmp_path: Path) -> None:
    make(tmp_path, ["images/t/seg_01.png", "!masks/t/seg_01.png", "images/t/a_label.png", "!masks/t/a_label_mask.png"])
    with pytest.raises(BenchkitError, match=r"a_label\.png: a mask without an image"):
        pairs(tmp_path)
    (tmp_path / "masks/t/a_label_mask.png").rename(tmp_path / "masks/t/a_label.png")
    assert pairs(tmp_path) == {"t/a_label": "masks/t/a_label.png", "t/seg_01": "masks/t/seg_01.png"}


def test_folders_that_are_no_masks(tmp_path: Path) -> None:
    """A word alone makes no masks: these are the kinds of a well-known set of photographs."""
    make(tmp_path, ["with_mask/with_mask_1.png", "without_mask/without_mask_1.png"])
    assert set(pairs(tmp_path)) == {"with_mask/with_mask_1", "without_mask/without_mask_1"}


def test_a_folder_of_images_without_masks_is_looked_through(tmp_path: Path) -> None:
    make(tmp_path / "a", ["images/train/0.png", "images/test/0.png"])
    assert set(pairs(tmp_path / "a")) == {"train/0", "test/0"}
    make(tmp_path / "b", ["images/0.png"])
    assert set(pairs(tmp_path / "b")) == {"images/0"}


def test_captions_lie_beside_images_or_above_them(tmp_path: Path) -> None:
    make(tmp_path, ["train/images/0.png", "train/images/1.png", "!train/labels/0.png", "train/images/2.png"])
    (tmp_path / "train" / "images" / "0.txt").write_text("zero")
    (tmp_path / "train" / "images" / "captions.csv").write_text("file_name,text\n1.png,one\n")
    (tmp_path / "train" / "metadata.jsonl").write_text('{"file_name": "images/2.png", "text": "two"}\n')
    assert [s.caption for s in Folder(str(tmp_path), size=8).read("train", range(3))] == ["zero", "one", "two"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["pool/0.png", "!pool/masks/0.png", "!pool/masks/1.png"], r"1\.png: a mask without an image: there is no '1'"),
        (["pool/0.png", "!pool/1_mask.png"], r"1_mask\.png: a mask without an image: there is no '1' in split 'pool'"),
        (["pool/0.png", "pool/1.heic", "!pool/1.mask.png"], r"'1' in split 'pool', only 'pool/1\.heic', which is not"),
        (["pool/0.png", "!labels/0.png"], r"labels.0\.png: a mask without an image: there is no split 'all'"),
        (["train/0.png", "!tset_masks/0.png"], r"0\.png: a mask without an image: there is no split 'tset'"),
        (["pool/0.png", "pool/masks/0.npy"], r"0\.npy: a mask of '0' as \.npy, which is not read: save it as PNG"),
        (["pool/images/0.png", "pool/labels/0.txt"], r"0\.txt: a mask of '0' as \.txt, which is not read"),
        (["pool/images/0.png", "pool/annotations/0.xml"], r"0\.xml: a mask of '0' as \.xml"),
        (["pool/0.png", "pool/0_mask.npy"], r"0_mask\.npy: a mask of '0' as \.npy"),
        (["pool/0.png", "pool/masks/1.npy"], r"1\.npy: a mask without an image"),
        (["pool/img_0.png", "pool/0_img.png", "!pool/0_mask.png"], r"0_mask\.png: a mask that may belong to .* and .*"),
        (["pool/a.png", "pool/A.png", "!pool/masks/\u0041\u030a.png"], "a mask without an image"),
        (["pool/hand.png", "pool/Hand.png", "!pool/masks/HAND.png"], r"HAND\.png: a mask that may belong to"),
        (["pool/0.png", "!pool/0_mask.png", "!pool/masks/0.png"], "is a mask of the same image: keep one"),
        (["pool/0.png", "!pool/0_mask_1.png", "!pool/0_mask_2.png"], "0_mask_1.png: one of several masks of an image"),
        (["pool/0.png", "pool/0.jpg"], r"0\.png: 'pool/0\.jpg' has the same name: keep .* 0\.mask\.png if"),
        (["pool/images/0.png", "pool/0.png"], "has the same name"),
        (["pool/0.png", "pool/1.png", "!pool/0_m.png", "!pool/1_m.png"], r"0_m\.png: looks like a mask of 'pool/0"),
        (["pool/0.png", "!pool/0M.png"], r"0M\.png: looks like a mask .*: name it 0\.mask\.png, or give"),
        (["pool/0.png", "?pool/0_target.png"], r"0_target\.png: looks like a mask of 'pool/0\.png'"),
        (["pool/a/0.png", "?pool/b/0.png"], r"pool.b: looks like the masks of 'pool/a'"),
        (["pool/images/0.png", "!pool/1st_manual/0_manual1.png"], r"1st_manual: looks like masks \(one channel, few"),
        (["pool/a/0.png", "!pool/b/0.png"], r"pool.b: looks like the masks of 'pool/a'"),
        (["hands/0.png", "hands/1.png", "!truth/0.png", "!truth/1.png"], r"truth: looks like the masks of 'hands'"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(files: list[str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match=reason) as found:
        Folder(str(make(tmp_path, files)), size=8).splits()
    assert "\n" not in str(found.value)


def test_a_suffix_of_the_mask_table_is_a_mask_and_never_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plain, places):
        monkeypatch.setattr(module, "MASK_SUFFIXES", (*MASK_SUFFIXES, ".npy"))
    make(tmp_path, ["pool/0.png", "pool/masks/0.npy", "pool/1.png", "pool/1.mask.npy"])
    assert pairs(tmp_path) == {"pool/0": "pool/masks/0.npy", "pool/1": "pool/1.mask.npy"}


def test_all_faults_are_in_one_message_with_the_names_that_are_understood(tmp_path: Path) -> None:
    make(tmp_path, ["pool/0.png", *(f"!pool/masks/{n}.png" for n in range(1, 9)), "test/0.png", "test/masks/0.npy"])
    with pytest.raises(BenchkitError) as found:
        Folder(str(tmp_path), size=8).splits()
    message = str(found.value)
    assert all(f"masks/{n}.png" in message for n in range(1, 6)) and "; and 4 more such" in message
    assert message.count("masks are NAME.mask.png") == 1


def test_pictures_of_one_channel_are_images_where_no_name_says_otherwise(tmp_path: Path) -> None:
    make(tmp_path / "a", ["!pool/a/0.png", "!pool/b/1.png", "!pool/x.png", "!pool/xy.png"])
    assert len(pairs(tmp_path / "a")) == 4
    make(tmp_path / "b", ["pool/0.png", "?test/0.png", "pool/1.png", "pool/10.png"])
    (tmp_path / "b" / "pool" / "1b.png").write_bytes(png(np.full((8, 8, 3), 90, np.uint8)))
    assert len(pairs(tmp_path / "b")) == 5, "of one colour, and in a split of its own"


def test_boxes_beside_masks_are_passed_over(tmp_path: Path) -> None:
    """As in Pascal VOC."""
    make(tmp_path, ["JPEGImages/0.jpg", "!SegmentationClass/0.png", "Annotations/0.xml"])
    assert pairs(tmp_path) == {"all/0": "SegmentationClass/0.png"}


def test_texts_and_tables_among_masks_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, ["pool/0.png", "!pool/masks/0.png", "pool/masks/README.md", "pool/masks/classes.txt", "pool/x.gif1"])
    (tmp_path / "pool" / ".hidden").mkdir()
    make(tmp_path, ["pool/Thumbs.db", "__MACOSX/pool/9.png", "pool/._0.png", "empty/notes.txt", "pool/0.json"])
    assert pairs(tmp_path) == {"pool/0": "pool/masks/0.png"}
    assert passed_over(tmp_path, list_plain(walk(tmp_path))) == {
        "__MACOSX": "of the operating system",
        "empty/notes.txt": "a text without an image of its name",
        "pool/._0.png": "hidden",
        "pool/.hidden": "hidden",
        "pool/0.json": "the suffix is not supported",
        "pool/Thumbs.db": "of the operating system",
        "pool/masks/README.md": "the suffix is not supported",
        "pool/masks/classes.txt": "a text without an image of its name",
        "pool/x.gif1": "the suffix is not supported",
    }


def test_folders_beside_those_of_images_and_masks_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, ["images/a/0.png", "!masks/a/0.png", "preview/0.png"])
    assert pairs(tmp_path) == {"a/0": "masks/a/0.png"}
    assert passed_over(tmp_path, list_plain(walk(tmp_path))) == {
        "preview/0.png": "an image that is not part of the layout"
    }


NAMES = st.text("abAB01 é", min_size=1, max_size=6).filter(lambda name: name.strip() == name)


@given(NAMES, st.sampled_from(["_", "-", ".", " "]), st.sampled_from(["mask", "Masks", "label", "GT", "seg"]))
def test_a_masks_name_leads_back_to_its_image(name: str, between: str, word: str) -> None:
    assert roles.mask_base(f"pool/{name}{between}{word}") == f"pool/{name}"
    assert roles.mask_base(name) is None


@given(st.text(max_size=12))
def test_folding_knows_no_capitals_and_no_normal_form(name: str) -> None:
    for form in ("NFC", "NFD"):
        assert roles.fold_name(unicodedata.normalize(form, name)) == roles.fold_name(name)
    assert roles.fold_name(roles.fold_name(name)) == roles.fold_name(name)
