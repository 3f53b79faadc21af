"""The layout of Hugging Face datasets: Parquet shards, or the Arrow files of `save_to_disk`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchkit.api import BenchkitError
from benchkit.readers.image_headers import read_checked_image_header, read_header, read_shape
from benchkit.readers.images import decode_image
from benchkit.readers.masks import MaskRule
from benchkit.readers.walk import raise_faults
from benchkit_plugins.datasets.folder.records import (
    ONLY,
    Facts,
    Loaded,
    Sampling,
    Stamped,
    check_mask,
    read_mask,
    read_text_file,
    stamp,
)
from benchkit_plugins.datasets.folder.row_groups import group_sizes, read_columns, read_rows
from benchkit_plugins.datasets.folder.settings import Columns, Settings

DICT, INFO, STATE = "dataset_dict.json", "dataset_info.json", "state.json"
#: Contents of a cell without an image.
EMPTY: tuple[Any, ...] = (None, b"", "", [], {})
_SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d{5})(-of-(?P<count>\d{5}))?(-[0-9a-f]+)?")


@dataclass(frozen=True)
class TableListing:
    """Splits of rows in files, in the order of the files. The name of a row is its number."""

    parts: Mapping[str, tuple[Path, ...]]
    columns: Columns
    masks: MaskRule
    others: tuple[Path, ...] = ()
    categories: Mapping[str, int] = field(default_factory=dict)

    @property
    def remarks(self) -> Sequence[str]:
        """Columns that may contain masks or captions, if no split has a column of the usual name."""
        held = [name for parts in self.parts.values() for name in read_columns(stamp(parts[0]))]
        absent = [role for role in ("mask", "caption") if getattr(self.columns, role) not in held]
        unread = dict.fromkeys(name for name in held if name not in vars(self.columns).values())
        if not absent or not unread:
            return ()
        missing = " and ".join(f"'{getattr(self.columns, role)}'" for role in absent)
        settings = " or ".join(f"{role}_column" for role in absent)
        return (f"no table has a column {missing}; not read: {', '.join(unread)}, which {settings} can name",)

    def counts(self) -> Mapping[str, int]:
        sizes = {split: sum(sum(group_sizes(stamp(part))) for part in parts) for split, parts in self.parts.items()}
        return {split: size for split, size in sizes.items() if size}

    def names(self, split: str) -> Sequence[str]:
        return _format_row_names(self.counts()[split])

    def load(self, split: str, indices: Sequence[int]) -> list[Loaded]:
        loaded = {index: self._loaded(split, index, row) for index, row in self._rows(split, indices)}
        return [loaded[index] for index in indices]

    def facts(self, split: str, indices: Sequence[int]) -> list[Facts]:
        sample = Sampling()
        facts = {index: self._facts(split, index, row, sample) for index, row in self._rows(split, indices)}
        return [facts[index] for index in indices]

    def shapes(self, split: str) -> Sequence[tuple[int, int]]:
        self._existing_columns(split)
        found = [shape for part in self.parts[split] for shape in _read_shapes(stamp(part), self.columns.image)]
        raise_faults([shape for shape in found if isinstance(shape, str)])
        return [shape for shape in found if not isinstance(shape, str)]

    def known_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        found = [shape for part in self.parts[split] for shape in _read_shapes(stamp(part), self.columns.image)]
        return [shape for shape in found if not isinstance(shape, str)]

    def annotated(self, split: str) -> Sequence[int]:
        if self.columns.mask not in self._existing_columns(split):
            return ()
        filled = [value for part in self.parts[split] for value in _find_filled(stamp(part), self.columns.mask)]
        return [index for index, value in enumerate(filled) if value]

    def files(self) -> Sequence[Path]:
        return [*self.others, *(part for parts in self.parts.values() for part in parts)]

    def _existing_columns(self, split: str) -> list[str]:
        """Return the wanted columns that a split's files have; all files must have the same columns."""
        first, *rest = (read_columns(stamp(part)) for part in self.parts[split])
        where, wanted, usual = self.parts[split][0], self.columns, Columns()
        if any(names != first for names in rest):
            raise BenchkitError(f"{where}: the files of split '{split}' have different columns: write them again")
        for role, default in (("image", ""), ("mask", usual.mask), ("caption", usual.caption)):
            column = getattr(wanted, role)
            if column not in first and column != default:
                raise BenchkitError(
                    f"{where}: there is no column '{column}': it has {', '.join(first)}: name one of them as "
                    f"{role}_column"
                )
        return [column for column in (wanted.image, wanted.mask, wanted.caption) if column in first]

    def _rows(self, split: str, indices: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the wanted rows with their indices, file by file."""
        columns, start = self._existing_columns(split), 0
        for part in self.parts[split]:
            count = sum(group_sizes(stamp(part)))
            inside = sorted({index - start for index in indices if start <= index < start + count})
            yield from ((start + row, values) for row, values in read_rows(stamp(part), columns, inside))
            start += count

    def _loaded(self, split: str, index: int, row: dict[str, Any]) -> Loaded:
        where, at = self._places(split, index)
        content = self._image(row, where)
        image, label = decode_image(content, where), read_cell(row.get(self.columns.mask), at)
        mask, ignored = None, None
        if label is not None:
            mask, ignored = read_mask(label, at, read_header(content, where), self.masks)
        return Loaded(_name(index), image, mask, self._caption(row, where), ignored=ignored)

    def _facts(self, split: str, index: int, row: dict[str, Any], sample: Sampling) -> Facts:
        where, at = self._places(split, index)
        fault, caption, positive, labelled = None, None, None, row.get(self.columns.mask) is not None
        try:
            header = read_checked_image_header(self._image(row, where), where)
            mask = read_cell(row.get(self.columns.mask), at)
            labelled = mask is not None
            if mask is not None:
                positive = check_mask(mask, at, header, self.masks, sample)
            caption = self._caption(row, where)
        except BenchkitError as error:
            fault = str(error)
        return Facts(_name(index), labelled, caption is not None, fault, positive)

    def _places(self, split: str, index: int) -> tuple[str, str]:
        """Return the names of a row and of its mask in messages."""
        where = f"{self.parts[split][0].parent}: row {index} of '{split}'"
        return where, f"{where}, column '{self.columns.mask}'"

    def _image(self, row: Mapping[str, Any], where: str) -> bytes:
        content = read_cell(row[self.columns.image], f"{where}, column '{self.columns.image}'")
        if content is None:
            raise BenchkitError(f"{where} has no image: remove the row")
        return content

    def _caption(self, row: Mapping[str, Any], where: str) -> str | None:
        caption = row.get(self.columns.caption)
        if caption is not None and not isinstance(caption, str):
            raise BenchkitError(
                f"{where}: column '{self.columns.caption}' does not contain text: name another one as caption_column"
            )
        return caption or None


@lru_cache(maxsize=64)
def _format_row_names(count: int) -> tuple[str, ...]:
    """Return the names of rows; cached, because there may be a million, and every chunk of a run needs them."""
    return tuple(map(_name, range(count)))


def _name(row: int) -> str:
    return f"{row:06d}"


def is_table_folder(root: Path) -> bool:
    """Return whether `root` contains Parquet files, or was written by `save_to_disk`."""
    if any((root / name).is_file() for name in (DICT, STATE)):
        return True
    return (
        next((p for pattern in ("*.parquet", "*/*.parquet", "*/*/*.parquet") for p in root.glob(pattern)), None)
        is not None
    )


def list_tables(root: Path, settings: Settings) -> TableListing:
    """Return the splits of a `save_to_disk` folder, or else of the Parquet files in `root` and two levels below.

    The split of a Parquet file is given by its name (SPLIT-00000-of-00001.parquet), or else by its folder (other than
    `data`), or else it is the file's own name. Raises BenchkitError if there are no files, if one split lies in several
    folders, and for unreadable files.
    """
    columns, masks = settings.columns, settings.masks
    if (root / DICT).is_file():
        names = _read_json(root / DICT).get("splits")
        if not isinstance(names, list) or not all(map(_is_name, names)):
            raise BenchkitError(f"{root / DICT}: 'splits' is not a list of folder names: save the dataset again")
        saved = {name: _list_arrow_files(root / name) for name in names}
        others = [root / DICT, *(root / name / STATE for name in names)]
        return TableListing(saved, columns, masks, tuple(others))
    if (root / STATE).is_file():
        split = _read_json(root / STATE).get("_split")
        return TableListing(
            {split if isinstance(split, str) else ONLY: _list_arrow_files(root)}, columns, masks, (root / STATE,)
        )
    parts: dict[str, list[Path]] = {}
    for pattern in ("*.parquet", "*/*.parquet", "*/*/*.parquet"):
        for file in sorted(root.glob(pattern)):
            parts.setdefault(_parse_split(file, root), []).append(file)
    for split, files in parts.items():
        if len({file.parent for file in files}) > 1:
            raise BenchkitError(f"{files[-1]}: split '{split}' is in {files[0].parent} too: name one folder as root")
    raise_faults([fault for files in parts.values() for fault in _find_missing_shards(files)])
    if not parts:
        raise BenchkitError(f"{root}: has no Parquet files, and no dataset of save_to_disk: name another root")
    return TableListing({split: tuple(files) for split, files in sorted(parts.items())}, columns, masks)


def _find_missing_shards(files: Sequence[Path]) -> Iterator[str]:
    """Yield a fault if the names of a split's files show that others are missing, as after a broken download."""
    shards = [shard for file in files if (shard := _SHARD.fullmatch(file.stem)) and shard["count"]]
    for count in sorted({shard["count"] for shard in shards}):
        numbers = {int(shard["number"]) for shard in shards if shard["count"] == count}
        missing = [number for number in range(int(count)) if number not in numbers]
        if missing:
            shown = ", ".join(f"{number:05d}" for number in missing[:3]) + ", …" * (len(missing) > 3)
            yield (
                f"{files[0].parent}: {len(missing)} of the {int(count)} files of split '{shards[0]['split']}' are "
                f"missing ({shown}): get them, or rename the others"
            )


def _parse_split(file: Path, root: Path) -> str:
    shard = _SHARD.fullmatch(file.stem)
    if shard:
        return shard["split"]
    return file.stem if file.parent == root or file.parent.name == "data" else file.parent.name


def _list_arrow_files(folder: Path) -> tuple[Path, ...]:
    """Return the Arrow files of one split, in the order of its state."""
    state = _read_json(folder / STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise BenchkitError(
            f"{folder / STATE}: the rows are reordered: call flatten_indices() and save the dataset again"
        )
    files = state.get("_data_files")
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in files or ()]
    if not names or not all(map(_is_name, names)):
        raise BenchkitError(f"{folder / STATE}: '_data_files' names no files beside it: save the dataset again")
    return tuple(folder / str(name) for name in names)


def _is_name(value: Any) -> bool:
    """Return whether a value is the name of a file directly in a folder."""
    return isinstance(value, str) and value != ".." and Path(value).name == value


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_text_file(file))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise BenchkitError(f"{file}: no JSON object: save the dataset again")
    return data


@lru_cache(maxsize=4096)
def _read_shapes(part: Stamped, column: str) -> tuple[tuple[int, int] | str, ...]:
    """Return (height, width) of each row's image, or why it cannot be read."""
    found: list[tuple[int, int] | str] = []
    for row, values in read_rows(part, [column], range(sum(group_sizes(part)))):
        where = f"{part.path}: row {row}"
        try:
            found.append(read_shape(read_cell(values[column], where) or b"", where))
        except BenchkitError as error:
            found.append(str(error))
    return tuple(found)


@lru_cache(maxsize=4096)
def _find_filled(part: Stamped, column: str) -> tuple[bool, ...]:
    """Return whether each cell of a column has content; it is checked when it is read."""
    rows = read_rows(part, [column], range(sum(group_sizes(part))))
    return tuple(_content(values[column]) not in EMPTY for _, values in rows)


def _content(value: Any) -> Any:
    return (value.get("bytes") or value.get("path")) if isinstance(value, dict) else value


def read_cell(value: Any, where: str) -> bytes | None:
    """Return the encoded image of a cell, {bytes, path} or bytes; None for a null or empty cell.

    Raises BenchkitError that begins with `where` for other content.
    """
    content = _content(value)
    if content in EMPTY:
        return None
    if isinstance(content, bytes):
        return content
    if isinstance(value, dict) and isinstance(content, str):
        raise BenchkitError(f"{where}: only a path, no image: write the dataset with its files embedded")
    raise BenchkitError(f"{where}: no encoded image: cast the column to Image, or name another")
