"""COCO JSON: images, and what is marked on them as polygons or runs of pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.datasets.folder.records import FileListing, Record, Stamped, folders_in, stamped, text_of
from benchkit.datasets.folder.regions import drawn
from benchkit.errors import BenchkitError

ANNOTATIONS = "annotations"
BESIDE = "_annotations.coco.json"
INSTANCES, CAPTIONS = "instances_", "captions_"


@dataclass(frozen=True)
class CocoMarks:
    """The annotations of one image: (category, segmentation, their place in the file) each."""

    annotations: tuple[tuple[str, Any, str], ...]

    def draw(self, shape: tuple[int, int], where: str) -> dict[str, NDArray[np.bool_]]:
        found: dict[str, NDArray[np.bool_]] = {}
        for category, segmentation, place in self.annotations:
            mask = drawn(segmentation, shape, f"{place} ({where})")
            found[category] = found[category] | mask if category in found else mask
        return found


def coco_files(root: Path, *, named: bool = True) -> dict[str, list[Path]]:
    """Split -> its JSON files: annotations/instances_SPLIT.json, annotations/SPLIT.json, SPLIT/_annotations.coco.json,
    and instances_SPLIT.json in `root` (any .json there unless only `named` ones count). captions_SPLIT.json joins its
    split.

    Where there are files instances_*, those of other tasks beside them (keypoints, panoptic) are passed over.
    """
    beside = [folder / BESIDE for folder in folders_in(root) if (folder / BESIDE).is_file()]
    found = sorted((root / ANNOTATIONS).glob("*.json")) + beside
    found += sorted(root.glob(f"{INSTANCES}*.json" if named else "*.json"))
    if any(file.name.startswith(INSTANCES) for file in found):
        found = [file for file in found if file.name.startswith((INSTANCES, CAPTIONS)) or file.name == BESIDE]
    splits: dict[str, list[Path]] = {}
    for file in found:
        stem = file.stem.removeprefix(INSTANCES).removeprefix(CAPTIONS)
        splits.setdefault(file.parent.name if file.name == BESIDE else stem, []).append(file)
    return splits


def list_coco(root: Path) -> FileListing:
    """The images of every JSON file, which must say where they lie relative to SPLIT/, images/SPLIT/, images/, `root`
    or the JSON file itself; categories become kinds, and an image without annotations has nothing marked on it.

    Raises BenchkitError for a damaged file, an id or a file name given twice, an annotation of no image or category,
    and a file name that leads out of `root`.
    """
    # Any name will do in the root only where that is all: an export of benchkit has its provenance.json there.
    splits = coco_files(root) or coco_files(root, named=False)
    if not splits:
        raise BenchkitError(f"{root}: holds no {ANNOTATIONS}/SPLIT.json or SPLIT/{BESIDE}: choose another layout")
    records = {}
    for split, files in splits.items():
        instances = [file for file in files if not file.name.startswith(CAPTIONS)]
        if len(instances) > 1:
            raise BenchkitError(f"{instances[1]}: split '{split}' is '{instances[0]}' already: keep one of the two")
        parsed = [_Coco.read(stamped(file)) for file in files]
        records[split] = tuple(_records(root, split, parsed))
    return FileListing(
        {split: found for split, found in records.items() if found},
        tuple(file for files in splits.values() for file in files),
    )


@dataclass(frozen=True)
class _Coco:
    """One JSON file, checked. images: id -> file name. annotations: id of the image -> marks; None without the key."""

    path: Path
    images: Mapping[int | str, str]
    annotations: Mapping[int | str, tuple[tuple[str, Any, str], ...]] | None
    captions: Mapping[int | str, str]

    @staticmethod
    @lru_cache(maxsize=16)
    def read(file: Stamped) -> _Coco:
        """Kept while the file stands as it was: it can hold hundreds of megabytes."""
        path = file.path
        try:
            data = json.loads(text_of(path))
        except (ValueError, RecursionError):
            raise BenchkitError(f"{path}: not JSON: write it again") from None
        if not isinstance(data, dict) or not isinstance(data.get("images"), list):
            raise BenchkitError(f"{path}: no COCO file, which has a list 'images'")
        images: dict[int | str, str] = {}
        texts: dict[int | str, str] = {}
        for place, entry in _entries(data, "images", path, ("id", "file_name")):
            if entry["id"] in images:
                raise BenchkitError(f"{place}: id {entry['id']} is another image's already")
            images[entry["id"]] = _safe(entry["file_name"], place)
            if isinstance(entry.get("caption"), str):
                texts[entry["id"]] = entry["caption"].strip()
        marks, captions = _annotations(data, images, path)
        return _Coco(path, images, marks, {**captions, **texts})


def _annotations(
    data: dict[str, Any], images: Mapping[int | str, str], path: Path
) -> tuple[dict[int | str, tuple[tuple[str, Any, str], ...]] | None, dict[int | str, str]]:
    """Marks and captions by image; no marks at all in a file that has only captions, or nothing."""
    categories = {entry["id"]: str(entry["name"]) for _, entry in _entries(data, "categories", path, ("id", "name"))}
    marks: dict[int | str, list[tuple[str, Any, str]]] = {image: [] for image in images}
    captions: dict[int | str, str] = {}
    marking = "annotations" in data and (not data["annotations"] or bool(categories))
    for place, entry in _entries(data, "annotations", path, ("image_id",)):
        image = entry["image_id"]
        if image not in images:
            raise BenchkitError(f"{place}: there is no image of id {image}")
        if isinstance(entry.get("caption"), str) and "segmentation" not in entry:
            captions.setdefault(image, entry["caption"].strip())
            continue
        marking = True
        category = entry.get("category_id")
        if not isinstance(category, int | str) or category not in categories:
            raise BenchkitError(f"{place}: there is no category of id {category}")
        marks[image].append((categories[category], entry.get("segmentation"), place))
    return {image: tuple(found) for image, found in marks.items()} if marking else None, captions


def _entries(
    data: dict[str, Any], key: str, path: Path, needed: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every entry of a list with its place in the file for messages; ids must be numbers or texts."""
    entries = data.get(key) or []
    if not isinstance(entries, list):
        raise BenchkitError(f"{path}: '{key}' is not a list")
    for number, entry in enumerate(entries):
        place = f"{path}: {key}[{number}]"
        if not isinstance(entry, dict) or not all(isinstance(entry.get(name), int | str) for name in needed):
            raise BenchkitError(f"{place} lacks {' or '.join(needed)}, a number or a text")
        yield place, entry


def _safe(name: Any, place: str) -> str:
    """A relative path that stays below its folder, on any system."""
    path = PurePosixPath(str(name))
    if path.is_absolute() or ".." in path.parts or "\\" in str(name) or ":" in str(name) or not path.name:
        raise BenchkitError(f"{place}: file_name '{name}' leads out of the folder: only paths below it are read")
    return str(path)


def _records(root: Path, split: str, parsed: list[_Coco]) -> Iterator[Record]:
    """The images of a split, sorted by file name; captions come from whichever of its files has them."""
    main = next((one for one in parsed if not one.path.name.startswith(CAPTIONS)), parsed[0])
    captions = {one.images[image]: text for one in parsed for image, text in one.captions.items()}
    names = sorted((name, image) for image, name in main.images.items())
    base = _base(root, split, main.path.parent, [name for name, _ in names])
    taken: dict[str, str] = {}
    for file_name, image in names:
        name = file_name.rpartition(".")[0] or file_name
        if name in taken:
            raise BenchkitError(f"{main.path}: '{taken[name]}' and '{file_name}' have the same name: keep one of them")
        taken[name] = file_name
        marks = None if main.annotations is None else CocoMarks(main.annotations[image])
        yield Record(name, base / file_name, marks, captions.get(file_name) or None)


def _base(root: Path, split: str, beside: Path, names: list[str]) -> Path:
    places = [root / split, root / "images" / split, root / "images", root, beside]
    found = (place for place in places if names and (place / names[0]).is_file())
    return next(found, places[0])
