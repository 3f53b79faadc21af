"""Which layout a folder has."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from benchkit.datasets.folder.coco import coco_files, list_coco
from benchkit.datasets.folder.mmseg import list_mmseg, pair_in
from benchkit.datasets.folder.plain import list_plain
from benchkit.datasets.folder.records import Listing, Stamped, stamped
from benchkit.datasets.folder.tables import Columns, is_table_folder, list_tables
from benchkit.errors import BenchkitError

Layout = Literal["auto", "plain", "mmseg", "coco", "hf"]
#: Nanoseconds that a folder must have been unchanged: more than file systems' clocks are coarse.
STILL = 2_000_000_000
#: Listings with the times of their folders and the stamps of their tables.
_KEPT: dict[tuple[Path, Path, str, Columns], tuple[dict[str, int], list[Stamped], Listing]] = {}
_LISTERS: dict[str, Callable[[Path, Columns], Listing]] = {
    "plain": lambda root, _: list_plain(root),
    "mmseg": lambda root, _: list_mmseg(root),
    "coco": lambda root, _: list_coco(root),
    "hf": list_tables,
}


def listed(root: Path, layout: Layout, columns: Columns) -> Listing:
    """What `root` holds; `auto` tries hf, coco, mmseg and plain, in this order.

    A listing is kept while no folder changes: every chunk of a run makes a dataset of its own. Raises BenchkitError for
    a root that is no folder, cannot be read or holds no images.
    """
    try:
        return _kept_or_listed(root, layout, columns)
    except OSError as error:
        raise BenchkitError(f"{error.filename or root}: {error.strerror or error}") from None


def _kept_or_listed(root: Path, layout: Layout, columns: Columns) -> Listing:
    key, before = (root, root.absolute(), layout, columns), _folders(root)
    kept = _KEPT.get(key)
    if kept is not None and kept[0] == before and kept[1] == _stamps(kept[2]):
        return kept[2]
    found = _listed(root, layout, columns)
    # A change within a clock tick of the listing would not show: only folders that have been still are kept.
    if time.time_ns() - max(before.values()) > STILL and before == _folders(root):
        _KEPT[key] = before, _stamps(found), found
    return found


def _folders(root: Path) -> dict[str, int]:
    """Every folder below `root` with the time of its last change: of a file that came, went or changed its name."""
    found: dict[str, int] = {}
    left = [os.fspath(root)]
    while left and os.path.isdir(left[-1]):  # noqa: PTH112
        folder = left.pop()
        found[folder] = os.stat(folder).st_mtime_ns  # noqa: PTH116
        with os.scandir(folder) as entries:
            # A link to a folder is followed where it stands for a split, as the layouts do.
            left += [e.path for e in entries if e.is_dir(follow_symlinks=folder == os.fspath(root))]
    return found


def _stamps(listing: Listing) -> list[Stamped]:
    return [stamped(file) for file in listing.others]


def _listed(root: Path, layout: Layout, columns: Columns) -> Listing:
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise BenchkitError(f"root={root}: {what}: name the folder of the images")
    found = _LISTERS[_found(root) if layout == "auto" else layout](root, columns)
    if not found.counts():
        raise BenchkitError(
            f"root={root}: no images (.png, .jpg, .webp or .tif) in a layout that is known: choose one by layout="
        )
    return found


def _found(root: Path) -> str:
    if is_table_folder(root):
        return "hf"
    if coco_files(root):
        return "coco"
    return "mmseg" if pair_in(root) else "plain"
