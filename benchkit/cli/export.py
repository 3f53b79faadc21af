"""A dataset's split as files: images, masks, masks by kind, per-pixel attributes, a manifest, a card."""

from __future__ import annotations

import io
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from inspect import cleandoc
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchkit.api import Dataset, Sample
from benchkit.errors import BenchkitError
from benchkit.specs import CHUNK

#: Of the manifest's lines.
SCHEMA = 1
MANIFEST, CARD = "manifest.jsonl", "README.md"
#: Folders of an export.
ROOMS = ("images", "masks", "kinds", "attributes")
_NAME = re.compile(r"[\w][\w.-]*", re.ASCII)

Autoencode = Callable[[np.ndarray], np.ndarray]


@contextmanager
def target(out: Path, force: bool, mark: str = MANIFEST, rooms: Sequence[str] = ROOMS) -> Iterator[Path]:
    """Lend a folder to fill; what is in it appears in `out` when all went well, else nothing changes there.

    mark: the file that an earlier export has. rooms: what of it is removed first. Raises BenchkitError where `out` is
    not an empty folder (with `force`: nor an earlier export), or not writable.
    """
    _check_target(out, force, mark)
    absent = [folder for folder in (out, *out.parents) if not folder.exists()]
    aside = out / f".export-{secrets.token_hex(6)}"
    try:
        with _writing(out):
            aside.mkdir(parents=True)
        yield aside
        with _writing(out):
            for room in rooms:
                (out / room).unlink() if (out / room).is_file() else shutil.rmtree(out / room, ignore_errors=True)
            for made in sorted(aside.iterdir()):
                made.replace(out / made.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):  # a folder that has something in it stays
            for folder in absent:
                folder.rmdir()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BenchkitError(f"cannot write to --out '{out}': {error.strerror or error}; name another folder") from None


def _check_target(out: Path, force: bool, mark: str) -> None:
    if out.exists() and not out.is_dir():
        raise BenchkitError(f"--out '{out}' is a file: name a folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        raise BenchkitError(f"--out '{out}' is not empty: name another folder, or replace an export with --force")
    if not (out / mark).is_file():
        raise BenchkitError(f"--out '{out}' holds other things than an export ({mark} is missing): not replaced")


@dataclass
class Export:
    """One split on its way into a folder. passed: the checkpoint whose autoencoder the images pass, or None."""

    source: Dataset
    name: str
    split: str
    size: int
    folder: Path
    passed: str | None
    _kinds: Counter[str] = field(default_factory=Counter)
    _marked: list[float] = field(default_factory=list)
    _unmarked: int = 0

    def run(self, autoencode: Autoencode | None) -> Iterator[str]:
        """Write everything; yields each sample's id when its files are there."""
        lines: list[str] = []
        for start in range(0, self.size, CHUNK):
            samples = self.source.read(self.split, range(start, min(start + CHUNK, self.size)))
            images = _passed([np.asarray(sample.image) for sample in samples], autoencode)
            for sample, image in zip(samples, images, strict=True):
                lines.append(json.dumps(self._line(sample, image), ensure_ascii=False, allow_nan=False))
                yield sample.id
        self._write(MANIFEST, "".join(f"{line}\n" for line in lines).encode("utf-8"))
        self._write(CARD, self._card().encode("utf-8"))

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        with _writing(self.folder.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def _line(self, sample: Sample, image: np.ndarray) -> dict[str, Any]:
        """Write one sample's files; its line of the manifest."""
        line: dict[str, Any] = {"schema": SCHEMA, "id": sample.id, "image": self._save("images", sample, image)}
        line["mask"] = None if sample.mask is None else self._save("masks", sample, sample.mask)
        line["kinds"] = {kind: self._save(f"kinds/{kind}", sample, mask) for kind, mask in sample.kinds.items()}
        line["caption"] = sample.caption
        line["attributes"] = self._attributes(sample, image.shape[:2])
        self._kinds.update(list(sample.kinds))
        if sample.mask is None:
            self._unmarked += 1
        else:
            self._marked.append(float(np.mean(sample.mask)))
        return line

    def _attributes(self, sample: Sample, size: tuple[int, ...]) -> dict[str, Any]:
        """Attributes as plain data; one that has a byte for every pixel goes into a file, and is named by its path."""
        plain: dict[str, Any] = {}
        for name, value in sample.attributes.items():
            per_pixel = isinstance(value, np.ndarray) and value.shape == size and value.dtype in (np.uint8, np.bool_)
            plain[name] = self._save(f"attributes/{name}", sample, value, scale=False) if per_pixel else _plain(value)
        return plain

    def _save(self, room: str, sample: Sample, pixels: np.ndarray, scale: bool = True) -> str:
        """Write a picture and return its path from the manifest; bool becomes 0 and 255, or 0 and 1 unscaled."""
        if not all(_NAME.fullmatch(part) for part in (*room.split("/"), sample.id)):
            raise BenchkitError(f"sample '{sample.id}' of dataset '{self.name}' has a name ({room}) that is no file's")
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * (255 if scale else 1)
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, format="PNG")
        self._write(f"{room}/{sample.id}.png", sink.getvalue())
        return f"{room}/{sample.id}.png"

    def _card(self) -> str:
        """The dataset card, Markdown; the same for the same export."""
        from benchkit.environment import versions

        passed = f"one pass through the autoencoder of checkpoint `{self.passed[:12]}`" if self.passed else "as read"
        marked = len(self._marked)
        share = f"{100 * sum(self._marked) / marked:.2f} % of their pixels" if marked else "none"
        kinds = [f"| {kind} | {number} |" for kind, number in sorted(self._kinds.items())]
        table = ["", "## Samples by kind of artifact", "", "| kind | samples |", "|:--|--:|", *kinds] if kinds else []
        return "\n".join(
            [
                f"# {self.name}, split `{self.split}`",
                "",
                cleandoc(self.source.__doc__ or ""),
                "",
                f"- samples: {self.size} (the first of {self.source.splits()[self.split]})",
                f"- images: {passed}",
                f"- with a mask: {marked}; marked: {share}; without any mark: {sum(not m for m in self._marked)}",
                f"- without a mask (nobody looked): {self._unmarked}",
                f"- dataset fingerprint: `{self.source.fingerprint()}`",
                f"- written by: artifact-benchkit {versions()['artifact-benchkit']}",
                "",
                "## Files",
                "",
                f"`{MANIFEST}` has one JSON object a line: `schema`, `id`, `image`, `mask` (or null), `kinds` (kind to",
                "mask), `caption`, `attributes`. Paths are relative to this folder. Masks are 0 and 255;",
                "`attributes/NAME/` holds the attributes that have a value for every pixel.",
                *table,
                "",
            ]
        )


def _passed(images: list[np.ndarray], autoencode: Autoencode | None) -> list[np.ndarray]:
    """Images after their autoencoder pass; those of several sizes pass one by one."""
    if autoencode is None:
        return images
    together = len({image.shape for image in images}) == 1
    batches = [np.stack(images)] if together else [image[None] for image in images]
    return [image for batch in batches for image in autoencode(batch)]


def _plain(value: Any) -> Any:
    """Plain data for JSON; raises BenchkitError for anything else."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BenchkitError(f"an attribute of type {type(value).__name__} is no plain data: a manifest cannot hold it")
