"""Read the captions of a folder of images from one table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchkit.api import BenchkitError
from benchkit_plugins.datasets.folder.records import read_text_file

#: Names of tables; the first that exists is read.
TABLES = ("captions.jsonl", "captions.csv", "metadata.jsonl", "metadata.csv")
FILE_KEY = "file_name"
CAPTION_KEYS = ("caption", "text", "prompt")


def read_captions(folder: Path, images: Mapping[str, Path]) -> tuple[dict[str, str], list[Path]]:
    """Return name -> caption from a folder's table, and the tables that were read.

    images: name -> file below the folder. Raises BenchkitError for a table that cannot be read, or that names a missing
    image, or an image twice.
    """
    found: dict[str, str] = {}
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if table is not None:
        names = {file.relative_to(folder).as_posix(): name for name, file in images.items()}
        for line, row in read_table(table):
            name, caption = _entry(row, names, f"{table}: line {line}")
            if name in found:
                raise BenchkitError(f"{table}: line {line} names '{row[FILE_KEY]}' a second time: keep one of the two")
            found[name] = caption
    return {name: caption for name, caption in found.items() if caption != ""}, [] if table is None else [table]


def _entry(row: Any, names: Mapping[str, str], where: str) -> tuple[str, str]:
    if not isinstance(row, dict) or not isinstance(row.get(FILE_KEY), str):
        raise BenchkitError(f"{where} has no '{FILE_KEY}': name the image there")
    if row[FILE_KEY] not in names:
        raise BenchkitError(f"{where} names '{row[FILE_KEY]}', which is not beside it: remove the line")
    caption = next((row[key] for key in CAPTION_KEYS if row.get(key) is not None), "")
    if not isinstance(caption, str):
        raise BenchkitError(f"{where}: the caption is not text")
    return names[row[FILE_KEY]], caption.strip()


def read_table(table: Path) -> Iterator[tuple[int, Any]]:
    """Yield every row with its line number; raise BenchkitError for a table that cannot be read."""
    text = read_text_file(table)
    if table.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(text))
        try:
            yield from ((rows.line_num, row) for row in rows)
        except csv.Error as error:
            raise BenchkitError(f"{table}: line {rows.line_num}: {error}") from None
        return
    # `splitlines` would also split at characters such as U+2028, which a JSON text may contain.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError):
            raise BenchkitError(f"{table}: line {number} is not JSON") from None
