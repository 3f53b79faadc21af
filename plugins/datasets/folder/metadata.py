"""Hugging Face's imagefolder with masks: a table says which file is an image, which is its mask, and its caption."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchkit.readers.pictures import SUFFIXES
from benchkit.readers.walk import Walk, refuse, suffix_of
from benchkit_plugins.datasets.folder.captions import CAPTION_KEYS, FILE_KEY, table_rows
from benchkit_plugins.datasets.folder.places import Place, places_of
from benchkit_plugins.datasets.folder.plain import list_plain
from benchkit_plugins.datasets.folder.records import ONLY, FileListing, Record
from benchkit_plugins.datasets.folder.settings import Columns

#: Names of the tables; of two in one folder the first is read.
TABLES = ("metadata.jsonl", "metadata.csv")
#: Ends the names of columns that name files.
ENDING = "_file_name"
#: Columns that name masks, with or without the ending, unless the user names another.
MASKS = ("mask", "label", "annotation", "segmentation")


@dataclass(frozen=True)
class _Row:
    where: str
    folder: str
    values: Mapping[str, Any]

    def file(self, *keys: str) -> str | None:
        """Path below the root of the file that the first of some columns names; None where they name none."""
        names = (self.values.get(key) for key in keys)
        name = next((name for name in names if isinstance(name, str) and name), None)
        return None if name is None else posixpath.normpath(posixpath.join(self.folder, name))

    def mask(self, columns: Columns) -> str | None:
        """Path below the root of the mask; without the ending, a column's text is one only if it looks like a file."""
        if columns.mask != Columns().mask:
            return self.file(f"{columns.mask}{ENDING}", columns.mask)
        bare = (file for name in MASKS if (file := self.file(name)) and suffix_of(file) in SUFFIXES)
        return self.file(*(f"{name}{ENDING}" for name in MASKS)) or next(bare, None)


def mask_tables(walked: Walk, columns: Columns) -> list[str]:
    """The tables below a root that name masks, one a folder; raises BenchkitError for one that cannot be read."""
    found: dict[str, str] = {}
    for name in reversed(TABLES):
        found |= {path.rpartition("/")[0]: path for path in walked.files if path.rpartition("/")[2] == name}
    return sorted(path for path in found.values() if any(row.mask(columns) for row in _rows(walked, path)))


def list_by_metadata(walked: Walk, columns: Columns) -> FileListing:
    """The images that tables name, with their masks and captions; folders of which no table speaks as `list_plain`.

    Raises BenchkitError, naming the first of them, for files that are not there or are named twice, and for pictures in
    the folders of a table that it does not name.
    """
    tables = mask_tables(walked, columns)
    listing = _Listing(walked, columns)
    for table in tables:
        for row in _rows(walked, table):
            listing.add(row)
    folders = {_folder(named) for named in listing.named}
    beside = [file for file in walked.files if _folder(file) in folders]
    listing.check_named(beside)
    refuse([*walked.faults, *listing.faults])
    plain = list_plain(replace(walked, files=tuple(sorted({*walked.files}.difference(beside)))))
    records = {split: tuple(found[name] for name in sorted(found)) for split, found in listing.records.items()}
    others = (*(walked.root / table for table in tables), *plain.others)
    return FileListing(dict(sorted({**plain.records, **records}.items())), others)


@dataclass
class _Listing:
    """The images of all tables on their way. records: split, name -> record; named: path -> the line that names it."""

    walked: Walk
    columns: Columns
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._there = frozenset(self.walked.files)
        self._places: Mapping[str, Place] = places_of(self.walked).by_folder

    def add(self, row: _Row) -> None:
        """Take the image, the mask and the caption of one line."""
        image, mask = row.file(FILE_KEY, f"{self.columns.image}{ENDING}"), row.mask(self.columns)
        if image is None:
            self.faults.append(f"{row.where} has no '{FILE_KEY}': name the image there")
            return
        if not all(self._take(file, row.where) for file in (image, mask) if file is not None):
            return
        for key in row.values:
            if str(key).endswith(ENDING) and (other := row.file(str(key))) is not None:
                self.named.setdefault(other, row.where)  # a depth map, say: neither image nor mask
        caption = next((row.values[key] for key in (self.columns.caption, *CAPTION_KEYS) if row.values.get(key)), None)
        if caption is not None and not isinstance(caption, str):
            self.faults.append(f"{row.where}: the caption is no text")
            return
        split, name = self._split(image)
        root, held = self.walked.root, self.records.setdefault(split, {})
        if name in held:
            self.faults.append(f"{root / image}: '{held[name].image.name}' has the same name: keep one of the two")
        text = caption.strip() if caption else ""
        held.setdefault(name, Record(name, root / image, root / mask if mask else None, text or None))

    def _take(self, file: str, where: str) -> bool:
        """Whether a file can be read and is named for the first time."""
        if file not in self._there:
            self.faults.append(f"{where} names '{file}', which is not there: correct or remove the line")
        elif suffix_of(file) not in SUFFIXES:
            self.faults.append(f"{where} names '{file}', which is not read: save it as PNG")
        elif file in self.named:
            self.faults.append(
                f"{where} names '{file}', as another line does ({self.named[file]}): keep one of the two"
            )
        else:
            self.named[file] = where
            return True
        return False

    def _split(self, image: str) -> tuple[str, str]:
        folder, _, last = image.rpartition("/")
        place = self._places.get(folder)
        parts = tuple(folder.split("/")) if folder and (place is None or place.masks) else place.parts if place else ()
        split, *inside = parts or (ONLY,)
        return split, "/".join((*inside, last[: len(last) - len(suffix_of(last))]))

    def check_named(self, files: Sequence[str]) -> None:
        """Collect the pictures among some files that no line names: whether they are images or masks, nothing tells."""
        for file in files:
            if file not in self.named and suffix_of(file) in SUFFIXES:
                place = f"{self.walked.root / file}"
                self.faults.append(f"{place}: named in no line of {' or '.join(TABLES)}: add a line, or move the file")


def _folder(file: str) -> str:
    return file.rpartition("/")[0]


def _rows(walked: Walk, table: str) -> Iterator[_Row]:
    path = walked.root / table
    for line, values in table_rows(path):
        yield _Row(f"{path}: line {line}", _folder(table), values if isinstance(values, dict) else {})
