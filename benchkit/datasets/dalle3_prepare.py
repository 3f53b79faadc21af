"""A seeded draw of images out of dalle3-hq's tar shards -> one prepared set."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchkit.datasets.dalle3 import NAME, NOTICE
from benchkit.datasets.pictures import decode_image
from benchkit.datasets.prepared import Left, Row, Writer
from benchkit.datasets.shards import Pair, Reading, Shard, find_shards, pairs_of
from benchkit.errors import BenchkitError

SPLIT = "clean"
#: What is kept of an image's JSON beside its caption, where it is text.
KEPT = ("image_name", "original_prompt", "long_caption", "source")
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,100}", re.ASCII)


@dataclass
class Draw:
    """`count` images by (seed, name), whatever the order of the shards; `run` writes the set, returns the manifest.

    tell: hears of the work, one line each.
    """

    shards: Sequence[str]
    count: int
    seed: int
    tell: Callable[[str], None]
    left: list[Left] = field(default_factory=list)
    facts: Counter[str] = field(default_factory=Counter)
    captions: list[str] = field(default_factory=list)

    def run(self, folder: Path) -> dict[str, Any]:
        """Write the set into an empty folder. Raises BenchkitError for shards that are refused or hold too few."""
        shards = find_shards(self.shards)
        drawn = sorted(self._pairs(shards), key=lambda pair: rank(self.seed, pair.name))
        if len(drawn) < self.count:
            raise BenchkitError(
                f"--count {self.count}: the shards hold {len(drawn)} images: ask for fewer, or name more shards"
            )
        with Writer(folder) as writer, Reading(shards) as reading:
            for pair in drawn:
                if writer.counts[SPLIT] == self.count:
                    break
                self._add(writer, reading, pair, shards[pair.shard])
            if writer.counts[SPLIT] < self.count:
                raise BenchkitError(
                    f"--count {self.count}: only {writer.counts[SPLIT]} of {len(drawn)} images can be read: "
                    "ask for fewer, or name more shards"
                )
            return writer.finish(NAME, self._about(shards, len(drawn)), self.left)

    def _about(self, shards: Sequence[Shard], size: int) -> dict[str, Any]:
        draw = {"seed": self.seed, "count": self.count, "of": size, "shards": [Path(one.path).name for one in shards]}
        return {"licence": NOTICE, "draw": draw, "records": dict(sorted(self.facts.items()))}

    def _pairs(self, shards: Sequence[Shard]) -> list[Pair]:
        """Every image of every shard, each name once; the heads of all shards are read before any image is."""
        found: dict[str, Pair] = {}
        for number, shard in enumerate(shards):
            self.tell(f"look through {shard.path.rpartition('/')[2]}")
            too_large: list[str] = []
            for pair in pairs_of(number, shard, too_large):
                if found.setdefault(pair.name, pair) is not pair:
                    self.left.append(Left(SPLIT, pair.name, "name twice", f"again in {shard.url}"))
            self.left += [Left(SPLIT, "", "too large", name) for name in too_large]
        return list(found.values())

    def _add(self, writer: Writer, reading: Reading, pair: Pair, shard: Shard) -> None:
        data = reading.read(pair.shard, pair.image)
        try:
            height, width = decode_image(data, f"{shard.url}: {pair.name}").shape[:2]
        except BenchkitError as error:
            self.left.append(Left(SPLIT, pair.name, "image does not decode", str(error)))
            return
        record = {} if pair.record is None else parsed(reading.read(pair.shard, pair.record))
        self.facts["without a record"] += pair.record is None
        self.facts["with a record that is no JSON object"] += record is None
        record = record or {}
        caption = words(record, "short_caption")
        self.facts["without a short_caption"] += caption is None
        told = record.get("height"), record.get("width")
        self.facts["without a size in the record"] += None in told
        self.facts["with another size than the record says"] += None not in told and told != (height, width)
        if caption is not None:
            self.captions.append(caption)
        attributes = {name: text for name in KEPT if (text := words(record, name)) is not None}
        writer.add(SPLIT, Row(sample_id(pair.name), data, height, width, caption=caption, attributes=attributes))
        self.tell(f"draw {writer.counts[SPLIT]}")


def rank(seed: int, name: str) -> bytes:
    """Where an image stands in the draw of a seed: uniform, and its own whatever else is there."""
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogateescape")).digest()


def sample_id(name: str) -> str:
    """The id of an image: its name in the shard, or where that is no file's, a digest of it."""
    return name if _ID.fullmatch(name) else hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def parsed(data: bytes) -> dict[str, Any] | None:
    """A JSON object, or None where it is none."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def words(record: dict[str, Any], name: str) -> str | None:
    """A record's text of that name, without a lone surrogate, or None where it has none."""
    value = record.get(name)
    text = value.encode("utf-8", "replace").decode().strip() if isinstance(value, str) else ""
    return text or None


def summary(manifest: dict[str, Any]) -> list[str]:
    """What a user is told of a finished set, a line each."""
    draw = manifest["draw"]
    lines = [f"{draw['count']:,} of {draw['of']:,} images of {len(draw['shards'])} shards, seed {draw['seed']}"]
    lines += [f"drawn: {number:,} {what}" for what, number in manifest["records"].items() if number]
    return lines
