"""Which layout a folder has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from benchkit.datasets.folder.coco import coco_files, list_coco
from benchkit.datasets.folder.mmseg import list_mmseg, pair_in
from benchkit.datasets.folder.plain import list_plain
from benchkit.datasets.folder.records import Listing
from benchkit.datasets.folder.tables import Columns, is_table_folder, list_tables
from benchkit.errors import BenchkitError

Layout = Literal["auto", "plain", "mmseg", "coco", "hf"]


_LISTERS: dict[str, Callable[[Path, Columns], Listing]] = {
    "plain": lambda root, _: list_plain(root),
    "mmseg": lambda root, _: list_mmseg(root),
    "coco": lambda root, _: list_coco(root),
    "hf": list_tables,
}


def listed(root: Path, layout: Layout, columns: Columns) -> Listing:
    """What `root` holds; `auto` tries hf, coco, mmseg and plain, in this order.

    Raises BenchkitError for a root that is no folder, cannot be read or holds no images.
    """
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise BenchkitError(f"root={root}: {what}: name the folder of the images")
    try:
        found = _LISTERS[_found(root) if layout == "auto" else layout](root, columns)
    except OSError as error:
        raise BenchkitError(f"{error.filename or root}: {error.strerror or error}") from None
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
