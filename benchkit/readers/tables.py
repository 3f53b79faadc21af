"""Read Parquet and Arrow tables (also of `save_to_disk`) of images or records: `Table`; find their columns.

Call it inside `explain_table_errors`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import BenchkitError, UnknownNameError, shortened

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".arrow")
#: Keys of `columns` for images. A table of records has further keys.
KEYS = ("image", "id", "caption")
#: Pick-a-Pic's columns: the image's id beside its bytes.
PAIRS = (("image_0_uid", "jpg_0"), ("image_1_uid", "jpg_1"))
#: Where copies of data sets keep ids, images and captions, the likelier names first.
IDS = (
    *("image_uid", "uid", "filename", "file_name", "image_name", "image_id", "id", "name", "key", "__key__"),
    *("path", "image_path"),
)
IMAGES = ("image", "jpg", "jpeg", "png", "webp", "img", "picture", "image_bytes", "bytes", "data")
CAPTIONS = ("caption", "prompt", "text", "txt", "short_caption")
#: Rows that are held at once.
BATCH = 64
#: Ids of a row group that claim to be longer than this when unpacked are not read, bytes.
IDS_LIMIT = 2**30


@dataclass(frozen=True)
class Columns:
    """The user's names of columns: key -> column. Other columns are found by common names."""

    given: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str], known: Sequence[str] = KEYS) -> Columns:
        """Parse `image=jpg_0,id=uid`, also in several texts; raise BenchkitError for unknown keys and other forms.

        A column's name may contain commas that are not followed by an equals sign.
        """
        found: dict[str, str] = {}
        for item in (item for text in texts for item in re.split(r",(?=[^,=]*=)", text)):
            key, equals, column = (part.strip() for part in item.partition("="))
            if not equals or not column:
                raise BenchkitError(f"`columns` '{shortened(item)}' is not KEY=COLUMN: write image=NAME,id=NAME")
            if key not in known:
                raise BenchkitError(f"`columns`: {UnknownNameError('key', key, known)}")
            if found.setdefault(key, column) != column:
                raise BenchkitError(f"`columns`: '{key}' is given twice, as '{found[key]}' and '{column}'")
        return cls(found)


@dataclass(frozen=True)
class Pair:
    """Columns of one image: those that may contain its id, its bytes, and its caption or None."""

    ids: tuple[str, ...]
    image: str
    caption: str | None


class Group:
    """Some rows of a table. Columns can be read separately."""

    def __init__(self, source: Any, number: int | None = None) -> None:
        self._source, self._number = source, number

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows with these columns only; BATCH rows are in memory at once."""
        if self._number is not None:
            batches = self._source.iter_batches(BATCH, row_groups=[self._number], columns=list(columns))
        else:
            picked = self._source.select(list(columns))
            batches = (picked.slice(start, BATCH) for start in range(0, picked.num_rows, BATCH))
        for batch in batches:
            yield from batch.to_pylist()


class Table:
    """One file. It raises pyarrow's errors; see `explain_table_errors`."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        self._parquet = pq.ParquetFile(path) if path.suffix.lower() == ".parquet" else None
        if self._parquet is None:
            mapped = pa.memory_map(str(path))
            try:
                self._arrow: Any = pa.ipc.open_stream(mapped)
            except pa.ArrowInvalid:  # written as a file, not as a stream
                self._arrow = pa.ipc.open_file(mapped)
        self.schema: pa.Schema = self._parquet.schema_arrow if self._parquet else self._arrow.schema

    @property
    def names(self) -> list[str]:
        """All columns."""
        return list(self.schema.names)

    def groups(self, ids: Collection[str]) -> Iterator[Group]:
        """Yield all rows in groups; raise BenchkitError for ids that claim more than IDS_LIMIT bytes."""
        if self._parquet is None:
            numbers = getattr(self._arrow, "num_record_batches", None)
            batches = self._arrow if numbers is None else (self._arrow.get_batch(i) for i in range(numbers))
            yield from map(Group, batches)
            return
        for number in range(self._parquet.metadata.num_row_groups):
            group = self._parquet.metadata.row_group(number)
            columns = [group.column(i) for i in range(group.num_columns)]
            claimed = sum(one.total_uncompressed_size for one in columns if one.path_in_schema in ids)
            if claimed > IDS_LIMIT:
                raise BenchkitError(
                    f"{self.path} claims {claimed} bytes of ids in a row group, the limit is {IDS_LIMIT}"
                )
            yield Group(self._parquet, number)

    def _get_type(self, column: str) -> pa.DataType:
        import pyarrow as pa

        index = self.schema.get_field_index(column)
        return self.schema.field(index).type if index >= 0 else pa.null()

    def is_text(self, column: str) -> bool:
        """Return whether there is a column of this name with text."""
        import pyarrow as pa

        kind = self._get_type(column)
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    def is_bytes(self, column: str) -> bool:
        """Return whether a column contains encoded files: bytes, or Hugging Face's image with bytes."""
        import pyarrow as pa

        kind = self._get_type(column)
        if pa.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    def check_column(self, key: str, column: str) -> str:
        """Return the column; raise BenchkitError if the table does not have it."""
        if column not in self.names:
            raise BenchkitError(
                f"`columns` {key}={column}: {self.path} has no column '{column}': it has {', '.join(self.names)}"
            )
        return column


@contextmanager
def explain_table_errors(where: str) -> Iterator[None]:
    """Raise any error of pyarrow as BenchkitError of one line."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BenchkitError(f"{where} cannot be read ({reason}): get it again") from None


def find_image_columns(table: Table, columns: Columns) -> list[Pair]:
    """Return the columns of a table's images: those that the user names, else Pick-a-Pic's, else common ones, or none.

    Raises BenchkitError for a named column that does not exist.
    """
    given = {key: table.check_column(key, columns.given[key]) for key in KEYS if key in columns.given}
    captions = (given.get("caption"),) if "caption" in given else CAPTIONS
    caption = next((name for name in captions if name and table.is_text(name)), None)
    if not given.keys() & {"image", "id"} and all(name in table.names for pair in PAIRS for name in pair):
        return [Pair((name,), data, caption) for name, data in PAIRS]
    images = [given["image"]] if "image" in given else [name for name in IMAGES if table.is_bytes(name)][:1]
    ids = (given["id"],) if "id" in given else tuple(name for name in IDS if table.is_text(name))
    return [Pair(ids, name, caption) for name in images if ids or _has_path(table, name)]


def _has_path(table: Table, image: str) -> bool:
    import pyarrow as pa

    kind = table.schema.field(image).type
    return bool(pa.types.is_struct(kind) and kind.get_field_index("path") >= 0)


def get_bytes(value: Any) -> bytes | None:
    """Return the encoded file in a cell: bytes, or those of Hugging Face's image; None for other values."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return value if isinstance(value, bytes) else None
