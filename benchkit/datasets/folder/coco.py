"""COCO JSON: images, and what is marked on them as polygons or runs of pixels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from benchkit.datasets.folder.coco_marks import CocoMarks, Mark
from benchkit.datasets.folder.records import FileListing, Record, Stamped, folders_in, stamped, text_of
from benchkit.datasets.folder.settings import CocoRule
from benchkit.datasets.headers import Turned
from benchkit.errors import BenchkitError

ANNOTATIONS = "annotations"
BESIDE = "_annotations.coco.json"
INSTANCES, CAPTIONS = "instances_", "captions_"


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


def list_coco(root: Path, rule: CocoRule, turned: Turned) -> FileListing:
    """The images of every JSON file, which must say where they lie relative to SPLIT/, images/SPLIT/, images/, `root`
    or the JSON file itself; categories become kinds, and an image without annotations has nothing marked on it.

    Raises BenchkitError for a damaged file, an id or a file name given twice, an annotation of no image or category,
    a category of the rule that no file has, and a file name that leads out of `root`.
    """
    # Any name will do in the root only where that is all: an export of benchkit has its provenance.json there.
    splits = coco_files(root) or coco_files(root, named=False)
    if not splits:
        raise BenchkitError(f"{root}: holds no {ANNOTATIONS}/SPLIT.json or SPLIT/{BESIDE}: choose another layout")
    parsed = {}
    for split, files in splits.items():
        instances = [file for file in files if not file.name.startswith(CAPTIONS)]
        if len(instances) > 1:
            raise BenchkitError(f"{instances[1]}: split '{split}' is '{instances[0]}' already: keep one of the two")
        parsed[split] = [_Coco.read(stamped(file)) for file in files]
    wanted = _wanted(rule.categories, [name for found in parsed.values() for one in found for name in one.categories])
    records = {split: tuple(_records(root, split, found, rule, turned, wanted)) for split, found in parsed.items()}
    marks = [mark for found in parsed.values() for one in found for mark in one.marks()]
    counts = Counter(mark.category for mark in marks)
    return FileListing(
        {split: found for split, found in records.items() if found},
        tuple(file for files in splits.values() for file in files),
        categories={name: counts[name] for name in sorted(wanted)},
        remarks=tuple(_remarks(marks, wanted, rule)),
    )


def _remarks(marks: Sequence[Mark], wanted: frozenset[str], rule: CocoRule) -> Iterator[str]:
    """Which categories count and which do not, and how many annotations are crowds or boxes."""
    counts = Counter(mark.category for mark in marks)
    for what, names in (("counted", sorted(wanted)), ("not counted", sorted({*counts}.difference(wanted)))):
        if names:
            yield f"annotations {what}, by category: {', '.join(f'{name} {counts[name]}' for name in names)}"
    counted = [mark for mark in marks if mark.category in wanted]
    if crowds := sum(mark.crowd for mark in counted):
        yield f"annotations of crowds, whose pixels count in nothing: {crowds}"
    if boxes := sum(rule.boxes and not mark.segmentation for mark in counted):
        yield f"annotations without a region, which mark their box: {boxes}"


def _wanted(categories: str | None, known: Sequence[str]) -> frozenset[str]:
    """The names that `categories` joins by `+`, all that are known where it is None.

    A name may hold a `+` itself: the longest known one counts. Raises BenchkitError for names that no file has.
    """
    if categories is None:
        return frozenset(known)
    pieces = categories.split("+")
    found: set[str] = set()
    unknown: list[str] = []
    while pieces:
        lengths = [n for n in range(len(pieces), 0, -1) if "+".join(pieces[:n]).strip() in known]
        length = lengths[0] if lengths else 1
        name = "+".join(pieces[:length]).strip()
        if lengths:
            found.add(name)
        else:
            unknown.append(name)
        pieces = pieces[length:]
    if unknown:
        missing = ", ".join(f"'{name}'" for name in unknown)
        there = ", ".join(sorted(set(known))) or "none"
        raise BenchkitError(f"categories={categories}: there is no category {missing}: there are {there}")
    return frozenset(found)


@dataclass(frozen=True)
class _Coco:
    """One JSON file, checked.

    images: id -> file name. sizes: id -> (height, width), of those that state it. annotations: id of the image ->
    marks; None without the key. categories: all their names.
    """

    path: Path
    images: Mapping[int | str, str]
    sizes: Mapping[int | str, tuple[int, int]]
    annotations: Mapping[int | str, tuple[Mark, ...]] | None
    captions: Mapping[int | str, str]
    categories: tuple[str, ...]

    def marks(self) -> Iterator[Mark]:
        """All annotations that mark something."""
        yield from (mark for marks in (self.annotations or {}).values() for mark in marks)

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
        sizes: dict[int | str, tuple[int, int]] = {}
        texts: dict[int | str, str] = {}
        for place, entry in _entries(data, "images", path, ("id", "file_name")):
            if entry["id"] in images:
                raise BenchkitError(f"{place}: id {entry['id']} is another image's already")
            images[entry["id"]] = _safe(entry["file_name"], place)
            if (size := _size(entry, place)) is not None:
                sizes[entry["id"]] = size
            if isinstance(entry.get("caption"), str):
                texts[entry["id"]] = entry["caption"].strip()
        categories = _categories(data, path)
        marks, captions = _annotations(data, images, categories, path)
        return _Coco(path, images, sizes, marks, {**captions, **texts}, tuple(categories.values()))


def _size(entry: Mapping[str, Any], place: str) -> tuple[int, int] | None:
    """(height, width) as an image's entry states them; None where it does not."""
    height, width = entry.get("height"), entry.get("width")
    if height is None or width is None:
        return None
    whole = all(isinstance(side, int) or (isinstance(side, float) and side.is_integer()) for side in (height, width))
    if not whole or min(height, width) < 1:
        raise BenchkitError(f"{place}: width {width} and height {height} are no whole numbers above 0: correct them")
    return int(height), int(width)


def _categories(data: dict[str, Any], path: Path) -> dict[int | str, str]:
    found: dict[int | str, str] = {}
    for place, entry in _entries(data, "categories", path, ("id", "name")):
        if entry["id"] in found:
            raise BenchkitError(f"{place}: id {entry['id']} is category '{found[entry['id']]}' already: keep one")
        found[entry["id"]] = str(entry["name"])
    return found


def _annotations(
    data: dict[str, Any], images: Mapping[int | str, str], categories: Mapping[int | str, str], path: Path
) -> tuple[dict[int | str, tuple[Mark, ...]] | None, dict[int | str, str]]:
    """Marks and captions by image; no marks at all in a file that has only captions, or nothing."""
    marks: dict[int | str, list[Mark]] = {image: [] for image in images}
    seen: dict[Any, str] = {}
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
        number = entry.get("id")
        if isinstance(number, int | str) and seen.setdefault(number, place) != place:
            raise BenchkitError(f"{place}: id {number} is another annotation's already: give each an id of its own")
        marks[image].append(Mark.of(entry, categories[category], place))
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


def _records(
    root: Path, split: str, parsed: Sequence[_Coco], rule: CocoRule, turned: Turned, wanted: frozenset[str]
) -> Iterator[Record]:
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
        marks = None
        if main.annotations is not None:
            counted = tuple(mark for mark in main.annotations[image] if mark.category in wanted)
            marks = CocoMarks(counted, main.sizes.get(image), rule.boxes, turned)
        yield Record(name, base / file_name, marks, captions.get(file_name) or None)


def _base(root: Path, split: str, beside: Path, names: list[str]) -> Path:
    places = [root / split, root / "images" / split, root / "images", root, beside]
    for name in names:  # most often the first decides; where it is missing, another one does
        found = next((place for place in places if (place / name).is_file()), None)
        if found is not None:
            return found
    return places[0]
