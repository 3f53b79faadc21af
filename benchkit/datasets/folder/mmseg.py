"""mmsegmentation's layout: img_dir/SPLIT/NAME.jpg beside ann_dir/SPLIT/NAME.png."""

from __future__ import annotations

from pathlib import Path

from benchkit.datasets.folder.plain import with_masks
from benchkit.datasets.folder.records import ONLY, FileListing, by_name, folders_in, pictures_in
from benchkit.errors import BenchkitError

#: Folders of images and of masks, in this order; the first pair that is there is read.
PAIRS = (("img_dir", "ann_dir"), ("images", "annotations"), ("images", "masks"))


def pair_in(root: Path) -> tuple[Path, Path] | None:
    """The folders of images and of masks, if `root` has both."""
    pairs = [(root / images, root / masks) for images, masks in PAIRS]
    return next((pair for pair in pairs if pair[0].is_dir() and pair[1].is_dir()), None)


def list_mmseg(root: Path) -> FileListing:
    """Every folder of images is a split, or all is the split `all` where the images have no folders.

    An image without a mask is one that nobody marked. Raises BenchkitError for a mask without an image, and where
    there is no pair of folders.
    """
    pair = pair_in(root)
    if pair is None:
        wanted = ", ".join(f"{images}/ and {masks}/" for images, masks in PAIRS)
        raise BenchkitError(f"{root}: holds no {wanted}: choose another layout")
    images, masks = pair
    flat = any("/" not in picture for picture in pictures_in(images))
    if flat and any(pictures_in(folder) for folder in folders_in(images)):
        raise BenchkitError(f"{images}: pictures lie both in it and in folders of it: move the former into a folder")
    splits = [(ONLY, images, masks)] if flat else [(f.name, f, masks / f.name) for f in folders_in(images)]
    _no_stray_masks(masks, {split for split, *_ in splits}, flat)
    records, others = {}, []
    for split, folder, marked in splits:
        named = by_name(folder, pictures_in(folder))
        marks = by_name(marked, pictures_in(marked)) if marked.is_dir() else {}
        if named or marks:
            records[split], tables = with_masks(folder, named, marks)
            others += tables
    return FileListing(records, tuple(others))


def _no_stray_masks(masks: Path, splits: set[str], flat: bool) -> None:
    """A split of masks alone is a misspelt name."""
    for folder in () if flat else folders_in(masks):
        if folder.name not in splits and pictures_in(folder):
            raise BenchkitError(f"{folder}: masks without images: there is no split '{folder.name}' of images")
