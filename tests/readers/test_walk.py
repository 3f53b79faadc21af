"""Links are followed and lead to nothing twice; what cannot be followed is named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchkit.api import BenchkitError
from benchkit.readers.walk import CIRCLE, list_files, walk
from benchkit_plugins.datasets.folder.dataset import Folder
from tests.plugins.datasets.folder_makers import write

PHOTO = np.full((8, 8, 3), 90, np.uint8)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder elsewhere, with a picture in it and one below it."""
    write(tmp_path / "elsewhere" / "batch" / "b.png", PHOTO)
    write(tmp_path / "elsewhere" / "batch" / "deep" / "c.png", PHOTO)
    return tmp_path / "elsewhere" / "batch"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "root" / "pool" / "a.png", PHOTO)
    return tmp_path / "root"


def ids(root: Path, split: str) -> set[str]:
    dataset = Folder(str(root), size=8)
    return {sample.id for sample in dataset.read(split, range(dataset.splits()[split]))}


def test_a_linked_folder_is_part_of_its_split(root: Path, outside: Path) -> None:
    (root / "pool" / "batch").symlink_to(outside)
    (root / "test").symlink_to(outside)
    (root / "pool" / "d.png").symlink_to(outside / "b.png")
    assert ids(root, "pool") == {"pool/a", "pool/d", "pool/batch/b", "pool/batch/deep/c"}
    assert ids(root, "test") == {"test/b", "test/deep/c"}
    assert list_files(root / "pool", (".png",))[0] == root / "pool" / "a.png"


def test_masks_may_be_linked_too(root: Path, outside: Path) -> None:
    write(root / "pool" / "b.png", PHOTO)
    write(root / "pool" / "deep" / "c.png", PHOTO)
    (root / "pool" / "masks").symlink_to(outside)
    assert list(Folder(str(root), size=8)._listing.annotated("pool")) == [1, 2]


def test_no_link_leads_round_in_a_circle(root: Path, outside: Path) -> None:
    for name, target in (("self", "."), ("up", ".."), ("top", "../..")):
        (root / "pool" / name).symlink_to(target)
    (outside / "deep" / "back").symlink_to(outside)
    (root / "pool" / "batch").symlink_to(outside)
    assert ids(root, "pool") == {"pool/a", "pool/batch/b", "pool/batch/deep/c"}
    circles = {path for path, why in walk(root).skipped.items() if why == CIRCLE}
    assert circles == {"pool/self", "pool/up", "pool/top", "pool/batch/deep/back"}


def test_a_split_reads_a_folder_once_however_many_links_lead_to_it(root: Path, outside: Path) -> None:
    write(root / "pool" / "b" / "x.png", PHOTO)
    (root / "pool" / "a-link").symlink_to("b")
    (root / "pool" / "c").symlink_to(outside)
    (root / "pool" / "d").symlink_to(outside)
    assert ids(root, "pool") == {"pool/a", "pool/b/x", "pool/c/b", "pool/c/deep/c"}


def test_splits_that_share_a_folder_are_remarked_on(root: Path, outside: Path) -> None:
    (root / "test").symlink_to("pool")
    (root / "pool" / "batch").symlink_to(outside)
    remarks = Folder(str(root), size=8).remarks(("pool", "test"))
    assert remarks[0] == "splits pool and test share images: 'pool' and 'test' are one folder by a link"
    assert remarks[1].startswith("splits pool and test share images: 'pool/batch' and 'test/batch' are one folder")


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "pool" / "all" / str(number) / "0.png", PHOTO)
        for other in range(12):
            (tmp_path / "pool" / "all" / str(number) / f"to-{other}").symlink_to(f"../{other}")
    assert len(ids(tmp_path, "pool")) == 12


def test_a_broken_link_is_named(root: Path, tmp_path: Path) -> None:
    (root / "pool" / "batch").symlink_to(tmp_path / "gone")
    (root / "pool" / "1.png").symlink_to("gone.png")
    (root / "pool" / "loop").symlink_to("loop")
    with pytest.raises(BenchkitError) as found:
        Folder(str(root), size=8).splits()
    for part in ("1.png: a link to 'gone.png', which cannot be followed: fix or remove it", "pool/batch: a", "loop: "):
        assert part in str(found.value)
    with pytest.raises(BenchkitError, match="which cannot be followed"):
        list_files(root, (".png",))


def test_what_is_no_file_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "pool" / "pipe.png")
    with pytest.raises(BenchkitError, match=r"pipe\.png: neither a file nor a folder: remove it"):
        Folder(str(root), size=8).splits()


def test_a_folder_that_may_not_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "pool" / "closed" / "0.png", PHOTO)
    scandir = os.scandir

    def refusing(folder: str) -> object:
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(BenchkitError, match=r"closed: Permission denied: allow reading it, or move it away"):
        Folder(str(root), size=8).splits()


def test_a_name_that_is_no_text_is_named(root: Path) -> None:
    name = os.fsencode(root / "pool") + b"/\xff.png"
    try:
        os.close(os.open(name, os.O_CREAT))
    except OSError:
        pytest.skip("a file system whose names are text")
    with pytest.raises(BenchkitError, match=r"pool/\\udcff\.png: a name that is not UTF-8: rename it"):
        Folder(str(root), size=8).splits()


def test_every_command_that_takes_a_folder_follows_links(root: Path, outside: Path) -> None:
    from benchkit.cli.detect import _files as files_to_detect
    from benchkit.readers.images_by_id import _list_source as files_to_prepare

    (root / "pool" / "batch").symlink_to(outside)
    (root / "pool" / "back").symlink_to(root)
    expected = [root / "pool" / part for part in ("a.png", "batch/b.png", "batch/deep/c.png")]
    assert list(files_to_detect([root])) == expected
    assert files_to_prepare(root) == expected
