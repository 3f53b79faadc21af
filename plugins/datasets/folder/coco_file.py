"""One COCO file, checked: its images, categories, annotations and captions; every fault of it in one error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from benchkit.api import BenchkitError
from benchkit.readers.walk import refuse
from benchkit_plugins.datasets.folder.coco_marks import Mark
from benchkit_plugins.datasets.folder.records import Stamped, text_of

Id = int | str


@dataclass(frozen=True)
class CocoFile:
    """What a file says. images: id -> file name. sizes: id -> (height, width), of those that state it.

    annotations: id of the image -> marks; None where the file marks nothing. captions: by id of the image.
    categories: all their names.
    """

    path: Path
    images: Mapping[Id, str]
    sizes: Mapping[Id, tuple[int, int]]
    annotations: Mapping[Id, tuple[Mark, ...]] | None
    captions: Mapping[Id, str]
    categories: tuple[str, ...]

    def marks(self) -> Iterator[Mark]:
        """All annotations that mark something."""
        yield from (mark for marks in (self.annotations or {}).values() for mark in marks)


@lru_cache(maxsize=16)
def read_coco(file: Stamped) -> CocoFile:
    """Read a file, kept while it stands as it was: it can hold hundreds of megabytes.

    Raises BenchkitError, naming the first few and how many more there are, for entries that cannot be used.
    """
    path = file.path
    try:
        data = json.loads(text_of(path))
    except (ValueError, RecursionError):
        raise BenchkitError(f"{path}: not JSON: write it again") from None
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise BenchkitError(f"{path}: no COCO file, which has a list 'images'")
    return _Parsing(path, data).run()


@dataclass
class _Parsing:
    """A file on its way. seen: ids of annotations -> their place; faults: one line each."""

    path: Path
    data: dict[str, Any]
    images: dict[Id, str] = field(default_factory=dict)
    sizes: dict[Id, tuple[int, int]] = field(default_factory=dict)
    texts: dict[Id, str] = field(default_factory=dict)
    categories: dict[Id, str] = field(default_factory=dict)
    marks: dict[Id, list[Mark]] = field(default_factory=dict)
    captions: dict[Id, str] = field(default_factory=dict)
    seen: dict[Id, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def run(self) -> CocoFile:
        self._each("images", ("id", "file_name"), self._image)
        self._each("categories", ("id", "name"), self._category)
        self._each("annotations", ("image_id",), self._annotation)
        refuse(self.faults)
        # A file that has only captions, or no list at all, marks nothing; an empty list says that nothing is there.
        empty = "annotations" in self.data and not self.data["annotations"]
        marking = bool(self.marks) or empty or ("annotations" in self.data and bool(self.categories))
        marks = {image: tuple(self.marks.get(image, ())) for image in self.images} if marking else None
        captions, categories = {**self.captions, **self.texts}, tuple(self.categories.values())
        return CocoFile(self.path, self.images, self.sizes, marks, captions, categories)

    def _each(self, key: str, needed: tuple[str, ...], take: Callable[[str, dict[str, Any]], None]) -> None:
        """Take every entry of a list, and keep what is wrong with it; ids must be numbers or texts."""
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
        self.images[number] = str(entry["file_name"])  # before it is checked: its annotations are no faults
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
                f"{place}: there is no image of id {_shown(image, self.images)}: correct image_id, or remove the "
                "annotation"
            )
        if isinstance(entry.get("caption"), str) and "segmentation" not in entry:
            self.captions.setdefault(image, entry["caption"].strip())
            return
        category, number = entry.get("category_id"), entry.get("id")
        if not isinstance(category, int | str) or category not in self.categories:
            raise BenchkitError(
                f"{place}: there is no category of id {_shown(category, self.categories)}: correct category_id, or "
                "list the category under 'categories'"
            )
        if isinstance(number, int | str) and self.seen.setdefault(number, place) != place:
            raise BenchkitError(f"{place}: id {number} is another annotation's already: give each an id of its own")
        self.marks.setdefault(image, []).append(Mark.of(entry, self.categories[category], place))


def _size(entry: Mapping[str, Any], place: str) -> tuple[int, int] | None:
    """(height, width) as an image's entry states them; None where it does not."""
    height, width = entry.get("height"), entry.get("width")
    if height is None or width is None:
        return None
    whole = all(isinstance(side, int) or (isinstance(side, float) and side.is_integer()) for side in (height, width))
    if not whole or min(height, width) < 1:
        raise BenchkitError(
            f"{place}: width {width!r} and height {height!r} are no whole numbers above 0: correct them"
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


def _shown(number: Any, known: Mapping[Id, str]) -> str:
    """An id as it is written; '7' and 7 are different ids, and that is said where the other one is there."""
    other = next((one for one in known if str(one) == str(number)), None)
    return repr(number) if other is None else f"{number!r} (there is one of id {other!r}: write both in one form)"
