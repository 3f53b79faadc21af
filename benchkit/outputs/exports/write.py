"""Write a training set in one of the formats, with its manifest, its provenance and its card."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from benchkit.errors import BenchkitError
from benchkit.outputs.exports.items import Item
from benchkit.outputs.exports.provenance import card

MANIFEST, PROVENANCE, CARD = "manifest.jsonl", "provenance.json", "README.md"
#: Version of the manifest's lines.
SCHEMA = 1


class Format(Protocol):
    """A layout of files. reading: how to read them, for the card."""

    reading: str

    def write(self, items: Iterable[Item], folder: Path, split: str, facts: Mapping[str, Any]) -> None:
        """Write all items into an empty folder."""
        ...

    def head(self, split: str) -> str:
        """Return the first lines of the card; may be empty."""
        ...


@dataclass
class _WithManifest:
    """Iterate over items; append the manifest's line of each to `lines`."""

    items: Iterable[Item]
    lines: list[str]

    def __iter__(self) -> Iterator[Item]:
        for item in self.items:
            height, width = item.mask.shape
            line = {
                "schema": SCHEMA,
                "name": item.name,
                "id": item.id,
                "split": item.split,
                "part": item.part,
                "caption": item.caption,
                "width": width,
                "height": height,
                "marked": item.annotated,
            }
            line |= {} if item.ignored is None else {"ignored": float(item.ignored.mean())}
            self.lines.append(json.dumps(line, ensure_ascii=False, allow_nan=False))
            yield item


def write_export(items: Iterable[Item], form: Format, folder: Path, split: str, facts: Mapping[str, Any]) -> int:
    """Fill an empty folder and return the number of images; raise BenchkitError if there are none."""
    listed = _WithManifest(items, [])
    form.write(listed, folder, split, facts)
    if not listed.lines:
        raise BenchkitError(f"row '{facts['row']}' of run {facts['run']} has no images: every selection is empty")
    (folder / MANIFEST).write_text("".join(f"{line}\n" for line in listed.lines), "utf-8", "backslashreplace")
    made = sorted({*(path.name for path in folder.iterdir()), PROVENANCE, CARD})
    provenance = json.dumps({**facts, "contents": made}, indent=1, ensure_ascii=False)
    (folder / PROVENANCE).write_text(f"{provenance}\n", "utf-8")
    text = card(facts, len(listed.lines), form.reading.format(split=split), form.head(split))
    (folder / CARD).write_text(text, "utf-8")
    return len(listed.lines)


def contents(folder: Path) -> tuple[str, ...]:
    """Return the names of files that an earlier export in this folder lists as its own."""
    try:
        names = json.loads((folder / PROVENANCE).read_text("utf-8"))["contents"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(name for name in names if isinstance(name, str) and name not in ("", "..") and Path(name).name == name)


def png(pixels: np.ndarray) -> bytes:
    """Return an image (H, W, 3) or (H, W) uint8 as PNG bytes; bool becomes 0 and 255."""
    sink = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels).save(sink, format="PNG")
    return sink.getvalue()
