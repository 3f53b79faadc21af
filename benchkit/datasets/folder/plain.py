"""The plain layout: SPLIT/NAME.png, its mask SPLIT/NAME.mask.png or SPLIT/masks/NAME.png, its caption beside it."""

from __future__ import annotations

from pathlib import Path

from benchkit.datasets.folder.captions import captions_of
from benchkit.datasets.folder.records import MASKS, ONLY, FileListing, Record, by_name, folders_in, pictures_in
from benchkit.errors import BenchkitError

ENDING = ".mask"


def list_plain(root: Path) -> FileListing:
    """Every folder in `root` that holds pictures is a split; pictures in `root` itself are the split `all`.

    Raises BenchkitError for a mask without an image, two files of one name, and pictures both in `root` and in
    folders of it.
    """
    flat = any("/" not in picture for picture in pictures_in(root))
    folders = [folder for folder in folders_in(root) if not flat or folder.name != MASKS]
    held = {folder.name: folder for folder in folders if pictures_in(folder)}
    if flat and held:
        first = next(iter(held))
        raise BenchkitError(f"{root}: pictures lie both in it and in '{first}': move the former into a folder")
    splits = {ONLY: root} if flat else held
    records, others = {}, []
    for split, folder in splits.items():
        records[split], tables = _records(folder)
        others += tables
    return FileListing(records, tuple(others))


def _records(folder: Path) -> tuple[tuple[Record, ...], list[Path]]:
    pictures = pictures_in(folder, leave_out=(MASKS,))
    beside = [picture for picture in pictures if picture.rpartition(".")[0].endswith(ENDING)]
    images = by_name(folder, sorted(set(pictures) - set(beside)))
    masks = by_name(folder, beside, ENDING)
    if (folder / MASKS).is_dir():
        for name, file in by_name(folder / MASKS, pictures_in(folder / MASKS)).items():
            if name in masks:
                raise BenchkitError(f"{file}: '{masks[name].name}' is a mask of the same image: keep one of the two")
            masks[name] = file
    return with_masks(folder, images, masks)


def with_masks(folder: Path, images: dict[str, Path], masks: dict[str, Path]) -> tuple[tuple[Record, ...], list[Path]]:
    """The records of images in `folder`, by name, and the tables of captions that were read; raises BenchkitError for
    a mask without an image."""
    for name, file in masks.items():
        if name not in images:
            raise BenchkitError(f"{file}: a mask without an image: there is no '{name}' in {folder}")
    captions, tables = captions_of(folder, images)
    records = [Record(name, file, masks.get(name), captions.get(name)) for name, file in sorted(images.items())]
    return tuple(records), tables
