"""Detect the layout of a folder and list it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from benchkit.api import BenchkitError
from benchkit.readers.images import SUFFIXES
from benchkit.readers.walk import Walk, get_suffix, walk
from benchkit_plugins.datasets.folder.coco import find_coco_files, list_coco
from benchkit_plugins.datasets.folder.metadata import find_mask_tables, list_by_metadata
from benchkit_plugins.datasets.folder.plain import list_plain
from benchkit_plugins.datasets.folder.records import Listing, Stamped, stamp
from benchkit_plugins.datasets.folder.settings import Settings, check_used
from benchkit_plugins.datasets.folder.tables import is_table_folder, list_tables

Layout = Literal["auto", "plain", "mmseg", "coco", "hf"]
#: A listing is reused only if its folders were unchanged for this many nanoseconds: clocks of file systems are coarse.
STILL = 2_000_000_000
#: Listings, with their folders and the stamps of their tables.
_KEPT: dict[tuple[Path, Path, str, Settings], tuple[Walk, list[Stamped], Listing]] = {}
_LISTERS: dict[str, Callable[[Walk, Settings], Listing]] = {
    "plain": lambda walked, settings: replace(list_plain(walked), masks=settings.masks),
    "metadata": lambda walked, settings: replace(list_by_metadata(walked, settings.columns), masks=settings.masks),
    "mmseg": lambda walked, settings: replace(list_plain(walked, paired=True), masks=settings.masks),
    "coco": lambda walked, settings: list_coco(walked.root, settings.coco, settings.masks.turned),
    "hf": lambda walked, settings: list_tables(walked.root, settings),
}


def list_folder(root: Path, layout: Layout, settings: Settings) -> Listing:
    """Return the listing of `root`; `auto` tries hf, coco and plain files, in this order.

    A listing is reused while no folder changes, because every chunk of a run makes a new dataset. Raises BenchkitError
    for a root that is not a folder, cannot be read or contains no images.
    """
    try:
        return _list_or_reuse(root, layout, settings)
    except OSError as error:
        raise BenchkitError(f"{error.filename or root}: {error.strerror or error}") from None


def passed_over(root: Path, listing: Listing) -> dict[str, str]:
    """Return path below `root` of every file and folder that a listing does not read -> reason."""
    walked = walk(root)
    read = {file.as_posix() for file in listing.files()}
    unread = [file for file in walked.files if (root / file).as_posix() not in read]
    return {**walked.skipped, **{file: _explain(file) for file in unread}}


def _explain(file: str) -> str:
    suffix = get_suffix(file)
    if suffix in SUFFIXES:
        return "an image that is not part of the layout"
    if suffix == ".txt":
        return "a text without an image of its name"
    if suffix in (".csv", ".jsonl"):
        return "not a table of captions, or a second one"
    return "the suffix is not supported"


def _list_or_reuse(root: Path, layout: Layout, settings: Settings) -> Listing:
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise BenchkitError(f"root={root}: {what}: name the folder of the images")
    key, walked = (root, root.absolute(), layout, settings), walk(root)
    kept = _KEPT.get(key)
    if kept is not None and kept[0] == walked and kept[1] == _stamps(kept[2]):
        return kept[2]
    found = _list_layout(walked, layout, settings)
    # A change within one clock tick of the listing would not be visible.
    newest = max(changed for _, changed in walked.folders.values())
    if time.time_ns() - newest > STILL and walked == walk(root):
        _KEPT[key] = walked, _stamps(found), found
    return found


def _stamps(listing: Listing) -> list[Stamped]:
    return [stamp(file) for file in listing.others]


def _list_layout(walked: Walk, layout: Layout, settings: Settings) -> Listing:
    chosen: str = _detect_layout(walked.root) if layout == "auto" else layout
    if chosen == "plain" and find_mask_tables(walked, settings.columns):
        chosen = "metadata"
    check_used(settings, chosen)
    found = _LISTERS[chosen](walked, settings)
    if not found.counts():
        kinds = ", ".join(SUFFIXES)
        raise BenchkitError(f"root={walked.root}: no images ({kinds}) in a known layout: set layout=")
    return found


def _detect_layout(root: Path) -> str:
    if is_table_folder(root):
        return "hf"
    return "coco" if find_coco_files(root) else "plain"
