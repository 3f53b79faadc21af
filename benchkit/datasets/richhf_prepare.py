"""RichHF-18k's TFRecords and the images they speak of -> one prepared set."""

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

from benchkit.datasets.named_pictures import Shelf, collect
from benchkit.datasets.pictures import decode_image
from benchkit.datasets.prepared import Left, Row, Writer
from benchkit.datasets.richhf import NAME, NOTICE
from benchkit.datasets.richhf_rule import PAPER, Rule, beside_paper
from benchkit.datasets.tfrecord import Features, examples
from benchkit.errors import BenchkitError

#: The dataset's splits in the order in which an image that stands in two goes to one, and what they are called here.
SPLITS = {"test": "test", "dev": "validation", "train": "pool"}
WORDS = {"train": "train", "dev": "dev", "validation": "dev", "val": "dev", "test": "test"}
#: Examples of the published files.
PUBLISHED = {"train": 15810, "dev": 995, "test": 955}
SCORES = ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")
MAP_SIDE = 512
_ID = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Annotation:
    """One example that the rule left, ready to be written as soon as its image is found."""

    id: str
    split: str
    mask: bytes
    artifact_map: bytes
    misalignment_map: bytes | None
    attributes: Mapping[str, Any]


class Unusable(Exception):
    """Why one record cannot be used: a reason that is counted, and a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def record_files(given: Sequence[Path]) -> dict[str, list[Path]]:
    """The TFRecord files of each split, from files and folders; which split one belongs to, its name says.

    Raises BenchkitError for a path that is not there, a folder without such files, and a name that says no split.
    """
    found: dict[str, list[Path]] = {}
    for path in given:
        files = sorted(one for one in path.glob("*.tfrecord*") if one.is_file()) if path.is_dir() else [path]
        if not files or not path.exists():
            what = "holds no *.tfrecord file" if path.exists() else "does not exist"
            raise BenchkitError(f"--records '{path}' {what}: name RichHF-18k's files or their folder")
        for file in files:
            splits = {WORDS[word] for word in re.split(r"[^a-z]+", file.name.lower()) if word in WORDS}
            if len(splits) != 1:
                raise BenchkitError(f"--records '{file}': a name with train, dev or test in it says which split it is")
            found.setdefault(splits.pop(), []).append(file)
    return {split: found[split] for split in SPLITS if split in found}


@dataclass
class Preparation:
    """The way from records and images to a set; `run` writes it and returns the manifest.

    tell: hears of the work, one line each.
    """

    records: Sequence[Path]
    images: Sequence[Path]
    rule: Rule
    tell: Tell
    left: list[Left] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    captions: list[str] = field(default_factory=list)
    _seen: dict[str, str] = field(default_factory=dict)

    def run(self, folder: Path) -> dict[str, Any]:
        """Write the set into an empty folder. Raises BenchkitError as the reading of records and images does."""
        found: dict[str, Annotation] = {}
        for split, files in record_files(self.records).items():
            for file in files:
                self.tell(f"read {file.name}")
                for one in self._annotations(split, file):
                    found[one.id] = one
        if not found:
            raise BenchkitError(f"rule {self.rule} leaves none of {self.read.total()} examples: choose another --rule")
        scratch = folder / ".images"
        try:
            with Writer(folder) as writer, scratch.open("w+b") as images:
                shelf = Shelf(images)
                collect(self.images, found.keys(), shelf, self.tell)
                self.tell(f"write {len(shelf)} images")
                for one in found.values():
                    self._write(writer, one, shelf)
                return writer.finish(NAME, self._facts(len(found), len(shelf), shelf.repeated), self.left)
        finally:
            scratch.unlink(missing_ok=True)

    def _annotations(self, split: str, file: Path) -> Iterator[Annotation]:
        """What the rule leaves of one file; all else is noted."""
        for count, features in enumerate(examples(file), start=1):
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
                self.left.append(Left(SPLITS[split], name, why.reason, f"{where}: {why.detail}"))

    def _annotation(self, name: str, split: str, features: Features) -> Annotation:
        artifacts = grey_map(features, "artifact_map")
        maps, misaligned = [artifacts], None
        try:
            misaligned = grey_map(features, "misalignment_map")
            maps.append(misaligned)
        except Unusable as why:  # no label depends on it
            self.left.append(Left(SPLITS[split], name, "misalignment map left out, its image kept", why.detail))
        scores = {score: number(features, score) for score in SCORES}
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
            attributes={**scores, "prompt_misalignment_label": words, "filename": text(features, "filename")},
        )

    def _write(self, writer: Writer, one: Annotation, shelf: Shelf) -> None:
        if one.id not in shelf:
            self.left.append(Left(one.split, one.id, "no image"))
            return
        picture = shelf.get(one.id)
        try:
            height, width = decode_image(picture.data, picture.origin).shape[:2]
        except BenchkitError as error:
            self.left.append(Left(one.split, one.id, "image does not decode", str(error)))
            return
        if picture.caption is not None:
            self.captions.append(picture.caption)
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
            "examples": {"published": PUBLISHED, "read": dict(self.read), "left_by_rule": dict(self.kept)},
            "images": {"wanted": wanted, "found": found, "repeated": repeated, "captions": len(self.captions)},
        }


def summary(manifest: Mapping[str, Any], rule: Rule) -> list[str]:
    """What a user is told of a finished set, a line each."""
    read, images = manifest["examples"]["read"], manifest["images"]
    lines = [beside_paper(rule, manifest["examples"]["left_by_rule"], read)]
    lines.append(f"a pixel is marked from level {rule.threshold} of 255: {rule.needed} of {rule.annotators} annotators")
    missing = images["wanted"] - images["found"]
    lines.append(f"images: {images['found']:,} of {images['wanted']:,} found, {missing:,} missing")
    fewer = {split: n for split, n in read.items() if n != PUBLISHED[split]}
    lines += [f"records: {n:,} {split} examples read, {PUBLISHED[split]:,} are published" for split, n in fewer.items()]
    return lines


def uid(features: Features) -> str:
    """The stem of an example's file name: Pick-a-Pic's id of its image."""
    name = text(features, "filename")
    stem = PurePosixPath(name).stem if name else ""
    if not _ID.fullmatch(stem):
        raise Unusable("no image id", f"filename {name!r}")
    return stem


def text(features: Features, name: str) -> str | None:
    """A feature's one text, or None where it has none."""
    values = features.get(name) or [None]
    return values[0].decode("utf-8", "replace") if isinstance(values[0], bytes) else None


def number(features: Features, name: str) -> float | None:
    """A feature's one number, or None where it has none."""
    values = features.get(name) or [None]
    return float(values[0]) if isinstance(values[0], float) and np.isfinite(values[0]) else None


def grey_map(features: Features, name: str) -> NDArray[np.uint8]:
    """A map, (512, 512) uint8, of its encoded bytes; raises Unusable."""
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
        raise Unusable(f"{name} has colours", "one channel is wanted")
    return np.ascontiguousarray(decoded[..., 0])


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W) uint8 as an 8-bit grey PNG."""
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="PNG")
    return sink.getvalue()
