"""A run's training set as files that other programs read: one format a file.

To add a format, write a module with a class like `FolderFormat` (its protocol is `Format` in write.py), and add the
class to FORMATS.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchkit.outputs.exports.write import Format

#: Name of a format -> MODULE:CLASS in this package. A module is imported when its format is used.
FORMATS = {
    "mmseg": "mmseg:MmsegFormat",
    "coco": "coco:CocoFormat",
    "hf": "hf:HfFormat",
    "webdataset": "webdataset:WebDatasetFormat",
    "folder": "folder:FolderFormat",
}


def make_format(name: str) -> Format:
    """Return the format of this name, one of FORMATS."""
    made: Format = resolve_name(f"{__name__}.{FORMATS[name]}")()
    return made
