"""The COCO layout: images, and their annotations as polygons or RLE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchkit.api import BenchkitError
from benchkit.readers.image_headers import Turned
from benchkit.readers.walk import raise_faults
from benchkit_plugins.datasets.folder.coco_annotations import Annotation, CocoAnnotations
from benchkit_plugins.datasets.folder.coco_file import CocoFile, read_coco
from benchkit_plugins.datasets.folder.records import FileListing, Record, list_subfolders, stamp
from benchkit_plugins.datasets.folder.settings import CocoRule

ANNOTATIONS = "annotations"
BESIDE = "_annotations.coco.json"
INSTANCES, CAPTIONS = "instances_", "captions_"


def find_coco_files(root: Path, *, named: bool = True) -> dict[str, list[Path]]:
    """Return the JSON files of each split.

    They are annotations/instances_SPLIT.json, annotations/SPLIT.json, SPLIT/_annotations.coco.json, and
    instances_SPLIT.json in `root` (any .json there with named=False); captions_SPLIT.json belongs to its split. If
    there are files instances_*, files of other tasks beside them (keypoints, panoptic) are skipped.
    """
    beside = [folder / BESIDE for folder in list_subfolders(root) if (folder / BESIDE).is_file()]
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
    """Return the images of all JSON files; categories become kinds, and no annotation means an empty mask.

    File names are relative to SPLIT/, images/SPLIT/, images/, `root` or the JSON file. Raises BenchkitError for a
    damaged file, a repeated id or file name, an annotation without image or category, an unknown category in the rule,
    and a file name that leads out of `root`.
    """
    # Other names in the root count only if nothing else is found: an export of benchkit has provenance.json there.
    splits = find_coco_files(root) or find_coco_files(root, named=False)
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
                parsed.setdefault(split, []).append(read_coco(stamp(file)))
            except BenchkitError as error:
                faults.append(str(error))
    raise_faults(faults)
    everything = [file for found in parsed.values() for file in found]
    wanted = _parse_categories(rule.categories, [name for file in everything for name in file.categories])
    records = {split: tuple(_records(root, split, found, rule, turned, wanted)) for split, found in parsed.items()}
    annotations = [annotation for file in everything for annotation in file.all_annotations()]
    counts = Counter(annotation.category for annotation in annotations)
    return FileListing(
        {split: found for split, found in records.items() if found},
        tuple(file for files in splits.values() for file in files),
        categories={name: counts[name] for name in sorted(wanted)},
        remarks=tuple(_remarks(annotations, wanted, rule)),
    )


def _remarks(annotations: Sequence[Annotation], wanted: frozenset[str], rule: CocoRule) -> Iterator[str]:
    """Yield which categories are counted, and how many annotations are crowds or boxes."""
    counts = Counter(annotation.category for annotation in annotations if not annotation.crowd)
    for what, names in (("counted", sorted(wanted)), ("not counted", sorted({*counts}.difference(wanted)))):
        if names:
            yield f"annotations {what}, by category: {', '.join(f'{name} {counts[name]}' for name in names)}"
    counted = [annotation for annotation in annotations if annotation.category in wanted]
    if crowds := sum(annotation.crowd for annotation in counted):
        yield f"annotations of crowds, whose pixels count in nothing: {crowds}"
    if boxes := sum(rule.boxes and not annotation.segmentation for annotation in counted):
        yield f"annotations without a region, whose box is used: {boxes}"


def _parse_categories(categories: str | None, known: Sequence[str]) -> frozenset[str]:
    """Return the names that `categories` joins by `+`; all known names for None.

    A name may contain a `+`: the longest known name is used. Raises BenchkitError for unknown names.
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
        known_names = ", ".join(sorted(set(known))) or "none"
        raise BenchkitError(f"categories={categories}: there is no category {missing}: choose from {known_names}")
    return frozenset(found)


def _records(
    root: Path, split: str, parsed: Sequence[CocoFile], rule: CocoRule, turned: Turned, wanted: frozenset[str]
) -> Iterator[Record]:
    """Yield the images of a split, sorted by file name; any of its files may have the captions."""
    main = next((one for one in parsed if not one.path.name.startswith(CAPTIONS)), parsed[0])
    captions = {one.images[image]: text for one in parsed for image, text in one.captions.items()}
    names = sorted((name, image) for image, name in main.images.items())
    base = _find_base(root, split, main.path.parent, [name for name, _ in names])
    taken: dict[str, str] = {}
    for file_name, image in names:
        name = file_name.rpartition(".")[0] or file_name
        if name in taken:
            raise BenchkitError(f"{main.path}: '{taken[name]}' and '{file_name}' have the same name: keep one of them")
        taken[name] = file_name
        annotations = None
        if main.annotations is not None:
            counted = tuple(annotation for annotation in main.annotations[image] if annotation.category in wanted)
            annotations = CocoAnnotations(counted, main.sizes.get(image), rule.boxes, turned)
        yield Record(name, base / file_name, annotations, captions.get(file_name) or None)


def _find_base(root: Path, split: str, beside: Path, names: list[str]) -> Path:
    places = [root / split, root / "images" / split, root / "images", root, beside]
    for name in names:  # usually the first one exists
        found = next((place for place in places if (place / name).is_file()), None)
        if found is not None:
            return found
    return places[0]
