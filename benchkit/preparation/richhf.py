"""Join RichHF-18k's records (TFRecord files or tables) with their images to one prepared set."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.preparation.richhf_rule import PAPER, Rule, beside_paper
from benchkit.readers import tables
from benchkit.readers.images import decode_image
from benchkit.readers.images_by_id import ImageStore, collect_images
from benchkit.readers.prepared import Row, SkippedImage, Writer
from benchkit.readers.tables import IDS, Columns, Table, get_bytes
from benchkit.readers.tfrecord import Features, read_examples
from benchkit.readers.walk import list_files

#: The dataset of the set, and a note on its licence.
NAME = "richhf-18k"
NOTICE = (
    "RichHF-18k's repository states no licence, and its images are Pick-a-Pic's: see the terms of both at their "
    "sources before you share what is made of them"
)
#: The dataset's splits in the order in which an image that stands in two goes to one, and what they are called here.
SPLITS = {"test": "test", "dev": "validation", "train": "pool"}
WORDS = {"train": "train", "dev": "dev", "validation": "dev", "val": "dev", "test": "test"}
#: Examples of the published files.
PUBLISHED = {"train": 15810, "dev": 995, "test": 955}
SCORES = ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")
#: What the records hold, as tables of them have it for columns.
MAPS, WORDING = ("artifact_map", "misalignment_map"), "prompt_misalignment_label"
#: What `columns` may name.
KEYS = (*tables.KEYS, *MAPS, *SCORES, WORDING)
MAP_SIDE = 512
_ID = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Annotation:
    """One example that the rule keeps, to be written when its image is found.

    notes: what of it is skipped; listed only if the rest is written.
    """

    id: str
    split: str
    mask: bytes
    artifact_map: bytes
    misalignment_map: bytes | None
    attributes: Mapping[str, Any]
    notes: tuple[SkippedImage, ...] = ()


class Unusable(Exception):
    """A record that cannot be used: a reason, which is counted, and a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def record_files(given: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the record files of each split, from files and folders.

    Which split a file belongs to says its name, or a folder called `train`, `dev` or `test` that it lies in. Raises
    BenchkitError for a path that is not there, a folder without such files, and names that contain no split.
    """
    found: dict[str, list[Path]] = {}
    for path in given:
        files = _records_in(path) if path.is_dir() else [path]
        if not files or not path.exists():
            what = "holds no *.tfrecord, *.parquet or *.arrow file" if path.exists() else "does not exist"
            raise BenchkitError(f"`records` '{path}' {what}: name RichHF-18k's files or their folder")
        for file in files:
            splits = {WORDS[word] for word in re.split(r"[^a-z]+", file.name.lower()) if word in WORDS}
            above = file.absolute().parent.name.lower()
            if not splits and above in WORDS:
                splits = {WORDS[above]}
            if len(splits) != 1:
                raise BenchkitError(
                    f"`records` '{file}': a name with train, dev or test in it says which split it is; so does a "
                    "folder that is called so"
                )
            found.setdefault(splits.pop(), []).append(file)
    return {split: found[split] for split in SPLITS if split in found}


def _records_in(folder: Path) -> list[Path]:
    """Return a folder's TFRecord files, often with a number after the suffix, or else the tables below it."""
    packed = sorted(one for one in folder.glob("*.tfrecord*") if one.is_file())
    return packed or list_files(folder, tables.SUFFIXES)


def table_examples(path: Path, columns: Columns) -> Iterator[Features]:
    """Yield the rows of a table of records, in the form of `tfrecord.examples`.

    Raises BenchkitError for a table without artifact maps or names of images, and one that cannot be read.
    """
    with tables.explain_table_errors(f"`records`: {path}"):
        table = Table(path)
        found = {key: columns.given.get(key, key) for key in (*MAPS, *SCORES, WORDING)}
        names = [columns.given["id"]] if "id" in columns.given else IDS
        found["filename"] = next((name for name in names if table.is_text(name)), "")
        missing = [key for key in ("artifact_map", "filename") if found[key] not in table.names]
        missing += [key for key in columns.given if key in found and found[key] not in table.names]
        if missing:
            key = "id" if missing[0] == "filename" else missing[0]
            raise BenchkitError(
                f"`records`: {path} has no column {key}, it has {', '.join(table.names)}: name it with "
                f"`columns` {key}=NAME"
            )
        for key in MAPS:
            if found[key] in table.names and not table.is_bytes(found[key]):
                raise BenchkitError(
                    f"`records`: {path}: column '{found[key]}' holds no encoded images: store the maps as PNG bytes"
                )
        present = {key: column for key, column in found.items() if column in table.names}
        for group in table.groups(()):
            for row in group.rows(list(dict.fromkeys(present.values()))):
                yield {key: _feature(row[column]) for key, column in present.items()}


def _feature(value: Any) -> list[Any]:
    """Return a table's value as a record's feature: bytes or numbers; empty for another type."""
    if isinstance(value, str):
        return [value.encode()]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [float(value)]
    data = get_bytes(value)
    return [] if data is None else [data]


@dataclass
class Preparation:
    """Makes a set from records and images; `run` writes it and returns the manifest.

    images: where they are; none where the tables of records hold them. tell: hears of the work, one line each.
    columns: what tables call what they hold.
    """

    records: Sequence[Path]
    images: Sequence[Path]
    rule: Rule
    tell: Tell
    columns: Columns = field(default_factory=Columns)
    left: list[SkippedImage] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    captions: list[str] = field(default_factory=list)
    odd_scores: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, str] = field(default_factory=dict)

    def run(self, folder: Path) -> dict[str, Any]:
        """Write the set into an empty folder; raise BenchkitError for unusable records or images."""
        found: dict[str, Annotation] = {}
        files_of = record_files(self.records)
        sources = self.images or self._tables(files_of)
        for split, files in files_of.items():
            for file in files:
                self.tell(f"read {file.name}")
                for one in self._annotations(split, file):
                    found[one.id] = one
        if not found:
            raise BenchkitError(f"rule {self.rule} keeps none of {self.read.total()} examples: choose another `rule`")
        scratch = folder / ".images"
        try:
            with Writer(folder) as writer, scratch.open("w+b") as images:
                shelf = ImageStore(images)
                collect_images(sources, found.keys(), shelf, self.tell, self.columns)
                self.tell(f"write {len(shelf)} images")
                for one in found.values():
                    self._write(writer, one, shelf)
                return writer.finish(NAME, self._facts(len(found), len(shelf), shelf.repeated), self.left)
        finally:
            scratch.unlink(missing_ok=True)

    def _tables(self, files_of: Mapping[str, Sequence[Path]]) -> list[Path]:
        """Return the records' files if all are tables, which may hold the images too."""
        files = [file for files in files_of.values() for file in files]
        if any(file.suffix.lower() not in tables.SUFFIXES for file in files):
            raise BenchkitError("`images` is missing: TFRecord files hold no images; name Pick-a-Pic's files")
        return files

    def _annotations(self, split: str, file: Path) -> Iterator[Annotation]:
        """Yield the examples of one file that the rule keeps; note the others."""
        is_table = file.suffix.lower() in tables.SUFFIXES
        for count, features in enumerate(
            table_examples(file, self.columns) if is_table else read_examples(file), start=1
        ):
            self.read[split] += 1
            where = f"{file.name}: record {count}"
            name = ""
            try:
                name = uid(features)
                made = self._annotation(name, split, features)
                self.kept[split] += 1
                if name in self._seen:
                    raise Unusable("image labelled twice", f"the first is {self._seen[name]}")
                self._seen[name] = where
                yield made
            except Unusable as why:
                self.left.append(SkippedImage(SPLITS[split], name, why.reason, f"{where}: {why.detail}"))

    def _annotation(self, name: str, split: str, features: Features) -> Annotation:
        artifacts = grey_map(features, "artifact_map")
        maps, misaligned, notes = [artifacts], None, []
        try:
            misaligned = grey_map(features, "misalignment_map")
            maps.append(misaligned)
        except Unusable as why:  # no label depends on it
            notes.append(SkippedImage(SPLITS[split], name, "misalignment map skipped, its image kept", why.detail))
        scores = {score: number(features, score) for score in SCORES}
        self.odd_scores.update({oddity for oddity in map(odd, scores.values()) if oddity})
        objection = self.rule.objection({s: v for s, v in scores.items() if v is not None}, maps)
        if objection is not None:
            raise Unusable("by the rule", objection)
        words = text(features, "prompt_misalignment_label")
        mask = self.rule.label(artifacts).astype(np.uint8) * np.uint8(255)
        return Annotation(
            id=name,
            split=SPLITS[split],
            mask=png(mask),
            artifact_map=png(artifacts),
            misalignment_map=None if misaligned is None else png(misaligned),
            attributes={
                **{s: v if v is None or np.isfinite(v) else None for s, v in scores.items()},
                "prompt_misalignment_label": words,
                "filename": text(features, "filename"),
            },
            notes=tuple(notes),
        )

    def _write(self, writer: Writer, one: Annotation, shelf: ImageStore) -> None:
        if one.id not in shelf:
            self.left.append(SkippedImage(one.split, one.id, "no image"))
            return
        picture = shelf.get(one.id)
        try:
            height, width = decode_image(picture.data, picture.origin).shape[:2]
        except BenchkitError as error:
            self.left.append(SkippedImage(one.split, one.id, "image does not decode", str(error)))
            return
        if picture.caption is not None:
            self.captions.append(picture.caption)
        self.left += one.notes
        writer.add(
            one.split,
            Row(
                one.id, picture.data, height, width, one.mask, one.artifact_map, one.misalignment_map,
                picture.caption, one.attributes,
            ),
        )  # fmt: skip

    def _facts(self, wanted: int, found: int, repeated: int) -> dict[str, Any]:
        return {
            "licence": NOTICE,
            "rule": {"text": str(self.rule), "threshold": self.rule.threshold, "paper": PAPER},
            "scores": dict(sorted(self.odd_scores.items())),
            "examples": {"published": PUBLISHED, "read": dict(self.read), "left_by_rule": dict(self.kept)},
            "images": {"wanted": wanted, "found": found, "repeated": repeated, "captions": len(self.captions)},
        }


def summary(manifest: Mapping[str, Any], rule: Rule) -> list[str]:
    """Return the lines that a user reads about a finished set."""
    read, images = manifest["examples"]["read"], manifest["images"]
    lines = [beside_paper(rule, manifest["examples"]["left_by_rule"], read)]
    lines.append(
        f"a pixel is annotated from level {rule.threshold} of 255: {rule.needed} of {rule.annotators} annotators"
    )
    missing = images["wanted"] - images["found"]
    lines.append(f"images: {images['found']:,} of {images['wanted']:,} found, {missing:,} missing")
    lines.append(f"captions: {images['captions']:,} of {sum(one['rows'] for one in manifest['splits'].values()):,}")
    lines += [f"scores: {count:,} examples with {what}" for what, count in manifest["scores"].items()]
    fewer = {split: n for split, n in read.items() if n != PUBLISHED[split]}
    lines += [f"records: {n:,} {split} examples read, {PUBLISHED[split]:,} are published" for split, n in fewer.items()]
    return lines


def uid(features: Features) -> str:
    """Return the stem of an example's file name, which is Pick-a-Pic's id of the image."""
    name = text(features, "filename")
    stem = PurePosixPath(name).stem if name else ""
    if not _ID.fullmatch(stem):
        raise Unusable("no image id", f"filename {name!r}")
    return stem


def text(features: Features, name: str) -> str | None:
    """Return a feature's text, or None if it has none."""
    values = features.get(name) or [None]
    return values[0].decode("utf-8", "replace") if isinstance(values[0], bytes) else None


def number(features: Features, name: str) -> float | None:
    """Return a feature's number, possibly not finite, or None if it has none."""
    values = features.get(name) or [None]
    return float(values[0]) if isinstance(values[0], float | int) else None


def odd(score: float | None) -> str:
    """Return what is wrong with a score; empty if nothing is."""
    if score is None:
        return "a score that is missing"
    if not np.isfinite(score):
        return "a score that is not a number"
    return "" if 0 <= score <= 1 else "a score outside 0 ... 1"


def grey_map(features: Features, name: str) -> NDArray[np.uint8]:
    """Decode a map, (512, 512) uint8; raise Unusable if it cannot be decoded."""
    values = features.get(name) or [None]
    if not isinstance(values[0], bytes):
        raise Unusable(f"no {name}", "the record has none")
    try:
        decoded = decode_image(values[0], name)
    except BenchkitError as error:
        raise Unusable(f"{name} does not decode", str(error)) from None
    if decoded.shape[:2] != (MAP_SIDE, MAP_SIDE):
        raise Unusable(f"{name} of another size", f"{decoded.shape[0]}x{decoded.shape[1]}, not {MAP_SIDE}x{MAP_SIDE}")
    if (decoded != decoded[..., :1]).any():
        raise Unusable(f"{name} has colours", "a map has one channel")
    return np.ascontiguousarray(decoded[..., 0])


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return (H, W) uint8 as an 8-bit grey PNG."""
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="PNG")
    return sink.getvalue()
