"""COCO's instances: one JSON file, one annotation per connected region, masks as uncompressed run lengths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchkit.outputs.exports.items import Item
from benchkit.outputs.exports.write import png

CATEGORY = {"id": 1, "name": "artifact", "supercategory": "artifact"}


class CocoFormat:
    """Images in a folder, annotations in one file."""

    reading = (
        "`images/{split}/NAME.png`, and `annotations/{split}.json` in COCO's form: an annotation for each connected "
        "region, its mask as uncompressed run lengths, down the columns; captions stand with the images; ignored "
        "pixels are a crowd (`iscrowd`)."
    )

    def write(self, items: Iterable[Item], folder: Path, split: str, facts: Mapping[str, Any]) -> None:
        """Write all items; see `benchkit.outputs.exports.write.Format`."""
        (folder / "images" / split).mkdir(parents=True)
        (folder / "annotations").mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, item in enumerate(items, start=1):
            file = f"{item.name}.png"
            (folder / "images" / split / file).write_bytes(png(item.image))
            height, width = item.mask.shape
            image = {"id": number, "file_name": file, "width": width, "height": height}
            images.append({**image, "caption": item.caption, "source_id": item.id})
            found = [annotation(region) for region in regions(item.mask)]
            found += [] if item.ignored is None else [{**annotation(item.ignored), "iscrowd": 1}]
            for one in found:
                place = {"id": len(annotations) + 1, "image_id": number, "category_id": CATEGORY["id"]}
                annotations.append({**place, **one})
        info = {"description": facts["title"], "version": facts["run"], "date_created": facts["begun"]}
        data = {"info": info, "images": images, "annotations": annotations, "categories": [CATEGORY], "licenses": []}
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(data, ensure_ascii=False) + "\n", "utf-8")

    def head(self, split: str) -> str:
        """Return nothing: the card has no special first lines."""
        return ""


def regions(mask: np.ndarray) -> Iterator[np.ndarray]:
    """Yield each connected region (8 neighbours) of a mask (H, W) bool as a mask."""
    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    yield from (labels == label for label in range(1, number + 1))


def annotation(region: np.ndarray) -> dict[str, Any]:
    """Return run lengths, area in pixels and bounding box (x, y, width, height) of one region (H, W) bool."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "segmentation": {"size": list(region.shape), "counts": run_lengths(region)},
        "area": int(region.sum()),
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "iscrowd": 0,
    }


def run_lengths(mask: np.ndarray) -> list[int]:
    """Return lengths of runs of zeros and ones in turn, zeros first, along the columns of a mask (H, W) bool."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths
