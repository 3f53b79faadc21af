"""Which layout a folder has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from benchkit.api import BenchkitError
from benchkit.readers.pictures import SUFFIXES
from benchkit.readers.walk import Walk, suffix_of, walk
from benchkit_plugins.datasets.folder.coco import coco_files, list_coco
from benchkit_plugins.datasets.folder.metadata import list_by_metadata, mask_tables
from benchkit_plugins.datasets.folder.plain import list_plain
from benchkit_plugins.datasets.folder.records import Listing, Stamped, stamped
from benchkit_plugins.datasets.folder.settings import Settings, check_used
from benchkit_plugins.datasets.folder.tables import is_table_folder, list_tables

Layout = Literal["auto", "plain", "mmseg", "coco", "hf"]
#: Nanoseconds that a folder must have been unchanged: more than file systems' clocks are coarse.
STILL = 2_000_000_000
#: Listings with the folders they were made of and the stamps of their tables.
_KEPT: dict[tuple[Path, Path, str, Settings], tuple[Walk, list[Stamped], Listing]] = {}
_LISTERS: dict[str, Callable[[Walk, Settings], Listing]] = {
    "plain": lambda walked, settings: replace(list_plain(walked), masks=settings.masks),
    "metadata": lambda walked, settings: replace(list_by_metadata(walked, settings.columns), masks=settings.masks),
    "mmseg": lambda walked, settings: replace(list_plain(walked, paired=True), masks=settings.masks),
    "coco": lambda walked, settings: list_coco(walked.root, settings.coco, settings.masks.turned),
    "hf": lambda walked, settings: list_tables(walked.root, settings),
}


def listed(root: Path, layout: Layout, settings: Settings) -> Listing:
    """What `root` holds; `auto` tries hf, coco and plain files, in this order.

    A listing is kept while no folder changes: every chunk of a run makes a dataset of its own. Raises BenchkitError for
    a root that is no folder, cannot be read or holds no images.
    """
    try:
        return _kept_or_listed(root, layout, settings)
    except OSError as error:
        raise BenchkitError(f"{error.filename or root}: {error.strerror or error}") from None


def passed_over(root: Path, listing: Listing) -> dict[str, str]:
    """Path below `root` of every file and folder that a listing does not read -> why, in a few words."""
    walked = walk(root)
    read = {file.as_posix() for file in listing.files()}
    left = [file for file in walked.files if (root / file).as_posix() not in read]
    return {**walked.passed, **{file: _reason(file) for file in left}}


def _reason(file: str) -> str:
    suffix = suffix_of(file)
    if suffix in SUFFIXES:
        return "a picture that is not part of the layout"
    if suffix == ".txt":
        return "a text beside no image of its name"
    if suffix in (".csv", ".jsonl"):
        return "no table of captions, or a second one"
    return "not a suffix that is read"


def _kept_or_listed(root: Path, layout: Layout, settings: Settings) -> Listing:
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise BenchkitError(f"root={root}: {what}: name the folder of the images")
    key, walked = (root, root.absolute(), layout, settings), walk(root)
    kept = _KEPT.get(key)
    if kept is not None and kept[0] == walked and kept[1] == _stamps(kept[2]):
        return kept[2]
    found = _listed(walked, layout, settings)
    # A change within a clock tick of the listing would not show: only folders that have been still are kept.
    newest = max(changed for _, changed in walked.folders.values())
    if time.time_ns() - newest > STILL and walked == walk(root):
        _KEPT[key] = walked, _stamps(found), found
    return found


def _stamps(listing: Listing) -> list[Stamped]:
    return [stamped(file) for file in listing.others]


def _listed(walked: Walk, layout: Layout, settings: Settings) -> Listing:
    chosen: str = _found(walked.root) if layout == "auto" else layout
    if chosen == "plain" and mask_tables(walked, settings.columns):
        chosen = "metadata"
    check_used(settings, chosen)
    found = _LISTERS[chosen](walked, settings)
    if not found.counts():
        kinds = ", ".join(SUFFIXES)
        raise BenchkitError(f"root={walked.root}: no images ({kinds}) in a layout that is known: choose one by layout=")
    return found


def _found(root: Path) -> str:
    if is_table_folder(root):
        return "hf"
    return "coco" if coco_files(root) else "plain"
