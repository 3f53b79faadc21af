"""mmsegmentation's layout: img_dir, ann_dir with class ids, and a config that names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchkit.outputs.exports.items import Item
from benchkit.outputs.exports.write import png
from benchkit.training.augmentation import IGNORED

CLASSES = ("background", "artifact")
CONFIG = "dataset.py"
_TEXT = """\
# For mmsegmentation: `_base_ = ["THIS FOLDER/dataset.py"]`, and two classes in the model's heads.
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="BaseSegDataset",
        data_root="{{{{ fileDirname }}}}",
        data_prefix=dict(img_path="img_dir/{split}", seg_map_path="ann_dir/{split}"),
        img_suffix=".png",
        seg_map_suffix=".png",
        reduce_zero_label=False,
        metainfo=dict(classes={classes!r}, palette=[[0, 0, 0], [255, 157, 46]]),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackSegInputs"),
        ],
    ),
)
"""


class MmsegFormat:
    """Images and label maps in two folders, by name."""

    reading = (
        "`img_dir/{split}/NAME.png` and `ann_dir/{split}/NAME.png`, one byte a pixel: 0 is background, 1 artifact, "
        f"255 ignored; captions are `NAME.txt` beside the images. `{CONFIG}` is a config for mmsegmentation."
    )

    def write(self, items: Iterable[Item], folder: Path, split: str, facts: Mapping[str, Any]) -> None:
        """Write all items; see `benchkit.outputs.exports.write.Format`."""
        for room in ("img_dir", "ann_dir"):
            (folder / room / split).mkdir(parents=True)
        for item in items:
            (folder / "img_dir" / split / f"{item.name}.png").write_bytes(png(item.image))
            (folder / "ann_dir" / split / f"{item.name}.png").write_bytes(png(item.values(artifact=1, ignored=IGNORED)))
            if item.caption is not None:  # mmsegmentation reads .png only; the `folder` dataset reads it
                (folder / "img_dir" / split / f"{item.name}.txt").write_text(item.caption, "utf-8")
        (folder / CONFIG).write_text(_TEXT.format(split=split, classes=CLASSES), "utf-8")

    def head(self, split: str) -> str:
        """Return nothing: the card has no special first lines."""
        return ""
