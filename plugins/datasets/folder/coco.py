"""COCO JSON: images, and what is marked on them as polygons or runs of pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchkit.api import BenchkitError
from benchkit.readers.headers import Turned
from benchkit.readers.walk import refuse
from benchkit_plugins.datasets.folder.coco_file import CocoFile, read_coco
from benchkit_plugins.datasets.folder.coco_marks import CocoMarks, Mark
from benchkit_plugins.datasets.folder.records import FileListing, Record, folders_in, stamped
from benchkit_plugins.datasets.folder.settings import CocoRule

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
    parsed: dict[str, list[CocoFile]] = {}
    faults: list[str] = []
    for split, files in splits.items():
        instances = [file for file in files if not file.name.startswith(CAPTIONS)]
        if len(instances) > 1:
            raise BenchkitError(f"{instances[1]}: split '{split}' is '{instances[0]}' already: keep one of the two")
        for file in files:
            try:
                parsed.setdefault(split, []).append(read_coco(stamped(file)))
            except BenchkitError as error:
                faults.append(str(error))
    refuse(faults)
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
    """Which categories count and which do not, and how many annotations are crowds (of no category) or boxes."""
    counts = Counter(mark.category for mark in marks if not mark.crowd)
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


def _records(
    root: Path, split: str, parsed: Sequence[CocoFile], rule: CocoRule, turned: Turned, wanted: frozenset[str]
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
