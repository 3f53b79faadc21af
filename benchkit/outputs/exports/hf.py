"""A folder that `datasets.load_dataset` reads: Parquet files with image and mask columns, and a card."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from benchkit.outputs.exports.items import Item
from benchkit.outputs.exports.write import png

#: Images in a file, and in a row group, which a reader holds in memory at once.
SHARD, GROUP = 1000, 100
_IMAGE = {"_type": "Image"}
_TEXT = {"dtype": "string", "_type": "Value"}
FEATURES = {"image": _IMAGE, "mask": _IMAGE, "id": _TEXT, "caption": _TEXT, "part": _TEXT, "split": _TEXT}


class HfFormat:
    """Parquet with PNG bytes inside."""

    reading = (
        '`data/{split}-00000.parquet` and so on; `datasets.load_dataset("THIS FOLDER")` gives `image` and `mask` (255 '
        "is artifact, 128 is ignored) as pictures, `id`, `caption`, `part` and `split`."
    )

    def write(self, items: Iterable[Item], folder: Path, split: str, facts: Mapping[str, Any]) -> None:
        """Write all items; see `benchkit.outputs.exports.write.Format`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        types = {name: picture if feature is _IMAGE else pa.string() for name, feature in FEATURES.items()}
        info = json.dumps({"info": {"features": FEATURES}}).encode()
        schema = pa.schema(list(types.items()), metadata={b"huggingface": info})
        (folder / "data").mkdir()
        for number, shard in enumerate(_pieces(iter(items), SHARD)):
            with pq.ParquetWriter(folder / "data" / f"{split}-{number:05d}.parquet", schema) as file:
                for group in _pieces(shard, GROUP):
                    file.write_table(pa.Table.from_pylist([_row(item) for item in group], schema=schema))

    def head(self, split: str) -> str:
        """Return the card's metadata for the hub. The licence is `other`, since only the user knows it."""
        lines = ["---", "license: other", "task_categories:", "- image-segmentation", "configs:"]
        lines += ["- config_name: default", "  data_files:", f"  - split: {split}", f"    path: data/{split}-*.parquet"]
        lines += ["dataset_info:", "  features:"]
        kinds = {name: "image" if feature is _IMAGE else "string" for name, feature in FEATURES.items()}
        lines += [line for name, kind in kinds.items() for line in (f"  - name: {name}", f"    dtype: {kind}")]
        # No splits: `datasets` would require their size in memory here, and it counts examples itself.
        return "\n".join([*lines, "---", ""])


def _row(item: Item) -> dict[str, Any]:
    pictures = {"image": item.image, "mask": item.values()}
    encoded = {name: {"bytes": png(a), "path": f"{item.name}.{name}.png"} for name, a in pictures.items()}
    return {**encoded, "id": item.id, "caption": item.caption, "part": item.part, "split": item.split}


def _pieces(items: Iterator[Item], size: int) -> Iterator[Iterator[Item]]:
    """Yield iterators of `size` items each, lazily; use up each one before the next."""
    while (first := next(items, None)) is not None:
        yield _led(first, islice(items, size - 1))


def _led(first: Item, rest: Iterable[Item]) -> Iterator[Item]:
    yield first
    yield from rest
