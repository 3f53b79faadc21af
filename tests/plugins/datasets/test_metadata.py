"""A metadata table that names masks decides what is an image and what a mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchkit.api import BenchkitError
from benchkit.readers.framing import Framing
from benchkit_plugins.datasets.folder.dataset import Folder
from tests.plugins.datasets.folder_makers import mark, photo, write


def tabled(folder: Path, *rows: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


def read(root: Path, split: str, **params: Any) -> dict[str, tuple[bool, str | None]]:
    """Name -> whether it has the right mask, caption."""
    dataset = Folder(str(root), size=16, **params)
    samples = dataset.read(split, range(dataset.splits()[split]))
    wanted = Framing(16, "crop").mask(mark(0))
    return {s.id: (s.mask is not None and np.array_equal(s.mask, wanted), s.caption) for s in samples}


@pytest.mark.parametrize("column", ["mask_file_name", "mask", "label_file_name", "segmentation"])
def test_images_and_masks_of_one_folder(column: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "pool" / f"{name}.png", photo("pool", 0))
    write(tmp_path / "pool" / "0001.png", mark(0) * np.uint8(255))
    write(tmp_path / "pool" / "depth.png", photo("pool", 1))
    tabled(
        tmp_path / "pool",
        {"file_name": "a.png", column: "0001.png", "text": "a hand", "depth_file_name": "depth.png"},
        {"file_name": "b.png", column: None},
    )
    write(tmp_path / "clean" / "c.png", photo("clean", 0))
    dataset = Folder(str(tmp_path), size=16)
    assert dataset.splits() == {"clean": 1, "pool": 2}
    assert read(tmp_path, "pool") == {"pool/a": (True, "a hand"), "pool/b": (False, None)}
    assert len(dataset.labelled(1, 0)) == 1
    before = dataset.fingerprint()
    tabled(tmp_path / "pool", {"file_name": "a.png"}, {"file_name": "b.png", column: "0001.png"})
    (tmp_path / "pool" / "depth.png").unlink()
    assert Folder(str(tmp_path), size=16).fingerprint() != before
    assert read(tmp_path, "pool") == {"pool/a": (False, None), "pool/b": (True, None)}


def test_a_table_in_the_root_and_folders_for_both(tmp_path: Path) -> None:
    rows = []
    for split in ("train", "test"):
        for kind, picture in (("images", photo("pool", 0)), ("masks", mark(0).astype(np.uint8))):
            write(tmp_path / split / kind / f"{kind}-7.png", picture)
        rows.append({"file_name": f"{split}/images/images-7.png", "mask_file_name": f"{split}/masks/masks-7.png"})
    tabled(tmp_path, *rows)
    assert read(tmp_path, "train") == {"train/images-7": (True, None)} and len(read(tmp_path, "test")) == 1
    (tmp_path / "metadata.jsonl").unlink()
    for split, row in zip(("train", "test"), rows, strict=True):
        image, marks = (row[key].removeprefix(f"{split}/") for key in ("file_name", "mask_file_name"))
        (tmp_path / split / "metadata.csv").write_text(f"file_name,mask_file_name,text\n{image},{marks},a\n")
    assert read(tmp_path, "test") == {"test/images-7": (True, "a")}


def test_another_column_can_be_named(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "a.png", photo("pool", 0))
    write(tmp_path / "pool" / "b.png", mark(0).astype(np.uint8))
    tabled(tmp_path / "pool", {"file_name": "a.png", "artifact_file_name": "b.png", "what": "a hand"})
    found = read(tmp_path, "pool", mask_column="artifact", caption_column="what")
    assert found == {"pool/a": (True, "a hand")}
    with pytest.raises(BenchkitError, match=r"^mask_column=other: this folder is read as plain, which does not use it"):
        Folder(str(tmp_path), size=16, mask_column="other").splits()


def test_a_class_is_no_mask(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "a.png", photo("pool", 0))
    tabled(tmp_path / "pool", {"file_name": "a.png", "label": "cat", "text": "a cat"})
    assert read(tmp_path, "pool") == {"pool/a": (False, "a cat")}


def test_every_fault_of_a_table_is_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "stray"):
        write(tmp_path / "pool" / f"{name}.png", photo("pool", 0))
    (tmp_path / "pool" / "d.gif").write_bytes(b"GIF89a")
    tabled(
        tmp_path / "pool",
        {"file_name": "a.png", "mask_file_name": "b.png"},
        {"file_name": "b.png"},
        {"file_name": "../../c.png"},
        {"file_name": "d.gif"},
        {"text": "none"},
    )
    with pytest.raises(BenchkitError) as found:
        Folder(str(tmp_path), size=16).splits()
    message = str(found.value)
    for part in (
        "line 2 names 'pool/b.png', as another line does",
        "line 3 names '../c.png', which does not exist: correct",
        "line 4 names 'pool/d.gif', which is not read: save it as PNG",
        "line 5 has no 'file_name': name the image there",
        "c.png: named in no line of metadata.jsonl or metadata.csv: add a line, or move the file; and 1 more such",
    ):
        assert part in message, message
    assert "\n" not in message


def test_a_caption_may_hold_any_line_separator(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "a.png", photo("pool", 0))
    write(tmp_path / "pool" / "b.png", photo("pool", 1))
    rows = [{"file_name": "a.png", "text": "one\u2028two\x85three"}, {"file_name": "b.png", "text": "four"}]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "pool" / "metadata.jsonl").write_bytes(text.encode())
    assert read(tmp_path, "pool") == {"pool/a": (False, "one\u2028two\x85three"), "pool/b": (False, "four")}
