"""Draw images from the tar shards of dalle3-hq, or keep the cleanest of a larger draw, as one prepared set."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.preparation import cleanest
from benchkit.readers.images import decode_image
from benchkit.readers.prepared import Row, SkippedImage, Writer
from benchkit.readers.tar_shards import Pair, Shard, ShardReader, find_shards, list_pairs

#: The dataset of the set, and a note on its licence.
NAME = "dalle3-hq"
NOTICE = (
    "the card of Dalle3 1 Million+ High Quality Captions says MIT; its images come from many people and generators: "
    "read the terms at its source before you share data made from it"
)
SPLIT = "clean"
#: Texts of an image's JSON that are kept beside its caption.
KEPT = ("image_name", "original_prompt", "long_caption", "source")
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,100}", re.ASCII)


@dataclass
class Draw:
    """Draw `count` images by seed and name, independently of the shards' order; `run` writes the set.

    tell: called with one line on each piece of work. judge: scores a larger draw, of which the cleanest are kept.
    """

    shards: Sequence[str]
    count: int
    seed: int
    tell: Callable[[str], None]
    judge: cleanest.Judge | None = None
    left: list[SkippedImage] = field(default_factory=list)
    facts: Counter[str] = field(default_factory=Counter)
    captions: list[str] = field(default_factory=list)

    def run(self, folder: Path) -> dict[str, Any]:
        """Write the set into an empty folder and return its manifest.

        Raises BenchkitError for unusable shards, and if they hold too few images.
        """
        shards = find_shards(self.shards)
        drawn = sorted(self._pairs(shards), key=lambda pair: rank(self.seed, pair.name))
        wanted, flag = (self.count, "`count`") if self.judge is None else (self.judge.candidates, "`cleanest_of`")
        if len(drawn) < wanted:
            raise BenchkitError(
                f"{flag} {wanted}: the shards hold {len(drawn)} images: ask for fewer, or name more shards"
            )
        with Writer(folder) as writer, ShardReader(shards) as reading:
            about, pairs = self._about(shards, len(drawn)), drawn
            if self.judge is not None:
                pairs, about["cleanest"] = self._cleanest(self.judge, reading, drawn, folder)
            for pair in pairs:
                if writer.counts[SPLIT] == self.count:
                    break
                self._add(writer, reading, pair)
            if writer.counts[SPLIT] < self.count:
                raise BenchkitError(
                    f"`count` {self.count}: only {writer.counts[SPLIT]} of {len(drawn)} images can be read: "
                    "ask for fewer, or name more shards"
                )
            about |= {"records": dict(sorted(self.facts.items())), "captions": len(self.captions)}
            return writer.finish(NAME, about, self.left)

    def _cleanest(
        self, judge: cleanest.Judge, reading: ShardReader, drawn: Sequence[Pair], folder: Path
    ) -> tuple[list[Pair], dict[str, Any]]:
        """Return the cleanest of the first readable candidates, in the order of the draw, and how they were chosen."""
        by_name = {pair.name: pair for pair in drawn}
        scored: list[cleanest.Scored] = []
        for one in judge.score_all(islice(self._squares(judge, reading, drawn), judge.candidates)):
            scored.append(one)
            self.tell(f"score {len(scored)}")
        kept = cleanest.cleanest(scored, self.count)
        names = {one.name for one in kept}
        for one in scored:
            if one.name not in names:
                detail = f"{one.fraction:.6g} of its area predicted"
                self.left.append(SkippedImage(SPLIT, one.name, "not among the cleanest", detail))
        cleanest.write_scores(folder, scored, names)
        return [by_name[one.name] for one in kept], cleanest.facts(judge, scored, kept)

    def _squares(
        self, judge: cleanest.Judge, reading: ShardReader, pairs: Sequence[Pair]
    ) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Yield the detector's input for every image that can be decoded and framed, in order."""
        for pair in pairs:
            image = self._decoded(reading, pair, reading.read(pair.shard, pair.image))
            try:
                square = None if image is None else judge.framing.image(image)
            except BenchkitError as error:
                self.left.append(SkippedImage(SPLIT, pair.name, "image cannot be framed", str(error)))
                continue
            if square is not None:
                yield pair.name, square

    def _decoded(self, reading: ShardReader, pair: Pair, data: bytes) -> NDArray[np.uint8] | None:
        try:
            return decode_image(data, f"{reading.url(pair.shard)}: {pair.name}")
        except BenchkitError as error:
            self.left.append(SkippedImage(SPLIT, pair.name, "image does not decode", str(error)))
            return None

    def _about(self, shards: Sequence[Shard], size: int) -> dict[str, Any]:
        draw = {"seed": self.seed, "count": self.count, "of": size, "shards": [Path(one.path).name for one in shards]}
        return {"licence": NOTICE, "draw": draw}

    def _pairs(self, shards: Sequence[Shard]) -> list[Pair]:
        """Return every image of every shard, each name once; read the heads of all shards before any image."""
        found: dict[str, Pair] = {}
        for number, shard in enumerate(shards):
            self.tell(f"look through {shard.path.rpartition('/')[2]}")
            left: list[tuple[str, str]] = []
            for pair in list_pairs(number, shard, left):
                if found.setdefault(pair.name, pair) is not pair:
                    self.left.append(SkippedImage(SPLIT, pair.name, "name twice", f"again in {shard.url}"))
            self.left += [SkippedImage(SPLIT, "", reason, name) for reason, name in left]
        return list(found.values())

    def _add(self, writer: Writer, reading: ShardReader, pair: Pair) -> None:
        data = reading.read(pair.shard, pair.image)
        image = self._decoded(reading, pair, data)
        if image is None:
            return
        height, width = image.shape[:2]
        record = {} if pair.record is None else parsed(reading.read(pair.shard, pair.record))
        self.facts["without a record"] += pair.record is None
        self.facts["with a record that is no JSON object"] += record is None
        record = record or {}
        caption = words(record, "short_caption")
        self.facts["without a short_caption"] += caption is None
        given = record.get("height"), record.get("width")
        self.facts["without a size in the record"] += None in given
        self.facts["with another size than the record says"] += None not in given and given != (height, width)
        if caption is not None:
            self.captions.append(caption)
        attributes = {name: text for name in KEPT if (text := words(record, name)) is not None}
        writer.add(SPLIT, Row(sample_id(pair.name), data, height, width, caption=caption, attributes=attributes))
        self.tell(f"draw {writer.counts[SPLIT]}")


def rank(seed: int, name: str) -> bytes:
    """Return an image's place in the draw of a seed: uniform, and independent of the other images."""
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogateescape")).digest()


def sample_id(name: str) -> str:
    """Return the id of an image: its name in the shard, or a digest of a name that no file can have."""
    return name if _ID.fullmatch(name) else hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def parsed(data: bytes) -> dict[str, Any] | None:
    """Return a JSON object, or None for other data."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def words(record: dict[str, Any], name: str) -> str | None:
    """Return a record's text without lone surrogates, or None if it has none."""
    value = record.get(name)
    text = value.encode("utf-8", "replace").decode().strip() if isinstance(value, str) else ""
    return text or None


def summary(manifest: dict[str, Any]) -> list[str]:
    """Return the lines that a user reads about a finished set."""
    draw = manifest["draw"]
    lines = [f"{draw['count']:,} of {draw['of']:,} images of {len(draw['shards'])} shards, seed {draw['seed']}"]
    if chosen := manifest.get("cleanest"):
        lines.append(
            f"the cleanest of {chosen['scored']:,} by {chosen['detector']}: {100 * chosen['mean_fraction_kept']:.3g} % "
            f"of their area predicted as artifact, {100 * chosen['mean_fraction_scored']:.3g} % of all"
        )
    lines.append(f"captions: {manifest['captions']:,} of {draw['count']:,}")
    lines += [f"drawn: {number:,} {what}" for what, number in manifest["records"].items() if number]
    return lines
