"""Read a prepared set (see `prepared`) as a dataset: `PreparedDataset`, the base class of such plugins."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from benchkit.api import Dataset, ImageFacts, Sample, param
from benchkit.errors import BenchkitError, UnknownNameError, shortened
from benchkit.readers.framing import Framing
from benchkit.readers.images import PIXEL_LIMIT, decode_image
from benchkit.readers.masks import decode_mask
from benchkit.readers.prepared import MANIFEST, SCHEMA, compute_row_digest, get_default_folder, make_arrow_schema
from benchkit.system.paths import expand_path

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: Increase it when the same row gives another sample than before.
VERSION = 1
_SPLIT = re.compile(r"\w[\w.-]*", re.ASCII)


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise BenchkitError(f"{path} cannot be read ({reason}): prepare the set again") from None


class PreparedSet:
    """The files of one set; `open_set` makes and caches it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        manifest = _read_manifest(folder, name)
        self.provenance = _provenance(manifest)
        self.rows: dict[str, int] = {split: int(facts["rows"]) for split, facts in manifest["splits"].items()}
        for split, facts in manifest["splits"].items():
            path = self.path(split)
            found = path.stat().st_size if path.is_file() else None
            if found != facts["bytes"]:
                what = "is missing" if found is None else f"has {found} bytes, not {facts['bytes']}"
                raise BenchkitError(f"{path} {what}: copy it again, or prepare the set again")

    def path(self, split: str) -> Path:
        return self.folder / f"{split}.parquet"

    @cached_property
    def index(self) -> dict[str, dict[str, list[Any]]]:
        """Split -> columns height, width and sha256 of all rows."""
        import pyarrow.parquet as pq

        found = {}
        for split in self.rows:
            with _explain_errors(self.path(split)):
                file = pq.ParquetFile(self.path(split))
                if not file.schema_arrow.equals(make_arrow_schema()):
                    raise BenchkitError(f"{self.path(split)} has other columns than a prepared set: prepare it again")
                found[split] = file.read(columns=["height", "width", "sha256"]).to_pydict()
            self._check(split, found[split])
        return found

    @cached_property
    def texts(self) -> dict[str, list[tuple[str, bool]]]:
        """Split -> (id, whether it has a caption) of every row."""
        import pyarrow.parquet as pq

        found = {}
        for split in self.rows:
            with _explain_errors(self.path(split)):
                columns = pq.read_table(self.path(split), columns=["id", "caption"]).to_pydict()
            found[split] = [
                (name or "", bool(text)) for name, text in zip(columns["id"], columns["caption"], strict=True)
            ]
        return found

    def _check(self, split: str, columns: Mapping[str, list[Any]]) -> None:
        sides = [*columns["height"], *columns["width"]]
        if len(columns["sha256"]) != self.rows[split]:
            what = f"has {len(columns['sha256'])} rows, its manifest says {self.rows[split]}"
        elif not all(side is not None and 0 < side <= PIXEL_LIMIT for side in sides) or None in columns["sha256"]:
            what = "has an image without a size or a digest"
        else:
            return
        raise BenchkitError(f"{self.path(split)} {what}: prepare the set again")

    @cached_property
    def digest(self) -> str:
        """The sha256 over the digests of all rows."""
        total = hashlib.sha256()
        for split in sorted(self.rows):
            total.update("\n".join([split, *self.index[split]["sha256"]]).encode())
        return total.hexdigest()

    def read(self, split: str, rows: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return row -> columns; raise BenchkitError for a row that was changed."""
        import pyarrow.parquet as pq

        path = self.path(split)
        found: dict[int, dict[str, Any]] = {}
        with _explain_errors(path):
            file = pq.ParquetFile(path)
            for group, first, wanted in _group_rows(file, rows):
                table = file.read_row_group(group).take([row - first for row in wanted])
                found |= dict(zip(wanted, table.to_pylist(), strict=True))
        for row, columns in found.items():
            if compute_row_digest(columns) != columns["sha256"]:
                raise BenchkitError(f"{path}: row {row} ('{columns['id']}') was changed: prepare the set again")
            if None in (columns["id"], columns["image"]) or _parse_object(columns["attributes"]) is None:
                raise BenchkitError(f"{path}: row {row} has no id, image or attributes: prepare the set again")
        return found


def _parse_object(text: str | None) -> dict[str, Any] | None:
    """Return a JSON object, or None for other text."""
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _group_rows(file: pq.ParquetFile, rows: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield the row groups of these rows: (number, its first row, the wanted rows)."""
    first = 0
    for group in range(file.metadata.num_row_groups):
        end = first + file.metadata.row_group(group).num_rows
        wanted = sorted({row for row in rows if first <= row < end})
        if wanted:
            yield group, first, wanted
        first = end


def _read_manifest(folder: Path, name: str) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        dataset, schema, splits = content["dataset"], content["schema"], content["splits"]
        complete = bool(splits) and all(map(_is_split, splits, splits.values()))
    except FileNotFoundError:
        raise BenchkitError(
            f"{folder} contains no prepared set: make one with `benchkit data prepare {name}`, or name its folder by "
            "root="
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        dataset = schema = None
        complete = False
    if isinstance(dataset, str) and dataset != name:
        raise BenchkitError(
            f"{folder} contains the dataset '{shortened(dataset)}', not '{name}': name another folder (root=)"
        )
    if not complete or schema != SCHEMA:
        raise BenchkitError(f"{path} is not a manifest of this version: prepare the set again")
    return dict(content)


#: Sections of a manifest that describe how its set was made, with the facts that decide samples.
_MADE: Mapping[str, tuple[str, ...]] = {
    "rule": ("text", "threshold"),
    "draw": ("seed", "count", "of"),
    "cleanest": ("detector", "sha256", "threshold", "size", "fit", "candidates"),
}


def _provenance(manifest: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    """Return rule, draw and filter of a prepared set as plain values: `rule`, `rule threshold`, `draw seed`, ..."""
    found: dict[str, str | int | float | bool | None] = {}
    for section, keys in _MADE.items():
        facts = manifest.get(section)
        facts = facts if isinstance(facts, dict) else {}
        for key in keys:
            if isinstance(facts.get(key), str | int | float | bool):
                found[section if key == "text" else f"{section} {key}"] = facts[key]
    return found


def _is_split(name: str, facts: Any) -> bool:
    """Return whether a manifest's entry of a split is valid: a plain file name, and whole numbers."""
    numbers = [facts["rows"], facts["bytes"]]
    counted = all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers)
    return counted and _SPLIT.fullmatch(name) is not None


@lru_cache(maxsize=8)
def _open_set(folder: Path, name: str, _changed: int) -> PreparedSet:
    return PreparedSet(folder, name)


def open_set(folder: Path, name: str) -> PreparedSet:
    """Return the set in a folder, opened once as long as its manifest does not change."""
    path = folder / MANIFEST
    return _open_set(folder, name, path.stat().st_mtime_ns if path.is_file() else 0)


@dataclass(frozen=True)
class PreparedDataset(Dataset):
    """A dataset of files that `benchkit data prepare` wrote."""

    #: Whether every image has a mask, or none.
    marked: ClassVar[bool] = False

    root: str | None = param(None, doc="the prepared set's folder; default $BENCHKIT_DATA/NAME, else the user's own")
    size: int = param(512, ge=8, doc="pixels along a side of every image")
    fit: Literal["resize", "crop", "pad", "tile"] = param("crop", doc="how an image becomes size x size")
    autoencode: bool = param(  # type: ignore[misc]  # elsewhere it is the class's, here it is the user's
        False, doc="one more pass through the checkpoint's autoencoder; the paper takes the images as they are"
    )

    def splits(self) -> Mapping[str, int]:
        return {split: int(self._ends(split)[-1]) for split in self._set().rows}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        ends = self._ends(split)
        wrong = [i for i in indices if not 0 <= i < ends[-1]]
        if wrong:
            raise BenchkitError(
                f"split '{split}' of dataset '{self.name}' has {ends[-1]} images: image {wrong[0]} does not exist"
            )
        places = _find_rows(ends, indices)
        rows = self._set().read(split, places)
        found = []
        for index, row in zip(indices, places, strict=True):
            first = int(ends[row - 1]) if row else 0
            found.append(self._sample(rows[row], index - first, int(ends[row]) - first))
        return found

    def inspect(self, split: str, indices: Sequence[int]) -> list[ImageFacts]:
        ends, texts, found = self._ends(split), self._set().texts[split], []
        for index, row in zip(indices, _find_rows(ends, indices), strict=True):
            first = int(ends[row - 1]) if row else 0
            name, captioned = texts[row]
            name = _window_name(name, index - first, int(ends[row]) - first)
            found.append(ImageFacts(name, (self.size, self.size), self.marked, captioned=captioned))
        return found

    def file_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        columns = self._set().index[split]
        return list(zip(columns["height"], columns["width"], strict=True))

    def labelled(self, count: int, seed: int) -> list[int]:
        size = self.splits().get("pool", 0)
        if count > size:
            raise BenchkitError(f"'labelled: {count}' is more than the pool of {size} of '{self.name}': ask for fewer")
        word = int.from_bytes(hashlib.sha256(b"labelled").digest()[:8], "big")
        rng = np.random.default_rng(np.random.SeedSequence([VERSION, word, seed]))
        return sorted(rng.choice(size, count, replace=False).tolist())

    def provenance(self) -> Mapping[str, str | int | float | bool | None]:
        return dict(self._set().provenance)

    def fingerprint(self) -> str:
        words = [VERSION, self.name, self._set().digest, self.size, self.fit]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    def _set(self) -> PreparedSet:
        return open_set(expand_path(self.root) if self.root else get_default_folder(self.name), self.name)

    def _ends(self, split: str) -> NDArray[np.int64]:
        """Return, for each row, how many images it and all rows before give."""
        files = self._set()
        if split not in files.rows:
            raise BenchkitError(f"dataset '{self.name}': {UnknownNameError('split', split, files.rows)}")
        sizes = zip(files.index[split]["height"], files.index[split]["width"], strict=True)
        framing = Framing(self.size, self.fit)
        return np.cumsum([framing.windows(*one) for one in sizes], dtype=np.int64)

    def _sample(self, row: Mapping[str, Any], window: int, windows: int) -> Sample:
        framing = Framing(self.size, self.fit)
        where = f"{self.name} '{row['id']}'"
        image = decode_image(row["image"], where)
        if image.shape[:2] != (row["height"], row["width"]):
            expected, actual = f"{row['width']}x{row['height']}", f"{image.shape[1]}x{image.shape[0]}"
            raise BenchkitError(f"{where}: an image of {actual} where the set says {expected}: prepare the set again")
        attributes = _parse_object(row["attributes"]) or {}
        for column, name in (("artifact_map", "heatmap"), ("misalignment_map", "misalignment_map")):
            if row[column] is not None:
                grey = decode_image(row[column], f"{where}, {column}")[..., 0]
                attributes[name] = framing.map(resize_nearest(grey, image.shape[:2]), window)
        mask = None
        if row["mask"] is not None:
            mask = framing.mask(resize_nearest(decode_mask(row["mask"], f"{where}, mask"), image.shape[:2]), window)
        name = _window_name(row["id"], window, windows)
        return Sample(name, framing.image(image, window), mask, row["caption"], attributes=attributes)


def _find_rows(ends: NDArray[np.int64], indices: Sequence[int]) -> list[int]:
    """Return the rows that images are windows of."""
    return [int(row) for row in np.searchsorted(ends, np.asarray(indices, np.int64), side="right")]


def _window_name(name: str, window: int, windows: int) -> str:
    return name if windows == 1 else f"{name}-{window:03d}"


def resize_nearest(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a map resized to the image's resolution (H, W) by nearest neighbour."""
    rows, columns = ((np.arange(n) * 2 + 1) * have // (2 * n) for n, have in zip(shape, array.shape, strict=True))
    return np.ascontiguousarray(array[rows[:, None], columns[None, :]])
