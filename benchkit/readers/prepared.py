"""Write a prepared set: one folder with a Parquet file per split, a list of skipped images, and a manifest.

`prepared_dataset` reads it. Every row has a sha256 of all its other columns, so that a changed row is found without
reading the rest. The manifest has the sha256 of every file, what was counted, and how the set was made.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import BenchkitError
from benchkit.system.output_files import list_visible, replace_folder
from benchkit.system.paths import expand_path

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: Version of the columns and of the manifest.
SCHEMA = 1
MANIFEST, LEFT_OUT = "manifest.json", "left-out.csv"
#: Rows of a row group, which is read for one sample.
GROUP = 8
BINARY = ("image", "mask", "artifact_map", "misalignment_map")
DATA_VARIABLE = "BENCHKIT_DATA"


@dataclass(frozen=True)
class Row:
    """One sample of a prepared set.

    image: an encoded image of height x width. mask: PNG, 0 and 255, or None if not annotated. artifact_map,
    misalignment_map: 8-bit grey PNG, or None. Mask and maps show the whole image, at a resolution of their own.
    attributes: plain JSON data.
    """

    id: str
    image: bytes
    height: int
    width: int
    mask: bytes | None = None
    artifact_map: bytes | None = None
    misalignment_map: bytes | None = None
    caption: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """Return column -> value, without the digest."""
        plain = {name: getattr(self, name) for name in ("id", *BINARY, "height", "width", "caption")}
        return plain | {"attributes": json.dumps(dict(self.attributes), sort_keys=True, ensure_ascii=False)}


def compute_row_digest(columns: Mapping[str, Any]) -> str:
    """Return the sha256 over every column of a row except the digest."""
    total = hashlib.sha256()
    for name in sorted(set(columns) - {"sha256"}):
        value = columns[name]
        data = b"" if value is None else value if isinstance(value, bytes) else str(value).encode()
        total.update(f"{name} {type(value).__name__} {len(data)}\n".encode() + data)
    return total.hexdigest()


def make_arrow_schema() -> pa.Schema:
    """Return the columns of every split's file."""
    import pyarrow as pa

    text, number = pa.string(), pa.int32()
    types = {"id": text, **dict.fromkeys(BINARY, pa.binary()), "height": number, "width": number}
    return pa.schema({**types, "caption": text, "attributes": text, "sha256": text})


def get_default_folder(name: str) -> Path:
    """Return the default folder of a prepared set: `$BENCHKIT_DATA/NAME`, else in the user's data folder."""
    from platformdirs import user_data_dir

    return expand_path(os.environ.get(DATA_VARIABLE) or user_data_dir("benchkit")) / name


@dataclass(frozen=True)
class SkippedImage:
    """An image that is not in the set. reason: one of a few, which are counted; detail: of this image."""

    split: str
    id: str
    reason: str
    detail: str = ""


class Writer:
    """Writes a prepared set into an empty folder, row by row. A context manager, which closes its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._ids: set[str] = set()
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, split: str, row: Row) -> None:
        """Append a row; raise ValueError for an id that the set already has, in any split."""
        if row.id in self._ids:
            raise ValueError(f"id '{row.id}' twice")
        self._ids.add(row.id)
        columns = row.columns()
        waiting = self._waiting.setdefault(split, [])
        waiting.append(columns | {"sha256": compute_row_digest(columns)})
        self.counts[split] += 1
        if len(waiting) == GROUP:
            self._flush(split)

    def _flush(self, split: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if split not in self._files:
            # Images are compressed already; dictionaries and statistics of them would double the file.
            self._files[split] = pq.ParquetWriter(
                self._folder / f"{split}.parquet", make_arrow_schema(), compression="none", use_dictionary=False,
                write_statistics=False,
            )  # fmt: skip
        rows = self._waiting.pop(split, [])
        if rows:
            self._files[split].write_table(pa.Table.from_pylist(rows, schema=make_arrow_schema()), row_group_size=GROUP)

    def _close(self) -> None:
        for file in self._files.values():
            file.close()

    def finish(self, dataset: str, facts: Mapping[str, Any], skipped: Iterable[SkippedImage]) -> dict[str, Any]:
        """Write the remaining rows, read every file back, write the manifest and return it.

        Raises BenchkitError if no row was added, or a file does not read back as it was written.
        """
        for split in list(self._waiting):
            self._flush(split)
        self._close()
        if not self._files:
            raise BenchkitError(f"every image of {dataset} was skipped: nothing is written")
        reasons = self._write_skipped(skipped)
        files = {split: self._verify(split) for split in sorted(self._files)}
        manifest = {
            "schema": SCHEMA,
            "dataset": dataset,
            "splits": files,
            **facts,
            "left_out": dict(sorted(reasons.items())),
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
        (self._folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")
        return manifest

    def _write_skipped(self, skipped: Iterable[SkippedImage]) -> Counter[str]:
        reasons: Counter[str] = Counter()
        with (self._folder / LEFT_OUT).open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(("split", "id", "reason", "detail"))
            for one in skipped:
                lines.writerow((one.split, one.id, one.reason, one.detail))
                reasons[one.reason] += 1
        return reasons

    def _verify(self, split: str) -> dict[str, Any]:
        """Read back every row of one file and return its entry for the manifest."""
        import pyarrow.parquet as pq

        path = self._folder / f"{split}.parquet"
        count = 0
        for batch in pq.ParquetFile(path).iter_batches(batch_size=GROUP):
            for row in batch.to_pylist():
                if compute_row_digest(row) != row["sha256"]:
                    raise BenchkitError(f"{path.name}: row {count} does not read back: check the disk of `out`")
                count += 1
        if count != self.counts[split]:
            raise BenchkitError(f"{path.name} has {count} of {self.counts[split]} rows: check the disk of `out`")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"file": path.name, "rows": count, "bytes": path.stat().st_size, "sha256": digest}


@contextmanager
def replace_set(out: Path, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder to fill; move its contents to `out` at the end. After an error nothing changes.

    Raises BenchkitError if `out` is a file, is not empty, or cannot be written. With `force` a prepared set in it is
    replaced, and other files beside it stay.
    """

    def earlier() -> list[str]:
        return [name for name in list_visible(out) if name.endswith(".parquet") or name == LEFT_OUT]

    with replace_folder(out, force, MANIFEST, earlier) as folder:
        yield folder
