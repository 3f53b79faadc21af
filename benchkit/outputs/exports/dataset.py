"""Write a dataset's split as files: images, masks, masks by kind, per-pixel attributes, a manifest, a card."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchkit.api import Dataset, Sample
from benchkit.errors import BenchkitError
from benchkit.outputs.exports.names import Names
from benchkit.plugin.samples import read_samples
from benchkit.report.format_values import one_line
from benchkit.specs.training_sets import CHUNK
from benchkit.system.output_files import explain_write_errors

#: Version of the manifest's lines.
SCHEMA = 1
MANIFEST, CARD = "manifest.jsonl", "README.md"
#: Folders of an export.
ROOMS = ("images", "masks", "kinds", "attributes")

Autoencode = Callable[[np.ndarray], np.ndarray]


@dataclass
class Export:
    """Writes one split to a folder. checkpoint: whose autoencoder the images pass, or None."""

    source: Dataset
    name: str
    split: str
    size: int
    folder: Path
    checkpoint: str | None
    _kinds: Counter[str] = field(default_factory=Counter)
    _fractions: list[float] = field(default_factory=list)
    _unannotated: int = 0
    #: Ids of the samples so far.
    _seen: set[str] = field(default_factory=set)
    #: File names of samples.
    _names: Names = field(default_factory=Names)
    #: Folder names of kinds and of attributes.
    _folders: dict[str, dict[str, str]] = field(default_factory=lambda: {"kinds": {}, "attributes": {}})

    def run(self, autoencode: Autoencode | None) -> Iterator[str]:
        """Write everything; yield each sample's id when its files are written."""
        lines: list[str] = []
        for start in range(0, self.size, CHUNK):
            samples = read_samples(self.source, self.split, range(start, min(start + CHUNK, self.size)))
            images = _autoencoded([np.asarray(sample.image) for sample in samples], autoencode)
            for sample, image in zip(samples, images, strict=True):
                lines.append(json.dumps(self._line(sample, image), ensure_ascii=False, allow_nan=False))
                yield sample.id
        self._write(MANIFEST, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        self._write(CARD, self._card().encode("utf-8"))

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        with explain_write_errors(self.folder.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def _line(self, sample: Sample, image: np.ndarray) -> dict[str, Any]:
        """Write one sample's files; return its line of the manifest."""
        if sample.id in self._seen:
            raise BenchkitError(f"dataset '{self.name}' has two samples '{sample.id}' in split '{self.split}'")
        self._seen.add(sample.id)
        name = self._names.of(sample.id)
        line: dict[str, Any] = {"schema": SCHEMA, "id": sample.id, "image": self._save("images", name, image)}
        line["mask"] = None if sample.mask is None else self._save("masks", name, sample.mask)
        if sample.ignored is not None and sample.ignored.any():
            line["ignored"] = self._save("ignored", name, sample.ignored)
        kinds = {kind: (self._folder_of("kinds", kind), mask) for kind, mask in sample.kinds.items()}
        line["kinds"] = {kind: self._save(folder, name, mask) for kind, (folder, mask) in kinds.items()}
        line["caption"] = sample.caption
        line["attributes"] = self._attributes(sample, name, image.shape[:2])
        self._kinds.update(list(sample.kinds))
        if sample.mask is None:
            self._unannotated += 1
        else:
            counted = sample.mask if sample.ignored is None else sample.mask[~sample.ignored]
            self._fractions.append(float(np.mean(counted)) if counted.size else 0.0)
        return line

    def _folder_of(self, group: str, name: str) -> str:
        """Return the folder of a kind or an attribute; its name is made valid for files."""
        folders = self._folders[group]
        if name not in folders:
            names = Names({used.casefold() for used in folders.values()})
            folders[name] = names.of(name)
        return f"{group}/{folders[name]}"

    def _attributes(self, sample: Sample, file: str, size: tuple[int, ...]) -> dict[str, Any]:
        """Return attributes as plain data; write those with one byte per pixel to files, and return their paths."""
        plain: dict[str, Any] = {}
        for name, value in sample.attributes.items():
            per_pixel = isinstance(value, np.ndarray) and value.shape == size and value.dtype in (np.uint8, np.bool_)
            folder = self._folder_of("attributes", name) if per_pixel else ""
            plain[name] = self._save(folder, file, value, scale=False) if per_pixel else _plain(value)
        return plain

    def _save(self, folder: str, name: str, pixels: np.ndarray, scale: bool = True) -> str:
        """Write an image; return its path relative to the manifest. bool becomes 0 and 255, or 0 and 1 unscaled."""
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * (255 if scale else 1)
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, format="PNG")
        self._write(f"{folder}/{name}.png", sink.getvalue())
        return f"{folder}/{name}.png"

    def _card(self) -> str:
        """Return the dataset card as Markdown; the same for the same export."""
        from benchkit.runs.provenance import get_package_versions

        origin = (
            f"one pass through the autoencoder of checkpoint `{self.checkpoint[:12]}`" if self.checkpoint else "as read"
        )
        masks = len(self._fractions)
        fraction = f"{100 * sum(self._fractions) / masks:.2f} % of their pixels" if masks else "none"
        kinds = [f"| {_cell(kind)} | {number} |" for kind, number in sorted(self._kinds.items())]
        table = ["", "## Samples by kind of artifact", "", "| kind | samples |", "|:--|--:|", *kinds] if kinds else []
        return "\n".join(
            [
                f"# {self.name}, split `{self.split}`",
                "",
                cleandoc(self.source.__doc__ or ""),
                "",
                f"- samples: {self.size} (the first of {self.source.splits()[self.split]})",
                f"- images: {origin}",
                f"- with a mask: {masks}; annotated: {fraction}; empty masks: {sum(not m for m in self._fractions)}",
                f"- without a mask (not annotated): {self._unannotated}",
                f"- dataset fingerprint: `{self.source.fingerprint()}`",
                f"- written by: artifact-benchkit {get_package_versions()['artifact-benchkit']}",
                "",
                "## Files",
                "",
                f"`{MANIFEST}` has one JSON object a line: `schema`, `id`, `image`, `mask` (or null), `kinds` (kind to",
                "mask), `caption`, `attributes`, and `ignored` (a mask) if any pixel is ignored. Paths are",
                "relative to this folder. Masks are 0 and 255;",
                "`attributes/NAME/` holds the attributes that have a value for every pixel. Files are named by id,",
                "folders by kind; characters other than letters, digits, `_` and `-` are `%XX` of their UTF-8 bytes.",
                *table,
                "",
            ]
        )


def _cell(text: str) -> str:
    """Return text for a cell of a Markdown table."""
    return one_line(text).replace("|", "\\|")


def _autoencoded(images: list[np.ndarray], autoencode: Autoencode | None) -> list[np.ndarray]:
    """Return images after their autoencoder pass; images of several sizes pass one by one."""
    if autoencode is None:
        return images
    together = len({image.shape for image in images}) == 1
    batches = [np.stack(images)] if together else [image[None] for image in images]
    return [image for batch in batches for image in autoencode(batch)]


def _plain(value: Any) -> Any:
    """Return a value as plain data for JSON; raise BenchkitError for other types."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BenchkitError(f"an attribute of type {type(value).__name__} is not plain data, so a manifest cannot hold it")
