"""WebDataset shards: tar files of NAME.png, NAME.mask.png and NAME.json, the same bytes for the same images."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchkit.outputs.exports.items import Item
from benchkit.outputs.exports.write import png

#: Images in a shard.
SHARD = 1000


class WebDatasetFormat:
    """Tar files that are read from beginning to end."""

    reading = (
        "`shards/{split}-000000.tar` and so on, as WebDataset reads them: for each image `NAME.png`, `NAME.mask.png` "
        "(255 is artifact, 128 is ignored) and `NAME.json` (`id`, `caption`, `part`, `split`, `width`, `height`)."
    )

    def write(self, items: Iterable[Item], folder: Path, split: str, facts: Mapping[str, Any]) -> None:
        """Write all items; see `benchkit.outputs.exports.write.Format`."""
        (folder / "shards").mkdir()
        shard: tarfile.TarFile | None = None
        try:
            for number, item in enumerate(items):
                if number % SHARD == 0:
                    if shard is not None:
                        shard.close()
                    path = folder / "shards" / f"{split}-{number // SHARD:06d}.tar"
                    shard = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
                assert shard is not None
                for ending, data in _files(item).items():
                    # Time, owner and mode are TarInfo's defaults, so that nothing depends on this machine.
                    entry = tarfile.TarInfo(f"{item.name}.{ending}")
                    entry.size = len(data)
                    shard.addfile(entry, io.BytesIO(data))
        finally:
            if shard is not None:
                shard.close()

    def head(self, split: str) -> str:
        """Return nothing: the card has no special first lines."""
        return ""


def _files(item: Item) -> dict[str, bytes]:
    height, width = item.mask.shape
    facts = {"id": item.id, "caption": item.caption, "part": item.part, "split": item.split}
    text = json.dumps({**facts, "width": width, "height": height}, ensure_ascii=False)
    return {"json": text.encode(), "mask.png": png(item.values()), "png": png(item.image)}
