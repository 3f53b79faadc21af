"""Rows of tables: which have a mask, what each costs, what is wrong with them before one is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from benchkit.api import BenchkitError
from benchkit_plugins.datasets.folder import row_groups
from benchkit_plugins.datasets.folder.dataset import Folder
from tests.plugins.datasets.folder_makers import SHAPE, mark, photo, png

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def cell(array: np.ndarray) -> dict[str, Any]:
    return {"bytes": png(array), "path": None}


def table(masks: list[Any], kind: pa.DataType = PICTURE) -> pa.Table:
    images = pa.array([cell(photo("pool", n)) for n in range(len(masks))], PICTURE)
    return pa.table({"image": images, "mask": pa.array(masks, kind)})


def rows_of(root: Path, **params: Any) -> Folder:
    return Folder(str(root), size=16, order="name", **params)


@pytest.mark.parametrize(
    ("empty", "kind"),
    [
        (None, PICTURE),
        ({"bytes": None, "path": None}, PICTURE),
        ({"bytes": b"", "path": ""}, PICTURE),
        (b"", pa.binary()),
    ],
)
@pytest.mark.parametrize("split", ["pool", "test"])
def test_only_rows_that_have_a_mask_are_labelled(empty: Any, kind: pa.DataType, split: str, tmp_path: Path) -> None:
    filled = cell(mark(0)) if kind == PICTURE else png(mark(0))
    parquet.write_table(table([filled if n % 2 else empty for n in range(8)], kind), tmp_path / f"{split}.parquet")
    dataset = rows_of(tmp_path, pool=split)
    assert [facts.labelled for facts in dataset.inspect(split, range(8))] == [n % 2 == 1 for n in range(8)]
    assert [sample.mask is not None for sample in dataset.read(split, range(8))] == [n % 2 == 1 for n in range(8)]
    for seed in range(5):
        assert set(dataset.labelled(4, seed)) == {1, 3, 5, 7}
    with pytest.raises(BenchkitError, match="8 labelled images are more than the 4 with a mask in pool of"):
        dataset.labelled(8, 0)


def test_a_column_of_lists_that_are_empty_holds_no_masks(tmp_path: Path) -> None:
    parquet.write_table(table([[]] * 4, pa.list_(pa.uint8())), tmp_path / "pool.parquet")
    dataset = rows_of(tmp_path)
    assert not any(facts.labelled for facts in dataset.inspect("pool", range(4)))
    with pytest.raises(BenchkitError, match="2 labelled images are more than the 0 with a mask"):
        dataset.labelled(2, 0)


def test_masks_in_a_table_may_have_an_ignored_value(tmp_path: Path) -> None:
    labels = np.where(mark(0), 1, 0).astype(np.uint8)
    labels[15:18, 10:20] = 255
    parquet.write_table(table([cell(labels)]), tmp_path / "pool.parquet")
    (sample,) = Folder(str(tmp_path), size=32, fit="pad", ignore=255).read("pool", [0])
    assert sample.ignored is not None and np.array_equal(sample.ignored[6:26], labels == 255)
    assert np.array_equal(sample.mask[6:26], mark(0))
    with pytest.raises(
        BenchkitError, match=r"row 0 of 'pool', column 'mask': .*set ignore=255 to exclude these pixels"
    ):
        rows_of(tmp_path).read("pool", [0])


def test_every_fault_of_a_table_is_known_before_a_row_is_read(tmp_path: Path) -> None:
    whole = png(photo("pool", 0))
    images = [cell(photo("pool", n)) for n in range(5)]
    images[1]["bytes"], images[2]["bytes"] = whole[:-200], b"no picture"
    masks = [cell(mark(0))] * 3 + [cell(mark(0)[:9]), None]
    rows = pa.table({"image": pa.array(images, PICTURE), "mask": pa.array(masks, PICTURE)})
    parquet.write_table(rows, tmp_path / "pool.parquet")
    faults = [facts.fault for facts in rows_of(tmp_path).inspect("pool", range(5))]
    assert faults[0] is None and faults[4] is None
    for n, part in (
        (1, "cannot be decoded"),
        (2, "not a readable PNG"),
        (3, "column 'mask': a mask of 32x9 for an image of 32x20"),
    ):
        assert f"row {n} of 'pool'" in faults[n] and part in faults[n]
        with pytest.raises(BenchkitError) as found:
            rows_of(tmp_path).read("pool", [n])
        assert faults[n] in str(found.value)


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of Parquet files were unpacked, one entry a batch or group."""
    seen: list[int] = []
    batches, group = parquet.ParquetFile.iter_batches, parquet.ParquetFile.read_row_group

    def noted_batches(self: Any, *given: Any, **options: Any) -> Any:
        for batch in batches(self, *given, **options):
            seen.append(batch.num_rows)
            yield batch

    def noted_group(self: Any, *given: Any, **options: Any) -> Any:
        found = group(self, *given, **options)
        seen.append(found.num_rows)
        return found

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", noted_batches)
    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", noted_group)
    return seen


@pytest.mark.parametrize("large", [0, 2**30], ids=["on disk", "in memory"])
@pytest.mark.parametrize("rows", [10, 1000])
def test_each_row_is_unpacked_once_whatever_the_size_of_its_group(
    large: int, rows: int, unpacked: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(row_groups, "LARGE", large)
    monkeypatch.setattr(row_groups, "scratch_folder", lambda: str(tmp_path))
    parquet.write_table(table([cell(mark(n % 4)) for n in range(60)]), tmp_path / "pool.parquet", row_group_size=rows)
    order = np.random.default_rng(0).permutation(60)
    for start in range(0, 60, 16):
        chunk = order[start : start + 16].tolist()
        for n, sample in zip(
            chunk, Folder(str(tmp_path), size=32, fit="pad", order="name").read("pool", chunk), strict=True
        ):
            assert np.array_equal(sample.image[6:26], photo("pool", n)) and sample.id == f"pool/{n:06d}"
            assert np.array_equal(sample.mask[6:26], mark(n % 4))
    assert sum(unpacked) == 60
    assert [file.name for file in tmp_path.iterdir()] == ["pool.parquet"], "copies have no name"


def test_without_room_for_a_copy_rows_are_read_all_the_same(
    unpacked: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from collections import namedtuple

    monkeypatch.setattr(row_groups, "LARGE", 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: namedtuple("usage", "free")(10))
    parquet.write_table(table([cell(mark(n % 4)) for n in range(40)]), tmp_path / "pool.parquet")
    for n in (33, 5):
        (sample,) = Folder(str(tmp_path), size=32, fit="pad", order="name").read("pool", [n])
        assert np.array_equal(sample.image[6:26], photo("pool", n))
    assert sum(unpacked) > 40 and SHAPE == (20, 32)


def test_a_set_of_files_of_which_some_are_missing_is_refused(tmp_path: Path) -> None:
    """As after a download that was broken off: the rows that are there are no fair part of the set."""
    for number in (0, 2):
        parquet.write_table(table([cell(mark(0))]), tmp_path / f"test-{number:05d}-of-00003.parquet")
    with pytest.raises(BenchkitError, match=r"1 of the 3 files of split 'test' are missing \(00001\): get them, or "):
        rows_of(tmp_path).splits()
    parquet.write_table(table([cell(mark(0))]), tmp_path / "test-00001-of-00003.parquet")
    assert rows_of(tmp_path).splits() == {"test": 3}


def test_columns_under_other_names_are_remarked_on(tmp_path: Path) -> None:
    """Else a set whose masks are in `segmentation` is one without masks, and nobody is told why."""
    parquet.write_table(table([cell(mark(0))]).rename_columns(["image", "segmentation"]), tmp_path / "test.parquet")
    (line,) = rows_of(tmp_path).remarks(("test",))
    assert line.startswith("no table has a column 'mask' and 'caption'; not read: segmentation, which mask_column or ")
    assert rows_of(tmp_path, mask_column="segmentation").remarks(("test",)) == []
    with pytest.raises(
        BenchkitError, match="no column 'pictures': it has image, segmentation: name one of them as image_"
    ):
        rows_of(tmp_path, image_column="pictures").inspect("test", [0])


def test_a_row_without_an_image_hides_no_other_size(tmp_path: Path) -> None:
    whole = table([cell(mark(0))] * 2)
    images = pa.array([{"bytes": None, "path": None}, cell(photo("pool", 0))], PICTURE)
    parquet.write_table(whole.set_column(0, "image", images), tmp_path / "test.parquet")
    assert list(rows_of(tmp_path).file_sizes("test")) == [SHAPE]
