"""`folder`: the user's own images as a dataset."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from benchkit.api import BenchkitError, Dataset, Sample, hookimpl, param
from benchkit.datasets.folder.hub import SCHEME, downloaded
from benchkit.datasets.folder.layouts import listed
from benchkit.datasets.folder.records import Listing, Loaded, Stamped, stamped
from benchkit.datasets.folder.tables import Columns
from benchkit.datasets.framing import Framing
from benchkit.paths import expanded

#: Splits that a comparison knows by name, and that a parameter can take from the folder's own.
ROLES = ("pool", "clean", "validation", "test", "wild")
#: What a sample does not depend on: where the folder lies, and what core does with its images.
UNDIGESTED = ("root", "autoencode")


def _role(meaning: str) -> Any:
    return param(None, doc=f"the folder's split that is to be {meaning}; absent: the one of that name")


@dataclass(frozen=True)
class Folder(Dataset):
    """Images of any size in a folder, with masks and captions where there are some: plain files, mmsegmentation's
    img_dir and ann_dir, COCO JSON, or a Hugging Face dataset (Parquet, save_to_disk or hf://datasets/OWNER/NAME).

    Its splits are the folder's own (one, `all`, where it has none); `pool=train,test=val` gives them the names that a
    comparison asks for. A split may be given several: its images are then several samples. The labelled set is drawn
    from those of `pool` that have a mask. An instance lists its folder once.
    """

    name = "folder"
    root: str | None = param(None, doc="the folder, or hf://datasets/OWNER/NAME[@REVISION][/FOLDER]")
    size: int = param(512, ge=8, le=4096, doc="pixels along a side of every image; the checkpoint's factor divides it")
    fit: Literal["resize", "crop", "pad", "tile"] = param(
        "crop", doc="how an image of another size or aspect becomes square"
    )
    layout: Literal["auto", "plain", "mmseg", "coco", "hf"] = param("auto", doc="how the folder is read")
    autoencode: bool = param(  # type: ignore[misc]  # elsewhere it is the class's, here it is the user's
        False, doc="pass the images through the autoencoder once: for photographs, say"
    )
    pool: str | None = _role("`pool`, from which labelled images are drawn")
    clean: str | None = _role("`clean`, which is corrupted")
    validation: str | None = _role("`validation`")
    test: str | None = _role("`test`")
    wild: str | None = _role("`wild`, on which the oracle is trained")
    image_column: str = param("image", doc="of a Hugging Face dataset: the column of the images")
    mask_column: str = param("mask", doc="of the masks, if it has any")
    caption_column: str = param("caption", doc="of the captions, if it has any")

    def splits(self) -> Mapping[str, int]:
        return {split: self._ends(split)[-1] for split in self._sources}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        if split not in self._sources:
            raise BenchkitError(f"{self} has no split '{split}': it has {', '.join(self._sources)}")
        ends = self._ends(split)
        wrong = [index for index in indices if not 0 <= index < ends[-1]]
        if wrong:
            raise BenchkitError(f"split '{split}' of {self} has {ends[-1]} images: there is no {wrong[0]}")
        places = [self._place(ends, index) for index in indices]
        wanted = list(dict.fromkeys(image for image, _ in places))
        loaded = dict(zip(wanted, self._listing.load(self._sources[split], wanted), strict=True))
        return [self._sample(split, loaded[image], window) for image, window in places]

    def labelled(self, count: int, seed: int) -> list[int]:
        import numpy as np

        if "pool" not in self._sources:
            raise BenchkitError(f"{self} has no split 'pool': name one of {', '.join(self._sources)} by pool=SPLIT")
        ends = self._ends("pool")
        starts = [0, *ends[:-1]]
        marked = [i for image in self._listing.marked(self._sources["pool"]) for i in range(starts[image], ends[image])]
        if count > len(marked):
            raise BenchkitError(
                f"{count} labelled images are more than the {len(marked)} with a mask in pool of {self}"
            )
        return sorted(np.random.default_rng(seed).permutation(marked)[:count].tolist())

    def fingerprint(self) -> str:
        return self._fingerprint

    def __str__(self) -> str:
        return f"dataset 'folder' ({self.root})"

    @cached_property
    def _fingerprint(self) -> str:
        """sha256 over every file that is read, the parameters, and the source that makes samples of them."""
        total = hashlib.sha256(_source().encode())
        for parameter in fields(self):
            if parameter.name not in UNDIGESTED:
                total.update(f"{parameter.name}={getattr(self, parameter.name)}\n".encode())
        above = f"{self._root.as_posix()}/"
        files = {file.as_posix().removeprefix(above): file for file in self._listing.files()}
        digests = _digests([stamped(file) for file in files.values()])
        for name, digest in sorted(zip(files, digests, strict=True)):
            total.update(f"{name}\n{digest}\n".encode())
        return total.hexdigest()

    @cached_property
    def _root(self) -> Path:
        if self.root is None:
            raise BenchkitError("dataset 'folder' needs a folder: write folder:root=PATH")
        return downloaded(self.root) if self.root.startswith(SCHEME) else expanded(self.root)

    @cached_property
    def _listing(self) -> Listing:
        return listed(self._root, self.layout, Columns(self.image_column, self.mask_column, self.caption_column))

    @cached_property
    def _sources(self) -> dict[str, str]:
        """Split as it is offered -> the folder's own; those that have been given another name lose theirs."""
        own = sorted(self._listing.counts())
        given = {role: source for role in ROLES if (source := getattr(self, role)) is not None}
        for role, source in given.items():
            if source not in own:
                raise BenchkitError(f"{role}={source}: {self} has no such split: it has {', '.join(own)}")
        kept = {split: split for split in own if split not in given and split not in given.values()}
        return {**given, **kept}

    @cached_property
    def _framing(self) -> Framing:
        return Framing(self.size, self.fit)

    @cached_property
    def _known_ends(self) -> dict[str, list[int]]:
        return {}

    def _ends(self, split: str) -> list[int]:
        """Samples up to and including each image of a split: one an image, or as many as there are windows."""
        source = self._sources[split]
        if source not in self._known_ends:
            if self.fit == "tile":
                windows = [self._framing.windows(*shape) for shape in self._listing.shapes(source)]
            else:
                windows = [1] * self._listing.counts()[source]
            self._known_ends[source] = list(accumulate(windows))
        return self._known_ends[source]

    def _place(self, ends: list[int], index: int) -> tuple[int, int]:
        """The image and its window that a sample is."""
        image = bisect_right(ends, index)
        return image, index - (ends[image - 1] if image else 0)

    def _sample(self, split: str, found: Loaded, window: int) -> Sample:
        try:
            return self._framed(split, found, window)
        except BenchkitError as error:
            raise BenchkitError(f"{self}: image '{split}/{found.name}': {error}") from None

    def _framed(self, split: str, found: Loaded, window: int) -> Sample:
        framing = self._framing
        name = f"{split}/{found.name}" + (f"#{window}" if self.fit == "tile" else "")
        mask = None if found.mask is None else framing.mask(found.mask, window)
        kinds = {kind: framing.mask(marks, window) for kind, marks in found.kinds.items()}
        return Sample(name, framing.image(found.image, window), mask, found.caption, kinds)


#: sha256 of files as they stood: there may be gigabytes of them, and one process asks several times.
_KNOWN: dict[Stamped, str] = {}


def _digests(files: Sequence[Stamped]) -> list[str]:
    missing = [file for file in files if file not in _KNOWN]
    with ThreadPoolExecutor(8) as workers:
        _KNOWN.update(zip(missing, workers.map(_sha256, missing), strict=True))
    return [_KNOWN[file] for file in files]


def _sha256(file: Stamped) -> str:
    with file.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _source() -> str:
    """Of the code that decides a sample: another reading of the same files is another dataset."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *(here.parent / f"{name}.py" for name in ("pictures", "framing", "walk"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [Folder]
