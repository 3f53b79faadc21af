"""What is known of plain files before they are read is what reading them would find."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFile
from pyarrow import parquet

from benchkit.api import BenchkitError
from benchkit.readers.framing import Framing
from benchkit.readers.image_headers import orient_mask
from benchkit.readers.images import decode_image
from benchkit_plugins.datasets.folder import records
from benchkit_plugins.datasets.folder.dataset import Folder
from benchkit_plugins.datasets.folder.records import DECODED
from tests.plugins.datasets.folder_makers import MAKERS, SPLITS, mark, photo, png, write


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("fit", ["crop", "tile"])
def test_inspecting_says_what_reading_gives(name: str, fit: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path / "root")
    dataset = Folder(str(tmp_path / "root"), size=16, fit=fit)
    for split in SPLITS:
        indices = range(dataset.splits()[split])[::-1]
        for facts, sample in zip(dataset.inspect(split, indices), dataset.read(split, indices), strict=True):
            assert (facts.id, facts.size, facts.fault) == (sample.id, (16, 16), None)
            assert (facts.labelled, facts.captioned) == (sample.mask is not None, sample.caption is not None)
    with pytest.raises(BenchkitError, match="there is no number 99"):
        dataset.inspect("pool", [99])


def test_an_empty_mask_is_known(tmp_path: Path) -> None:
    MAKERS["plain"](tmp_path)
    write(tmp_path / "test" / "masks" / "0.png", mark(0) * np.uint8(0))
    facts = Folder(str(tmp_path), size=16, order="name").inspect("test", [0, 1])
    assert [one.positive for one in facts] == [False, None]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty mask": ("test/masks/0.png", lambda f: f.write_bytes(b""), r"an empty file \(0 bytes\): replace the file"),
    "cut mask": ("test/masks/0.png", cut, "cannot be decoded"),
    "another size": ("test/masks/0.png", lambda f: write(f, mark(0)[:9]), "a mask of 32x9 for an image of 32x20: they"),
    "no mask": ("test/masks/0.png", lambda f: write(f, np.full((20, 32), 7, np.uint8)), "a mask with the values 7: "),
    "empty image": ("test/0.png", lambda f: f.write_bytes(b""), r"an empty file \(0 bytes\): replace the file"),
    "cut image": ("test/0.png", cut, "cannot be decoded"),
    "no image": ("test/0.png", lambda f: f.write_bytes(b"GIF89a"), "not a readable PNG, JPEG, WebP, TIFF, BMP or PPM"),
    "caption": ("test/0.txt", lambda f: f.write_bytes(b"\xff"), "not UTF-8 text: save it as UTF-8"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_known_before_the_image_is_read(name: str, tmp_path: Path) -> None:
    file, damage, reason = FAULTS[name]
    MAKERS["plain"](tmp_path)
    damage(tmp_path / file)
    dataset = Folder(str(tmp_path), size=16, order="name")
    first, second = dataset.inspect("test", [0, 1])
    assert second.fault is None
    with pytest.raises(BenchkitError, match=rf"{file}: {reason}") as found:
        dataset.read("test", [0])
    assert first.fault is not None and first.fault in str(found.value)


def test_files_that_may_not_be_opened_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MAKERS["plain"](tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    (facts,) = Folder(str(tmp_path), size=16, order="name").inspect("test", [0])
    assert facts.fault == f"{tmp_path}/test/0.png: permission denied: make the file readable"


def test_all_faults_of_one_image_are_said_at_once(tmp_path: Path) -> None:
    MAKERS["plain"](tmp_path)
    (tmp_path / "test" / "masks" / "0.png").write_bytes(b"")
    (tmp_path / "test" / "0.txt").write_bytes(b"\xff")
    (facts,) = Folder(str(tmp_path), size=16, order="name").inspect("test", [0])
    assert facts.fault is not None and "masks/0.png: an empty file" in facts.fault and "; " in facts.fault
    assert facts.fault.endswith("0.txt: not UTF-8 text: save it as UTF-8")


@pytest.mark.parametrize("pixels", [0, (DECODED + 2) * 640])
def test_only_some_masks_are_decoded_and_no_image(pixels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "DECODED_PIXELS", pixels)
    for number in range(DECODED + 5):
        write(tmp_path / "pool" / f"{number:02d}.png", photo("pool", number))
        write(tmp_path / "pool" / f"{number:02d}.mask.png", mark(0))
    decoded: list[str] = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(str(self.filename)) or load(self))
    facts = Folder(str(tmp_path), size=16).inspect("pool", range(DECODED + 5))
    assert not any(one.fault for one in facts) and len(set(decoded)) == DECODED + (2 if pixels else 0)
    assert all(name.endswith(".mask.png") for name in decoded)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("table", [False, True], ids=["files", "table"])
def test_a_mask_lies_on_its_turned_photograph_where_sizes_say(orientation: int, table: bool, tmp_path: Path) -> None:
    """Where they do not tell whether it was drawn on the upright photograph or on the stored one, the user must."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(photo("pool", 0)).save(buffer, "PNG", exif=exif)
    upright_shape = decode_image(buffer.getvalue(), "a").shape[:2]
    on_upright = np.zeros(upright_shape, bool)
    on_upright[2:9, 3:6] = True
    on_stored = mark(0)
    sizes_tell = upright_shape != (20, 32)
    for turned, drawn, wanted in (
        ("upright", on_upright, on_upright),
        ("stored", on_stored, orient_mask(on_stored, orientation)),
    ):
        root = tmp_path / turned
        root.mkdir()
        if table:
            row = {"image": [{"bytes": buffer.getvalue(), "path": None}], "mask": [{"bytes": png(drawn), "path": None}]}
            parquet.write_table(pa.table(row), root / "pool.parquet")
        else:
            write(root / "pool" / "0.mask.png", drawn)
            (root / "pool" / "0.png").write_bytes(buffer.getvalue())
        for choice in ("auto", turned):
            dataset = Folder(str(root), size=32, fit="pad", turned=choice)
            (facts,) = dataset.inspect("pool", [0])
            if choice == "auto" and not sizes_tell:
                assert facts.fault is not None and "set turned=upright or turned=stored, or save" in facts.fault
                with pytest.raises(
                    BenchkitError, match="EXIF turns the image, and the sizes do not show whether the mask"
                ):
                    dataset.read("pool", [0])
                continue
            assert facts.fault is None
            assert np.array_equal(dataset.read("pool", [0])[0].mask, Framing(32, "pad").mask(wanted))
    with pytest.raises(
        BenchkitError, match="a mask of 32x20 for an image of 20x32" if sizes_tell else "sizes do not show"
    ):
        Folder(str(tmp_path / "stored"), size=32, turned="upright" if sizes_tell else "auto").read("pool", [0])


def test_an_image_of_32_bits_is_known_before_it_is_read(tmp_path: Path) -> None:
    MAKERS["plain"](tmp_path)
    (tmp_path / "test/0.png").unlink()
    Image.fromarray(np.ones((20, 32), np.float32)).save(tmp_path / "test/0.tif")
    dataset = Folder(str(tmp_path), size=16, order="name")
    fault = dataset.inspect("test", [0])[0].fault
    assert fault is not None and fault.startswith(f"{tmp_path}/test/0.tif: 32-bit values have no known range: save")
    with pytest.raises(BenchkitError, match="32-bit values"):
        dataset.read("test", [0])


def test_tiles_name_all_files_whose_size_cannot_be_read(tmp_path: Path) -> None:
    MAKERS["plain"](tmp_path)
    for number in range(2):
        (tmp_path / f"test/{number}.png").write_bytes(b"")
    with pytest.raises(BenchkitError, match=r"test/0\.png: an empty file .*; .*test/1\.png: an empty file"):
        Folder(str(tmp_path), size=16, fit="tile").splits()
