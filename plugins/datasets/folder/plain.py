"""The layout of plain files: names of files and folders determine images, masks and captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchkit.api import BenchkitError
from benchkit.readers.images import SUFFIXES
from benchkit.readers.masks import MASK_SUFFIXES, NO_MASKS
from benchkit.readers.walk import Walk, get_suffix, raise_faults
from benchkit_plugins.datasets.folder.captions import read_captions
from benchkit_plugins.datasets.folder.lookalikes import find_label_maps
from benchkit_plugins.datasets.folder.places import Place, find_places
from benchkit_plugins.datasets.folder.records import ONLY, FileListing, Record
from benchkit_plugins.datasets.folder.roles import (
    UNDERSTOOD,
    fold_name,
    image_base,
    list_image_names,
    mask_base,
    numbered_mask_base,
)


@dataclass(frozen=True)
class _File:
    """One file: path below the root, name within its split, lower-case suffix, whether its folder is one of masks."""

    path: str
    name: str
    suffix: str
    among_masks: bool

    @property
    def is_image(self) -> bool:
        return self.suffix in SUFFIXES

    @property
    def is_mask(self) -> bool:
        return self.suffix in MASK_SUFFIXES


@dataclass
class _Split:
    """A split while it is listed. images, masks, texts: name of the image -> path; faults: one line each."""

    name: str
    root: Path
    files: list[_File] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def sort(self) -> None:
        """Separate images and masks, then assign every mask to its image."""
        # A file that has a mask of its own name is an image, whatever its name: seg_01.png with masks/seg_01.png.
        have_masks = {file.name for file in self.files if file.among_masks and file.is_mask}
        bases = (None if f.name in have_masks and not f.among_masks else mask_base(f.name) for f in self.files)
        pointed = list(zip(self.files, bases, strict=True))
        for file, base in pointed:
            if file.is_image and not file.among_masks and base is None:
                mask = f"{Path(file.name).name}.mask.png"
                clash = f"has the same name: keep one of the two, or call it {mask} if it is a mask"
                self._add(self.images, file.name, file, clash)
        several = [file for file, base in pointed if base is None and not file.among_masks and self._numbered(file)]
        for file in several:
            self.images.pop(file.name, None)
            self._fault(file, "one of several masks of an image: draw them as one")
        index = _Index.of(self.images)
        # Images come first: if an image has a mask, files of other formats for it are skipped.
        for file, base in sorted(pointed, key=lambda one: not one[0].is_mask):
            if file.among_masks or base is not None:
                self._pair(file, index)
            elif file.suffix == ".txt" and file.name in self.images:
                self.texts[file.name] = file.path

    def _numbered(self, file: _File) -> bool:
        base = numbered_mask_base(file.name)
        return file.is_mask and base is not None and base in self.images

    def _pair(self, file: _File, index: _Index) -> None:
        wanted = list_image_names(file.name)[0 if file.among_masks else 1 :]
        found = index.find(wanted)
        if len(found) > 1:
            names = " and ".join(f"'{self.images[name]}'" for name in found[:2])
            self._fault(file, f"a mask that may belong to {names}: name it after one of them")
        elif not found:
            if file.is_mask or file.suffix not in NO_MASKS:
                self._fault(file, f"a mask without an image: {self._missing(wanted[-1])}")
        elif file.is_mask:
            self._add(self.masks, found[0], file, "is a mask of the same image: keep one of the two")
        elif found[0] not in self.masks and (file.among_masks or file.suffix not in NO_MASKS):
            self._fault(
                file, f"a mask of '{found[0]}' as {file.suffix or 'a file without a suffix'}, which is not read: save "
                "it as PNG"
            )  # fmt: skip

    def _missing(self, name: str) -> str:
        if not self.images:
            return f"there is no split '{self.name}' of images"
        unread = next((f for f in self.files if f.name == name and not f.among_masks and not f.is_image), None)
        also = f", only '{unread.path}', which is not read" if unread else ""
        return f"there is no '{name}' in split '{self.name}'{also}"

    def _add(self, to: dict[str, str], name: str, file: _File, clash: str) -> None:
        if name in to:
            self._fault(file, f"'{to[name]}' {clash}")
        to.setdefault(name, file.path)

    def _fault(self, file: _File, what: str) -> None:
        self.faults.append(f"{self.root / file.path}: {what}")


@dataclass(frozen=True)
class _Index:
    """Names of images by possible names of their masks: exact, folded, and folded without words such as `img_`."""

    indices: tuple[Mapping[str, list[str]], ...]

    @staticmethod
    def of(images: Iterable[str]) -> _Index:
        exact: dict[str, list[str]] = {}
        folded: dict[str, list[str]] = {}
        bare: dict[str, list[str]] = {}
        for name in images:
            exact[name] = [name]
            folded.setdefault(fold_name(name), []).append(name)
            if (base := image_base(name)) is not None:
                bare.setdefault(fold_name(base), []).append(name)
        return _Index((exact, folded, bare))

    def find(self, wanted: Sequence[str]) -> list[str]:
        """Return the images that a mask may belong to, by the first kind of name that matches any."""
        for number, index in enumerate(self.indices):
            for name in wanted:
                if found := index.get(name if number == 0 else fold_name(name)):
                    return found
        return []


def list_plain(walked: Walk, *, paired: bool = False) -> FileListing:
    """Return the images of a folder with their masks and captions, by split.

    A split is a folder in `root`, or in the folder of images beside a folder of masks; images outside of such folders
    are the split `all`. paired: require folders of images and of masks in `root`. Raises BenchkitError, which names the
    first faults, for masks without an image, with an unsupported suffix or of two images; two files of one name; label
    maps that would count as images; unreadable files; and images both in a folder and in its subfolders.
    """
    root, places = walked.root, find_places(walked)
    if paired and not places.pair:
        raise BenchkitError(f"{root}: has no img_dir/ and ann_dir/, or images/ and masks/: choose another layout")
    splits = _sort_files(walked, places.by_folder)
    for split in splits.values():
        split.sort()
    images = {name: split.images for name, split in splits.items() if split.images}
    _check_loose_pictures(root, images)
    faults = [*walked.faults, *(fault for split in splits.values() for fault in split.faults)]
    if any(split.faults for split in splits.values()):
        faults = _add_remedy(faults)
    raise_faults(faults or find_label_maps(root, images))
    records, others = {}, []
    for name in images:
        records[name], tables = _records(splits[name], places.by_folder)
        others += tables
    return FileListing(records, tuple(others), remarks=tuple(_shared_folders(walked, places.by_folder)))


def _add_remedy(faults: list[str]) -> list[str]:
    """Add the supported names once, to the first fault that they may explain."""
    place = next((i for i, fault in enumerate(faults) if "a mask without an image" in fault), None)
    if place is not None:
        faults[place] += f" (masks are {UNDERSTOOD}; rename images with such names)"
    return faults


def _sort_files(walked: Walk, places: Mapping[str, Place]) -> dict[str, _Split]:
    """Return all files that have a place, by split, sorted by path; a folder reached twice is read once."""
    splits: dict[str, _Split] = {}
    twice = _find_linked_twice(walked, places)
    named = _map_image_splits(places)
    for path in walked.files:
        folder, _, last = path.rpartition("/")
        place = places.get(folder)
        if place is None or folder in twice:
            continue
        suffix = get_suffix(last)
        split, *inside = place.parts or (ONLY,)
        if place.masks:
            split = named.get(fold_name(split), split)
        name = "/".join((*inside, last.removesuffix(last[len(last) - len(suffix) :]) if suffix else last))
        held = splits.setdefault(split, _Split(split, walked.root))
        held.files.append(_File(path, name, suffix, place.masks))
    return dict(sorted(splits.items()))


def _map_image_splits(places: Mapping[str, Place]) -> dict[str, str]:
    """Return folded name -> split of images, where it is unique: the folder of its masks may differ in capitals."""
    splits = {place.parts[0] for place in places.values() if place.parts and not place.masks}
    counts = Counter(map(fold_name, splits))
    return {fold_name(split): split for split in splits if counts[fold_name(split)] == 1}


def _find_linked_twice(walked: Walk, places: Mapping[str, Place]) -> set[str]:
    """Return the folders whose content a split already has through a link."""
    if not walked.linked:
        return set()
    seen: dict[tuple[str, bool, tuple[int, int]], str] = {}
    twice = set()
    for folder in sorted(places, key=lambda one: (one in walked.linked, one)):
        place = places[folder]
        key = (place.parts[0] if place.parts else ONLY, place.masks, walked.folders[folder][0])
        if seen.setdefault(key, folder) != folder:
            twice.add(folder)
    return twice


def _shared_folders(walked: Walk, places: Mapping[str, Place]) -> Iterator[str]:
    """Yield a line for every folder of images that several splits reach by links."""
    reached: dict[tuple[int, int], dict[str, str]] = {}
    for folder, place in places.items() if walked.linked else ():
        if place.parts and not place.masks and any(file.startswith(f"{folder}/") for file in walked.files):
            reached.setdefault(walked.folders[folder][0], {}).setdefault(place.parts[0], folder)
    for of_split in reached.values():
        if len(of_split) > 1:
            folders = " and ".join(f"'{folder}'" for folder in of_split.values())
            yield f"splits {' and '.join(of_split)} share images: {folders} are one folder by a link"


def _check_loose_pictures(root: Path, images: Mapping[str, Mapping[str, str]]) -> None:
    """Raise BenchkitError if images lie both beside the splits and inside them."""
    if ONLY in images and len(images) > 1:
        stray = next(path for path in images[ONLY].values() if not path.startswith(f"{ONLY}/"))
        other = next(path for name, paths in images.items() if name != ONLY for path in paths.values())
        folder = (root / stray).parent
        raise BenchkitError(
            f"{folder}: images lie both in it and in folders of it, '{stray}' and '{other}': move the former into a "
            "folder"
        )


def _records(split: _Split, places: Mapping[str, Place]) -> tuple[tuple[Record, ...], list[Path]]:
    """Return the records of a split's images, sorted by name, and the tables of captions that were read."""
    root = split.root
    captions: dict[str, str | Path] = {}
    tables = []
    for folder in _list_folders(split.name, places):
        inside = {name: root / path for name, path in split.images.items() if path.startswith(folder and f"{folder}/")}
        found, read = read_captions(root / folder, inside)
        captions |= found
        tables += read
    captions |= {name: root / path for name, path in split.texts.items()}
    masks = {name: root / path for name, path in split.masks.items()}
    records = (Record(n, root / p, masks.get(n), captions.get(n)) for n, p in sorted(split.images.items()))
    return tuple(records), tables


def _list_folders(split: str, places: Mapping[str, Place]) -> Iterator[str]:
    """Yield the folders of a split's images, in which a table of captions may lie."""
    for folder, place in places.items():
        if not place.masks and (place.parts == (split,) or (not place.parts and split == ONLY)):
            yield folder
