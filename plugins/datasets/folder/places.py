"""Find the split of every folder below a root, and whether it contains masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchkit.readers.images import SUFFIXES
from benchkit.readers.masks import MASK_SUFFIXES
from benchkit.readers.walk import Walk, get_suffix
from benchkit_plugins.datasets.folder.roles import (
    fold_name,
    has_plural_mask_word,
    image_folder_base,
    is_image_folder,
    is_mask_folder,
    mask_folder_base,
)


@dataclass(frozen=True)
class Place:
    """The role of a folder. masks: whether it has masks. parts: its path without `images` etc., the split first."""

    masks: bool
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Places:
    """by_folder: the place of every folder that is read. pair: whether `root` has folders of images and of masks."""

    by_folder: dict[str, Place]
    pair: bool


def find_places(walked: Walk) -> Places:
    """Return the place of every folder, by path below the root (the root itself is ``).

    If the root has folders of images and of masks, other folders in it have no place.
    """
    below: dict[str, list[str]] = {folder: [] for folder in walked.folders}
    for folder in walked.folders:
        if folder:
            below[folder.rpartition("/")[0]].append(folder.rpartition("/")[2])
    holding = {file.rpartition("/")[0] for file in walked.files if get_suffix(file) in (*SUFFIXES, *MASK_SUFFIXES)}
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
    """Return the place of a folder, from its name and the names of its siblings."""
    if is_mask_folder(name):
        return Place(True, above.parts)
    base = mask_folder_base(name)
    if base is not None:
        shown = next((s for s in siblings if s != name and fold_name(base) in _bases(s)), None)
        if shown is not None:
            return Place(True, (*above.parts, image_folder_base(shown) or shown))
        if any(map(is_image_folder, siblings)):
            return Place(True, above.parts)
        if has_plural_mask_word(name):
            return Place(True, (*above.parts, base))
    if is_image_folder(name):
        masks = any(is_mask_folder(one) or mask_folder_base(one) is not None for one in siblings)
        plain = not above.parts and holds_pictures and not masks
        return Place(above.masks, (*above.parts, name) if plain else above.parts)
    base = image_folder_base(name)
    if base is not None and any(fold_name(mask_folder_base(s) or "") == fold_name(base) for s in siblings):
        return Place(above.masks, (*above.parts, base))
    return Place(above.masks, (*above.parts, name))


def _bases(name: str) -> set[str]:
    """Return the names from which a folder of masks beside this folder of images may be derived."""
    return {fold_name(name), fold_name(image_folder_base(name) or name)}
