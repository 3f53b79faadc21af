"""Hugging Face datasets on disk: Parquet shards, or the Arrow files of `save_to_disk`, read with pyarrow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchkit.datasets.folder.records import ONLY, Loaded, Stamped, same_size, stamped, text_of
from benchkit.datasets.pictures import decode_image, decode_mask, picture_shape
from benchkit.errors import BenchkitError

DICT, INFO, STATE = "dataset_dict.json", "dataset_info.json", "state.json"
_SHARD = re.compile(r"(?P<split>.+?)-\d{5}(-of-\d{5})?(-[0-9a-f]+)?")


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; those of masks and captions may be absent if they have the default's name."""

    image: str = "image"
    mask: str = "mask"
    caption: str = "caption"


@dataclass(frozen=True)
class TableListing:
    """Splits of rows in files, in the files' order. A row is named by its number."""

    parts: Mapping[str, tuple[Path, ...]]
    columns: Columns
    others: tuple[Path, ...] = ()

    def counts(self) -> Mapping[str, int]:
        sizes = {split: sum(sum(_groups(stamped(part))) for part in parts) for split, parts in self.parts.items()}
        return {split: size for split, size in sizes.items() if size}

    def names(self, split: str) -> Sequence[str]:
        return [_name(index) for index in range(self.counts()[split])]

    def load(self, split: str, indices: Sequence[int]) -> list[Loaded]:
        return [self._loaded(split, index, row) for index, row in self._rows(split, indices, self._held(split))]

    def shapes(self, split: str) -> Sequence[tuple[int, int]]:
        return [shape for part in self.parts[split] for shape in _shapes(stamped(part), self.columns.image)]

    def marked(self, split: str) -> Sequence[int]:
        return range(self.counts()[split]) if self.columns.mask in self._held(split) else ()

    def files(self) -> Sequence[Path]:
        return [*self.others, *(part for parts in self.parts.values() for part in parts)]

    def _held(self, split: str) -> list[str]:
        """The wanted columns that a split's files have; all of them have the same."""
        first, *rest = (_names(stamped(part)) for part in self.parts[split])
        where, wanted, usual = self.parts[split][0], self.columns, Columns()
        if any(names != first for names in rest):
            raise BenchkitError(f"{where}: the files of split '{split}' have different columns: write them again")
        for column, default in ((wanted.image, ""), (wanted.mask, usual.mask), (wanted.caption, usual.caption)):
            if column not in first and column != default:
                raise BenchkitError(f"{where}: there is no column '{column}': it has {', '.join(first)}")
        return [column for column in (wanted.image, wanted.mask, wanted.caption) if column in first]

    def _rows(self, split: str, indices: Sequence[int], held: list[str]) -> list[tuple[int, dict[str, Any]]]:
        """The wanted rows; each group of rows that holds one is read once."""
        places = {index: _place(self.parts[split], index) for index in indices}
        found: dict[int, dict[str, Any]] = {}
        for part, group in dict.fromkeys((part, group) for part, group, _ in places.values()):
            table = _read_group(part, group, held)
            for index, (at, number, row) in places.items():
                if (at, number) == (part, group):
                    found[index] = table.slice(row, 1).to_pylist()[0]
        return [(index, found[index]) for index in indices]

    def _loaded(self, split: str, index: int, row: dict[str, Any]) -> Loaded:
        columns, where = self.columns, f"{self.parts[split][0].parent}: row {index} of '{split}'"
        content = _bytes(row[columns.image], f"{where}, column '{columns.image}'")
        if content is None:
            raise BenchkitError(f"{where} has no image: remove the row")
        image = decode_image(content, where)
        marked = _bytes(row.get(columns.mask), f"{where}, column '{columns.mask}'")
        at = f"{where}, column '{columns.mask}'"
        mask = None if marked is None else same_size(decode_mask(marked, at), image, at)
        caption = row.get(columns.caption)
        if caption is not None and not isinstance(caption, str):
            raise BenchkitError(f"{where}: column '{columns.caption}' holds no text: name another as caption_column")
        return Loaded(_name(index), image, mask, caption or None)


def _name(row: int) -> str:
    return f"{row:06d}"


def is_table_folder(root: Path) -> bool:
    """Whether `root` holds Parquet files, or was written by `save_to_disk`."""
    if any((root / name).is_file() for name in (DICT, STATE)):
        return True
    return (
        next((p for pattern in ("*.parquet", "*/*.parquet", "*/*/*.parquet") for p in root.glob(pattern)), None)
        is not None
    )


def list_tables(root: Path, columns: Columns) -> TableListing:
    """The splits of a `save_to_disk` folder, else of the Parquet files in `root` and two folders below it.

    A Parquet file belongs to the split that its name gives (SPLIT-00000-of-00001.parquet), else the folder it is in
    (other than `data`), else it is a split by its own name. Raises BenchkitError where there are none, where one split
    lies in several folders, and for files that do not read.
    """
    if (root / DICT).is_file():
        names = _json(root / DICT).get("splits")
        if not isinstance(names, list) or not all(map(_is_name, names)):
            raise BenchkitError(f"{root / DICT}: 'splits' is not a list of folder names: save the dataset again")
        saved = {name: _saved(root / name) for name in names}
        others = [root / DICT, *(root / name / STATE for name in names)]
        return TableListing(saved, columns, tuple(others))
    if (root / STATE).is_file():
        split = _json(root / STATE).get("_split")
        return TableListing({split if isinstance(split, str) else ONLY: _saved(root)}, columns, (root / STATE,))
    parts: dict[str, list[Path]] = {}
    for pattern in ("*.parquet", "*/*.parquet", "*/*/*.parquet"):
        for file in sorted(root.glob(pattern)):
            parts.setdefault(_split_of(file, root), []).append(file)
    for split, files in parts.items():
        if len({file.parent for file in files}) > 1:
            raise BenchkitError(f"{files[-1]}: split '{split}' is in {files[0].parent} too: name one folder as root")
    if not parts:
        raise BenchkitError(
            f"{root}: holds no Parquet files, and no dataset that save_to_disk wrote: name another root"
        )
    return TableListing({split: tuple(files) for split, files in sorted(parts.items())}, columns)


def _split_of(file: Path, root: Path) -> str:
    shard = _SHARD.fullmatch(file.stem)
    if shard:
        return shard["split"]
    return file.stem if file.parent == root or file.parent.name == "data" else file.parent.name


def _saved(folder: Path) -> tuple[Path, ...]:
    """The Arrow files of one split, in the order that its state names."""
    state = _json(folder / STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise BenchkitError(
            f"{folder / STATE}: rows in an order of their own: call flatten_indices() and save it again"
        )
    files = state.get("_data_files")
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in files or ()]
    if not names or not all(map(_is_name, names)):
        raise BenchkitError(f"{folder / STATE}: '_data_files' names no files beside it: save the dataset again")
    return tuple(folder / str(name) for name in names)


def _is_name(value: Any) -> bool:
    """Whether this names something directly in a folder."""
    return isinstance(value, str) and value != ".." and Path(value).name == value


def _json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(text_of(file))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise BenchkitError(f"{file}: no JSON object: save the dataset again")
    return data


def _place(parts: tuple[Path, ...], index: int) -> tuple[Path, int, int]:
    """File, group of rows in it and row in that, of a split's row."""
    for part in parts:
        for group, size in enumerate(_groups(stamped(part))):
            if index < size:
                return part, group, index
            index -= size
    raise IndexError(index)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """pyarrow's errors in one line that names the file."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BenchkitError(f"{path}: cannot be read ({reason}): write it again") from None


@lru_cache(maxsize=4096)
def _groups(part: Stamped) -> tuple[int, ...]:
    """Rows of every row group of a Parquet file, or of every batch of an Arrow file."""
    import pyarrow.parquet as parquet

    with _reading(part.path):
        if part.path.suffix != ".parquet":
            return tuple(batch.num_rows for batch in _batches(part.path))
        with parquet.ParquetFile(part.path) as file:
            return tuple(file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups))


@lru_cache(maxsize=4096)
def _names(part: Stamped) -> tuple[str, ...]:
    import pyarrow.parquet as parquet
    from pyarrow import ipc, memory_map

    with _reading(part.path):
        if part.path.suffix == ".parquet":
            return tuple(parquet.read_schema(part.path).names)
        with memory_map(str(part.path)) as source, ipc.open_stream(source) as stream:
            return tuple(stream.schema.names)


def _batches(path: Path) -> Iterator[Any]:
    """The batches of an Arrow stream, mapped: what is not looked at is not read."""
    from pyarrow import ipc, memory_map

    with ipc.open_stream(memory_map(str(path))) as stream:
        yield from stream


def _read_group(path: Path, group: int, columns: list[str]) -> Any:
    import pyarrow
    import pyarrow.parquet as parquet

    with _reading(path):
        if path.suffix == ".parquet":
            with parquet.ParquetFile(path) as file:
                return file.read_row_group(group, columns=columns)
        batch = next(batch for number, batch in enumerate(_batches(path)) if number == group)
        return pyarrow.Table.from_batches([batch]).select(columns)


@lru_cache(maxsize=4096)
def _shapes(part: Stamped, column: str) -> tuple[tuple[int, int], ...]:
    found = []
    for group in range(len(_groups(part))):
        for row, value in enumerate(_read_group(part.path, group, [column])[column]):
            where = f"{part.path}: row {row} of group {group}"
            found.append(picture_shape(_bytes(value.as_py(), where) or b"", where))
    return tuple(found)


def _bytes(value: Any, where: str) -> bytes | None:
    """The file that an image's cell holds: {bytes, path}, or bytes alone."""
    if value is None:
        return None
    content = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(content, bytes):
        return content
    if isinstance(value, dict) and value.get("path"):
        raise BenchkitError(f"{where}: only a path, no image: write the dataset with its files embedded")
    raise BenchkitError(f"{where}: no encoded image: cast the column to Image, or name another")
