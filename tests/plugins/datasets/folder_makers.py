"""Makes folders of every layout, of the same six images with known masks and captions."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SHAPE = (20, 32)
SPLITS = ("clean", "pool", "test")


def photo(split: str, number: int) -> np.ndarray:
    """(20, 32, 3) uint8, another for every split and number."""
    return np.random.default_rng([SPLITS.index(split), number]).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def mark(number: int) -> np.ndarray:
    """(20, 32) bool: a rectangle 6 high and 8 wide."""
    mask = np.zeros(SHAPE, bool)
    mask[3 + number : 9 + number, 10:18] = True
    return mask


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(array))


def make_plain(root: Path) -> None:
    """`pool` with masks beside its images, `test` with a folder of masks, `clean` without."""
    for split in SPLITS:
        for number in range(2):
            write(root / split / f"{number}.png", photo(split, number))
            (root / split / f"{number}.txt").write_text(f"{split} {number}\n")
    for number in range(2):
        write(root / "pool" / f"{number}.mask.png", mark(number) * np.uint8(255))
        write(root / "test" / "masks" / f"{number}.png", mark(number).astype(np.uint8))


def make_mmseg(root: Path) -> None:
    for split in SPLITS:
        for number in range(2):
            write(root / "img_dir" / split / f"{number}.png", photo(split, number))
            if split != "clean":
                write(root / "ann_dir" / split / f"{number}.png", mark(number).astype(np.uint8))
        lines = [json.dumps({"file_name": f"{n}.png", "text": f"{split} {n}"}) for n in range(2)]
        (root / "img_dir" / split / "captions.jsonl").write_text("\n".join(lines))


def coco(split: str) -> dict[str, Any]:
    """The first image marked by a polygon, the second by an RLE written down by hand."""
    images = [{"id": 7 + n, "file_name": f"{n}.png", "width": SHAPE[1], "height": SHAPE[0]} for n in range(2)]
    polygon = [[10, 3, 18, 3, 18, 9, 10, 9]]
    # Down the columns: ten of 20 pixels and 4 more, then 6 marked and 14 not, eight times.
    runs = [10 * 20 + 4, *([6, 14] * 7), 6, 20 * 32 - (17 * 20 + 10)]
    rle = {"size": list(SHAPE), "counts": runs}
    marks = [{"image_id": 7, "segmentation": polygon}, {"image_id": 8, "segmentation": rle}]
    found: dict[str, Any] = {"images": images}
    if split != "clean":
        found["annotations"] = [{**one, "id": n, "category_id": 1} for n, one in enumerate(marks)]
        found["categories"] = [{"id": 1, "name": "hand-melted"}]
    return found


def make_coco(root: Path) -> None:
    (root / "annotations").mkdir(parents=True)
    for split in SPLITS:
        for number in range(2):
            write(root / "images" / split / f"{number}.png", photo(split, number))
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(coco(split)))
        texts = [{"id": n, "image_id": 7 + n, "caption": f"{split} {n}"} for n in range(2)]
        captions = {"images": coco(split)["images"], "annotations": texts}
        (root / "annotations" / f"captions_{split}.json").write_text(json.dumps(captions))


def table(split: str, numbers: range = range(2)) -> Any:
    """Rows as the `datasets` library keeps images: struct<bytes, path>."""
    import pyarrow as pa

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "image": pa.array([{"bytes": png(photo(split, n)), "path": f"{n}.png"} for n in numbers], picture),
        "caption": pa.array([f"{split} {n}" for n in numbers]),
    }
    if split != "clean":
        columns["mask"] = pa.array([{"bytes": png(mark(n)), "path": None} for n in numbers], picture)
    return pa.table(columns)


def make_parquet(root: Path) -> None:
    """One shard of two row groups, and one split in two shards."""
    from pyarrow import parquet

    (root / "data").mkdir(parents=True)
    for split in ("clean", "pool"):
        parquet.write_table(table(split), root / "data" / f"{split}-00000-of-00001.parquet", row_group_size=1)
    for number in range(2):
        rows = table("test", range(number, number + 1))
        parquet.write_table(rows, root / "data" / f"test-0000{number}-of-00002.parquet")


def make_saved(root: Path) -> None:
    """As `DatasetDict.save_to_disk` writes: Arrow streams, a state beside each, the splits' names above."""
    import pyarrow as pa

    root.mkdir(parents=True)
    (root / "dataset_dict.json").write_text(json.dumps({"splits": list(SPLITS)}))
    for split in SPLITS:
        (root / split).mkdir()
        with pa.ipc.new_stream(root / split / "data-00000-of-00001.arrow", table(split).schema) as stream:
            stream.write_table(table(split), max_chunksize=1)
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split}
        (root / split / "state.json").write_text(json.dumps(state))
        (root / split / "dataset_info.json").write_text("{}")


MAKERS: dict[str, Callable[[Path], None]] = {
    "plain": make_plain,
    "mmseg": make_mmseg,
    "coco": make_coco,
    "parquet": make_parquet,
    "saved": make_saved,
}
