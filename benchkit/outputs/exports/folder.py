"""The layout of the `folder` dataset: SPLIT/NAME.png, SPLIT/NAME.mask.png, captions beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchkit.outputs.exports.items import Item
from benchkit.outputs.exports.write import png


class FolderFormat:
    """Images and masks side by side, by name."""

    reading = (
        "`{split}/NAME.png`, its mask `{split}/NAME.mask.png` (255 is artifact, 128 is ignored), and where there "
        "is a caption `{split}/NAME.txt`: a folder of images as benchkit's own guide to datasets reads it, "
        "with `ignore=128` where anything is ignored."
    )

    def write(self, items: Iterable[Item], folder: Path, split: str, facts: Mapping[str, Any]) -> None:
        """Write all items; see `benchkit.outputs.exports.write.Format`."""
        (folder / split).mkdir()
        for item in items:
            (folder / split / f"{item.name}.png").write_bytes(png(item.image))
            (folder / split / f"{item.name}.mask.png").write_bytes(png(item.values()))
            if item.caption is not None:
                (folder / split / f"{item.name}.txt").write_text(item.caption, "utf-8")

    def head(self, split: str) -> str:
        """Return nothing: the card has no special first lines."""
        return ""
