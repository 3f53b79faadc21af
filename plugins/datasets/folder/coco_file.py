"""Read and check one COCO file; report all of its faults in one error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from benchkit.api import BenchkitError
from benchkit.readers.walk import raise_faults
from benchkit_plugins.datasets.folder.coco_annotations import Annotation
from benchkit_plugins.datasets.folder.records import Stamped, read_text_file

Id = int | str


@dataclass(frozen=True)
class CocoFile:
    """The content of a file.

    images: id -> file name. sizes: id -> (height, width), if the file states it. annotations: id of the image -> its
    annotations; None if the file does not annotate regions. captions: by id of the image. categories: all names.
    """

    path: Path
    images: Mapping[Id, str]
    sizes: Mapping[Id, tuple[int, int]]
    annotations: Mapping[Id, tuple[Annotation, ...]] | None
    captions: Mapping[Id, str]
    categories: tuple[str, ...]

    def all_annotations(self) -> Iterator[Annotation]:
        """Yield the annotations of all images."""
        yield from (annotation for found in (self.annotations or {}).values() for annotation in found)


@lru_cache(maxsize=16)
def read_coco(file: Stamped) -> CocoFile:
    """Read a file; the result is kept while the file does not change, because it can have hundreds of megabytes.

    Raises BenchkitError for entries that cannot be used; it names the first few and the number of others.
    """
    path = file.path
    try:
        data = json.loads(read_text_file(path))
    except (ValueError, RecursionError):
        raise BenchkitError(f"{path}: not JSON: write it again") from None
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise BenchkitError(f"{path}: no COCO file, which has a list 'images'")
    return _Parsing(path, data).run()


@dataclass
class _Parsing:
    """A file while it is parsed. seen: id of an annotation -> its place; faults: one line each."""

    path: Path
    data: dict[str, Any]
    images: dict[Id, str] = field(default_factory=dict)
    sizes: dict[Id, tuple[int, int]] = field(default_factory=dict)
    texts: dict[Id, str] = field(default_factory=dict)
    categories: dict[Id, str] = field(default_factory=dict)
    found: dict[Id, list[Annotation]] = field(default_factory=dict)
    captions: dict[Id, str] = field(default_factory=dict)
    seen: dict[Id, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def run(self) -> CocoFile:
        self._each("images", ("id", "file_name"), self._image)
        self._each("categories", ("id", "name"), self._category)
        self._each("annotations", ("image_id",), self._annotation)
        raise_faults(self.faults)
        # A file with captions only, or without the list, annotates no regions; an empty list means empty masks.
        empty = "annotations" in self.data and not self.data["annotations"]
        annotates = bool(self.found) or empty or ("annotations" in self.data and bool(self.categories))
        annotations = {image: tuple(self.found.get(image, ())) for image in self.images} if annotates else None
        captions, categories = {**self.captions, **self.texts}, tuple(self.categories.values())
        return CocoFile(self.path, self.images, self.sizes, annotations, captions, categories)

    def _each(self, key: str, needed: tuple[str, ...], take: Callable[[str, dict[str, Any]], None]) -> None:
        """Call `take` with every entry of a list, and collect faults; ids must be numbers or texts."""
        entries = self.data.get(key) or []
        if not isinstance(entries, list):
            self.faults.append(f"{self.path}: '{key}' is not a list")
            return
        for number, entry in enumerate(entries):
            place = f"{self.path}: {key}[{number}]"
            if not isinstance(entry, dict) or not all(isinstance(entry.get(name), int | str) for name in needed):
                self.faults.append(f"{place} lacks {' or '.join(needed)}, a number or a text")
                continue
            try:
                take(place, entry)
            except BenchkitError as error:
                self.faults.append(str(error))

    def _image(self, place: str, entry: dict[str, Any]) -> None:
        number = entry["id"]
        if number in self.images:
            raise BenchkitError(f"{place}: id {number!r} is another image's already: give each an id of its own")
        self.images[number] = str(entry["file_name"])  # before the check, so that its annotations are not faults, too
        _check_name(entry["file_name"], place)
        self.images[number] = str(PurePosixPath(self.images[number]))
        if (size := _size(entry, place)) is not None:
            self.sizes[number] = size
        if isinstance(entry.get("caption"), str):
            self.texts[number] = entry["caption"].strip()

    def _category(self, place: str, entry: dict[str, Any]) -> None:
        if entry["id"] in self.categories:
            other = self.categories[entry["id"]]
            raise BenchkitError(f"{place}: id {entry['id']} is category '{other}' already: keep one")
        self.categories[entry["id"]] = str(entry["name"])

    def _annotation(self, place: str, entry: dict[str, Any]) -> None:
        image = entry["image_id"]
        if image not in self.images:
            raise BenchkitError(
                f"{place}: there is no image of id {_format_id(image, self.images)}: correct image_id, or remove the "
                "annotation"
            )
        if isinstance(entry.get("caption"), str) and "segmentation" not in entry:
            self.captions.setdefault(image, entry["caption"].strip())
            return
        category, number = entry.get("category_id"), entry.get("id")
        if not isinstance(category, int | str) or category not in self.categories:
            raise BenchkitError(
                f"{place}: there is no category of id {_format_id(category, self.categories)}: correct category_id, or "
                "list the category under 'categories'"
            )
        if isinstance(number, int | str) and self.seen.setdefault(number, place) != place:
            raise BenchkitError(f"{place}: id {number} is another annotation's already: give each an id of its own")
        self.found.setdefault(image, []).append(Annotation.parse(entry, self.categories[category], place))


def _size(entry: Mapping[str, Any], place: str) -> tuple[int, int] | None:
    """Return (height, width) as an image's entry states them, or None."""
    height, width = entry.get("height"), entry.get("width")
    if height is None or width is None:
        return None
    whole = all(isinstance(side, int) or (isinstance(side, float) and side.is_integer()) for side in (height, width))
    if not whole or min(height, width) < 1:
        raise BenchkitError(
            f"{place}: width {width!r} and height {height!r} are not whole numbers above 0: correct them"
        )
    return int(height), int(width)


def _check_name(name: Any, place: str) -> None:
    """Raise BenchkitError unless it is a relative path that stays below its folder, on any system."""
    path = PurePosixPath(str(name))
    if "\\" in str(name) or ":" in str(name):
        raise BenchkitError(f"{place}: file_name '{name}' holds a backslash or a colon: write folders with '/'")
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise BenchkitError(
            f"{place}: file_name '{name}' leads out of the folder: write it relative to the folder of the images"
        )


def _format_id(number: Any, known: Mapping[Id, str]) -> str:
    """Return an id as it is written; if only the other form of it exists ('7' for 7), say so."""
    other = next((one for one in known if str(one) == str(number)), None)
    return repr(number) if other is None else f"{number!r} (there is one of id {other!r}: write both in one form)"
