"""The layout of Hugging Face's imagefolder with masks: a table names images, masks and captions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchkit.readers.images import SUFFIXES
from benchkit.readers.masks import MASK_SUFFIXES
from benchkit.readers.walk import Walk, get_suffix, raise_faults
from benchkit_plugins.datasets.folder.captions import CAPTION_KEYS, FILE_KEY, read_table
from benchkit_plugins.datasets.folder.places import Place, find_places
from benchkit_plugins.datasets.folder.plain import list_plain
from benchkit_plugins.datasets.folder.records import ONLY, FileListing, Record
from benchkit_plugins.datasets.folder.settings import Columns

#: Names of the tables; of two in one folder the first is read.
TABLES = ("metadata.jsonl", "metadata.csv")
#: Suffix of columns that contain file names.
ENDING = "_file_name"
#: Columns that name masks, with or without the ending, unless the user names another.
MASKS = ("mask", "label", "annotation", "segmentation")


@dataclass(frozen=True)
class _Row:
    where: str
    folder: str
    values: Mapping[str, Any]

    def file(self, *keys: str) -> str | None:
        """Return the path below the root of the file in the first of some columns that has one, or None."""
        names = (self.values.get(key) for key in keys)
        name = next((name for name in names if isinstance(name, str) and name), None)
        return None if name is None else posixpath.normpath(posixpath.join(self.folder, name))

    def mask(self, columns: Columns) -> str | None:
        """Return the path of the mask, or None; without the suffix, a column must contain the name of an image."""
        if columns.mask != Columns().mask:
            return self.file(f"{columns.mask}{ENDING}", columns.mask)
        bare = (file for name in MASKS if (file := self.file(name)) and get_suffix(file) in MASK_SUFFIXES)
        return self.file(*(f"{name}{ENDING}" for name in MASKS)) or next(bare, None)


def find_mask_tables(walked: Walk, columns: Columns) -> list[str]:
    """Return the tables below a root that name masks, one per folder; raise BenchkitError for an unreadable one."""
    found: dict[str, str] = {}
    for name in reversed(TABLES):
        found |= {path.rpartition("/")[0]: path for path in walked.files if path.rpartition("/")[2] == name}
    return sorted(path for path in found.values() if any(row.mask(columns) for row in _rows(walked, path)))


def list_by_metadata(walked: Walk, columns: Columns) -> FileListing:
    """Return the images that tables name, with their masks and captions; other folders as `list_plain` reads them.

    Raises BenchkitError, which names the first faults, for missing files, files that are named twice, and images that
    no table names in the folders of named ones.
    """
    tables = find_mask_tables(walked, columns)
    listing = _Listing(walked, columns)
    for table in tables:
        for row in _rows(walked, table):
            listing.add(row)
    folders = {_folder(named) for named in listing.named}
    beside = [file for file in walked.files if _folder(file) in folders]
    listing.check_named(beside)
    raise_faults([*walked.faults, *listing.faults])
    plain = list_plain(replace(walked, files=tuple(sorted({*walked.files}.difference(beside)))))
    records = {split: tuple(found[name] for name in sorted(found)) for split, found in listing.records.items()}
    others = (*(walked.root / table for table in tables), *plain.others)
    return FileListing(dict(sorted({**plain.records, **records}.items())), others)


@dataclass
class _Listing:
    """The images of all tables while they are listed. records: split -> name -> record; named: path -> its line."""

    walked: Walk
    columns: Columns
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._there = frozenset(self.walked.files)
        self._places: Mapping[str, Place] = find_places(self.walked).by_folder

    def add(self, row: _Row) -> None:
        """Add the image, the mask and the caption of one line."""
        image, mask = row.file(FILE_KEY, f"{self.columns.image}{ENDING}"), row.mask(self.columns)
        if image is None:
            self.faults.append(f"{row.where} has no '{FILE_KEY}': name the image there")
            return
        wanted = ((image, SUFFIXES), (mask, MASK_SUFFIXES))
        if not all(self._take(file, suffixes, row.where) for file, suffixes in wanted if file is not None):
            return
        for key in row.values:
            if str(key).endswith(ENDING) and (other := row.file(str(key))) is not None:
                self.named.setdefault(other, row.where)  # neither image nor mask, such as a depth map
        caption = next((row.values[key] for key in (self.columns.caption, *CAPTION_KEYS) if row.values.get(key)), None)
        if caption is not None and not isinstance(caption, str):
            self.faults.append(f"{row.where}: the caption is not text")
            return
        split, name = self._split(image)
        root, held = self.walked.root, self.records.setdefault(split, {})
        if name in held:
            self.faults.append(f"{root / image}: '{held[name].image.name}' has the same name: keep one of the two")
        text = caption.strip() if caption else ""
        held.setdefault(name, Record(name, root / image, root / mask if mask else None, text or None))

    def _take(self, file: str, suffixes: Sequence[str], where: str) -> bool:
        """Return whether a file can be read and is named for the first time; else add a fault."""
        if file not in self._there:
            self.faults.append(f"{where} names '{file}', which does not exist: correct or remove the line")
        elif get_suffix(file) not in suffixes:
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
        return split, "/".join((*inside, last[: len(last) - len(get_suffix(last))]))

    def check_named(self, files: Sequence[str]) -> None:
        """Add a fault for each file that no line names: it may be an image or a mask."""
        for file in files:
            if file not in self.named and get_suffix(file) in (*SUFFIXES, *MASK_SUFFIXES):
                place = f"{self.walked.root / file}"
                self.faults.append(f"{place}: named in no line of {' or '.join(TABLES)}: add a line, or move the file")


def _folder(file: str) -> str:
    return file.rpartition("/")[0]


def _rows(walked: Walk, table: str) -> Iterator[_Row]:
    path = walked.root / table
    for line, values in read_table(path):
        yield _Row(f"{path}: line {line}", _folder(table), values if isinstance(values, dict) else {})
