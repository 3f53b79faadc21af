"""`folder`: the user's own images as a dataset."""

from __future__ import annotations

import hashlib
import unicodedata
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from benchkit import readers
from benchkit.api import BenchkitError, Dataset, ImageFacts, Sample, hookimpl, param
from benchkit.readers.framing import Framing
from benchkit.readers.masks import MaskRule
from benchkit.readers.walk import expand_path
from benchkit_plugins.datasets.folder.hub import SCHEME, download
from benchkit_plugins.datasets.folder.layouts import list_folder, passed_over
from benchkit_plugins.datasets.folder.records import Facts, Listing, Loaded, Stamped, stamp
from benchkit_plugins.datasets.folder.settings import CocoRule, Columns, Settings

#: Splits of a comparison; a parameter maps each to one of the folder's own splits.
ROLES = ("pool", "clean", "validation", "test", "wild")
#: The consequence if one of them has the same images as `test`.
LEAKS = {
    "pool": "detectors are trained on the test images",
    "clean": "detectors are trained on corrupted copies of the test images",
    "validation": "the threshold is chosen on the images that it is measured on",
    "wild": "the oracle is trained on the test images",
}
#: Parameters that do not change a sample: the place of the folder, and what core does with its images.
UNDIGESTED = ("root", "autoencode")


def _role(meaning: str) -> Any:
    return param(None, doc=f"the folder's split that is used as {meaning}; absent: the one of that name")


@dataclass(frozen=True)
class Folder(Dataset):
    """A folder of images of any size, with their masks and captions if there are any.

    It reads plain files, mmsegmentation's img_dir and ann_dir, COCO JSON, and Hugging Face datasets (Parquet,
    save_to_disk or hf://datasets/OWNER/NAME). Its splits are the folder's own (`all` if it has none); `pool=train`
    gives a split another name. A split may have several names, whose samples are then different samples. Images are
    shuffled in a fixed order, so the first ones of a split are a random draw. The labelled set is drawn from the images
    of `pool` that have a mask. An instance lists its folder once.
    """

    name = "folder"
    root: str | None = param(None, doc="the folder, or hf://datasets/OWNER/NAME[@REVISION][/FOLDER]")
    size: int = param(512, ge=8, le=4096, doc="side of the images in pixels; a multiple of the checkpoint's factor")
    fit: Literal["resize", "crop", "pad", "tile"] = param(
        "crop", doc="how an image of another size or aspect ratio becomes square"
    )
    layout: Literal["auto", "plain", "mmseg", "coco", "hf"] = param("auto", doc="how the folder is read")
    order: Literal["shuffled", "name"] = param(
        "shuffled",
        doc="order of a split's images: by a hash of the name, or by name (of a table: by row)",
    )
    autoencode: bool = param(  # type: ignore[misc]  # a class variable of Dataset, here a parameter
        False, doc="pass the images through the autoencoder once, for example photographs"
    )
    pool: str | None = _role("`pool`, from which labelled images are draw_region")
    clean: str | None = _role("`clean`, which is corrupted")
    validation: str | None = _role("`validation`")
    test: str | None = _role("`test`")
    wild: str | None = _role("`wild`, on which the oracle is trained")
    image_column: str = param("image", doc="Hugging Face dataset: the column of the images")
    mask_column: str = param("mask", doc="Hugging Face dataset: the column of the masks, if it has any")
    caption_column: str = param("caption", doc="Hugging Face dataset: the column of the captions, if it has any")
    ignore: int | None = param(None, ge=0, le=65535, doc="mask value of ignored pixels (255 in most label maps)")
    background: int | None = param(
        None,
        ge=0,
        le=65535,
        doc="masks are label maps: this value is background, all others are artifacts; absent: 0 and one other value",
    )
    categories: str | None = param(None, doc="COCO: categories that are artifacts, such as hand+face; absent: all")
    boxes: bool = param(False, doc="COCO: use the whole box of an annotation that has only a box")
    turned: Literal["auto", "upright", "stored"] = param(
        "auto",
        doc="EXIF rotation: masks were made on the upright or on the stored image; auto: decided by size",
    )

    def splits(self) -> Mapping[str, int]:
        return {split: self._ends(split)[-1] for split in self._sources}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        places = self._places(split, indices)
        wanted = list(dict.fromkeys(image for image, _ in places))
        source, order = self._sources[split], self._order(split)
        files = self._listing.load(source, [order[image] for image in wanted])
        loaded = dict(zip(wanted, files, strict=True))
        return [self._sample(split, loaded[image], window) for image, window in places]

    def inspect(self, split: str, indices: Sequence[int]) -> list[ImageFacts]:
        places = self._places(split, indices)
        wanted = list(dict.fromkeys(image for image, _ in places))
        source, order = self._sources[split], self._order(split)
        facts = dict(zip(wanted, self._listing.facts(source, [order[image] for image in wanted]), strict=True))
        return [self._facts(split, facts[image], window) for image, window in places]

    def labelled(self, count: int, seed: int) -> list[int]:
        if "pool" not in self._sources:
            own = ", ".join(self._sources)
            raise BenchkitError(f"{self} has no split 'pool': it has {own}: {self.remedy('pool')}")
        ends, order = self._ends("pool"), self._order("pool")
        source, starts = self._sources["pool"], [0, *ends[:-1]]
        names, annotated = self._listing.names(source), set(self._listing.annotated(source))
        # Ranked by hashes of the names, as the order is: one more file changes the draw by at most one image.
        ranks = {
            index: hash_name(f"{seed}\n{index - starts[place]}\n{names[image]}")
            for place, image in enumerate(order)
            if image in annotated
            for index in range(starts[place], ends[place])
        }
        if count > len(ranks):
            raise BenchkitError(f"{count} labelled images are more than the {len(ranks)} with a mask in pool of {self}")
        return sorted(sorted(ranks, key=ranks.__getitem__)[:count])

    def remedy(self, split: str) -> str | None:
        if split not in ROLES:
            return None
        return f"give one of its splits this name, too, as in folder:root=…,{split}={min(self._listing.counts())}"

    def file_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        return self._listing.known_sizes(self._sources[split])

    def provenance(self) -> dict[str, str]:
        """Return the categories that count as artifacts, by default all of the files."""
        counted = self._listing.categories
        return {"categories": ", ".join(sorted(counted))} if counted else {}

    def passed_over(self) -> Mapping[str, str]:
        return passed_over(self._root, self._listing)

    def remarks(self, splits: Collection[str]) -> list[str]:
        of_source: dict[str, list[str]] = {}
        for split in (one for one in (*ROLES, *self._sources) if one in splits and one in self._sources):
            names = of_source.setdefault(self._sources[split], [])
            names += [split] if split not in names else []
        lines = list(self._listing.remarks)
        for source, names in of_source.items():
            leaks = [LEAKS[name] for name in names if name in LEAKS and "test" in names]
            if len(names) > 1:
                line = f"{', '.join(names[:-1])} and {names[-1]} are the same images, the folder's '{source}'"
                lines.append(f"{line}: {'; '.join(leaks)}" if leaks else line)
        return lines

    def fingerprint(self) -> str:
        return self._fingerprint

    def __str__(self) -> str:
        return f"dataset 'folder' ({self.root})"

    @cached_property
    def _fingerprint(self) -> str:
        """sha256 of every file that is read, the parameters, and the source code that makes samples of them."""
        total = hashlib.sha256(_hash_source().encode())
        for parameter in fields(self):
            if parameter.name not in UNDIGESTED:
                total.update(f"{parameter.name}={getattr(self, parameter.name)}\n".encode())
        above = f"{self._root.as_posix()}/"
        files = {file.as_posix().removeprefix(above): file for file in self._listing.files()}
        digests = _compute_digests([stamp(file) for file in files.values()])
        for name, digest in sorted(zip(files, digests, strict=True)):
            total.update(f"{name}\n{digest}\n".encode())
        return total.hexdigest()

    @cached_property
    def _root(self) -> Path:
        if self.root is None:
            raise BenchkitError("dataset 'folder' needs a folder: write folder:root=PATH")
        return download(self.root) if self.root.startswith(SCHEME) else expand_path(self.root)

    @cached_property
    def _listing(self) -> Listing:
        return list_folder(self._root, self.layout, self._settings)

    @cached_property
    def _settings(self) -> Settings:
        if self.ignore is not None and self.ignore == (self.background or 0):
            raise BenchkitError(
                f"ignore={self.ignore}: this is the background's value, too: set another one, such as "
                f"background={int(self.ignore == 0)}"
            )
        return Settings(
            Columns(self.image_column, self.mask_column, self.caption_column),
            MaskRule(self.ignore, self.background, self.turned),
            CocoRule(self.categories, self.boxes),
        )

    @cached_property
    def _sources(self) -> dict[str, str]:
        """Name of a split -> the folder's own split; a split of the folder may have further names."""
        own = sorted(self._listing.counts())
        given = {role: source for role in ROLES if (source := getattr(self, role)) is not None}
        if unknown := [f"{role}={source}" for role, source in given.items() if source not in own]:
            raise BenchkitError(f"{', '.join(unknown)}: {self} has no such split: it has {', '.join(own)}")
        return dict(sorted({**dict(zip(own, own, strict=True)), **given}.items()))

    def _order(self, split: str) -> Sequence[int]:
        """Return the images of a split as numbers of the listing, in the order of the samples."""
        names = tuple(self._listing.names(self._sources[split]))
        return shuffle(names) if self.order == "shuffled" else range(len(names))

    @cached_property
    def _framing(self) -> Framing:
        return Framing(self.size, self.fit)

    @cached_property
    def _ends_by_source(self) -> dict[str, list[int]]:
        return {}

    def _ends(self, split: str) -> list[int]:
        """Return the number of samples up to and including each image of a split: one per image, or per window."""
        source = self._sources[split]
        if source not in self._ends_by_source:
            if self.fit == "tile":
                shapes = self._listing.shapes(source)
                windows = [self._framing.windows(*shapes[image]) for image in self._order(split)]
            else:
                windows = [1] * self._listing.counts()[source]
            self._ends_by_source[source] = list(accumulate(windows))
        return self._ends_by_source[source]

    def _places(self, split: str, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Return the image and the window of each sample; raise BenchkitError for a sample that does not exist."""
        if split not in self._sources:
            raise BenchkitError(f"{self} has no split '{split}': it has {', '.join(self._sources)}")
        ends = self._ends(split)
        wrong = [index for index in indices if not 0 <= index < ends[-1]]
        if wrong:
            raise BenchkitError(f"split '{split}' of {self} has {ends[-1]} images: there is no number {wrong[0]}")
        images = [bisect_right(ends, index) for index in indices]
        return [
            (image, index - (ends[image - 1] if image else 0)) for image, index in zip(images, indices, strict=True)
        ]

    def _name(self, split: str, name: str, window: int) -> str:
        return f"{split}/{name}" + (f"#{window}" if self.fit == "tile" else "")

    def _facts(self, split: str, found: Facts, window: int) -> ImageFacts:
        name, shape = self._name(split, found.name, window), (self.size, self.size)
        return ImageFacts(name, shape, found.labelled, found.fault, found.captioned, found.positive)

    def _sample(self, split: str, found: Loaded, window: int) -> Sample:
        try:
            return self._framed(split, found, window)
        except BenchkitError as error:
            raise BenchkitError(f"{self}: image '{split}/{found.name}': {error}") from None

    def _framed(self, split: str, found: Loaded, window: int) -> Sample:
        framing = self._framing
        ignored = None if found.ignored is None else framing.mask(found.ignored, window)
        counted = True if ignored is None else ~ignored
        mask = None if found.mask is None else framing.mask(found.mask, window) & counted
        kinds = {kind: framing.mask(pixels, window) & counted for kind, pixels in found.kinds.items()}
        name, image = self._name(split, found.name, window), framing.image(found.image, window)
        return Sample(name, image, mask, found.caption, kinds, ignored=ignored)


@lru_cache(maxsize=64)
def shuffle(names: tuple[str, ...]) -> list[int]:
    """Return the indices of names, sorted by a hash of each: the order is the same on every machine."""
    return sorted(range(len(names)), key=lambda index: (hash_name(names[index]), names[index]))


def hash_name(name: str) -> bytes:
    """Return the sha256 of a name, independent of the composition of its accents."""
    composed = name if name.isascii() else unicodedata.normalize("NFC", name)
    return hashlib.sha256(composed.encode()).digest()


#: sha256 of files that have not changed; there may be gigabytes of them, and one process needs it several times.
_KNOWN: dict[Stamped, str] = {}


def _compute_digests(files: Sequence[Stamped]) -> list[str]:
    missing = [file for file in files if file not in _KNOWN]
    with ThreadPoolExecutor(8) as workers:
        _KNOWN.update(zip(missing, workers.map(_sha256, missing), strict=True))
    return [_KNOWN[file] for file in files]


def _sha256(file: Stamped) -> str:
    with file.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _hash_source() -> str:
    """Return the sha256 of the code that reads samples: another way to read the same files is another dataset."""
    here = Path(__file__).parent
    shared = ("images", "image_headers", "masks", "framing", "walk")
    read_by = Path(str(readers.__file__)).parent
    files = [*sorted(here.glob("*.py")), *(read_by / f"{name}.py" for name in shared)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [Folder]
