"""How a folder is read: the user's settings, one class per layout."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from benchkit.api import BenchkitError
from benchkit.readers.masks import MaskRule


@dataclass(frozen=True)
class Columns:
    """The columns of images, masks and captions; those of masks and captions may be missing under the default name."""

    image: str = "image"
    mask: str = "mask"
    caption: str = "caption"


@dataclass(frozen=True)
class CocoRule:
    """Which annotations of a COCO file count.

    categories: names joined by `+`; None for all. boxes: use the box of an annotation without a region.
    """

    categories: str | None = None
    boxes: bool = False


@dataclass(frozen=True)
class Settings:
    """The settings of all layouts."""

    columns: Columns = field(default_factory=Columns)
    masks: MaskRule = field(default_factory=MaskRule)
    coco: CocoRule = field(default_factory=CocoRule)


def check_used(settings: Settings, layout: str) -> None:
    """Raise BenchkitError for a setting that this layout does not use."""
    unused: dict[str, Any] = {}
    if layout != "coco":
        unused |= _changed(settings.coco, CocoRule())
    if layout == "coco":
        unused |= _changed(settings.masks, MaskRule(turned=settings.masks.turned))
    if layout not in ("hf", "metadata"):
        unused |= {f"{name}_column": value for name, value in _changed(settings.columns, Columns()).items()}
    if unused:
        names = ", ".join(f"{name}={value}" for name, value in unused.items())
        raise BenchkitError(f"{names}: this folder is read as {layout}, which does not use it: remove it")


def _changed(given: Any, default: Any) -> dict[str, Any]:
    pairs = ((part.name, getattr(given, part.name), getattr(default, part.name)) for part in fields(given))
    return {name: value for name, value, usual in pairs if value != usual}
