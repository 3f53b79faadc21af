"""Which split every folder below a root belongs to, and whether it holds masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchkit.readers.pictures import SUFFIXES
from benchkit.readers.walk import Walk, suffix_of
from benchkit_plugins.datasets.folder.roles import (
    folded,
    image_folder_base,
    is_image_folder,
    is_mask_folder,
    mask_folder_base,
    sounds_like_masks,
)


@dataclass(frozen=True)
class Place:
    """parts: the folder's path without those parts of it that only say `images` or `masks`; the first is the split."""

    masks: bool
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Places:
    """by_folder: the place of every folder that is read. pair: whether `root` holds folders of images and of masks."""

    by_folder: dict[str, Place]
    pair: bool


def places_of(walked: Walk) -> Places:
    """The place of every folder, by path below the root (the root itself is ``).

    Where the root holds folders of images and of masks, other folders in it have no place.
    """
    below: dict[str, list[str]] = {folder: [] for folder in walked.folders}
    for folder in walked.folders:
        if folder:
            below[folder.rpartition("/")[0]].append(folder.rpartition("/")[2])
    holding = {file.rpartition("/")[0] for file in walked.files if suffix_of(file) in SUFFIXES}
    found = {"": Place(False, ())}
    images = [name for name in below[""] if is_image_folder(name)]
    pair = bool(images) and any(map(is_mask_folder, below[""]))
    left = [""]
    while left:
        folder = left.pop()
        for name in below[folder]:
            path = f"{folder}/{name}".lstrip("/")
            place = _place(found[folder], name, below[folder], path in holding)
            if pair and not folder and not place.masks and place.parts:
                continue
            found[path] = place
            left.append(path)
    return Places(dict(sorted(found.items())), pair)


def _place(above: Place, name: str, siblings: Sequence[str], holds_pictures: bool) -> Place:
    """The place of a folder, from its name and those of the folders beside it."""
    if is_mask_folder(name):
        return Place(True, above.parts)
    base = mask_folder_base(name)
    if base is not None:
        shown = next((s for s in siblings if s != name and folded(base) in _bases(s)), None)
        if shown is not None:
            return Place(True, (*above.parts, image_folder_base(shown) or shown))
        if any(map(is_image_folder, siblings)):
            return Place(True, above.parts)
        if sounds_like_masks(name):
            return Place(True, (*above.parts, base))
    if is_image_folder(name):
        masks = any(is_mask_folder(one) or mask_folder_base(one) is not None for one in siblings)
        plain = not above.parts and holds_pictures and not masks
        return Place(above.masks, (*above.parts, name) if plain else above.parts)
    base = image_folder_base(name)
    if base is not None and any(folded(mask_folder_base(s) or "") == folded(base) for s in siblings):
        return Place(above.masks, (*above.parts, base))
    return Place(above.masks, (*above.parts, name))


def _bases(name: str) -> set[str]:
    """What a folder of masks beside this folder of images may be named after."""
    return {folded(name), folded(image_folder_base(name) or name)}
