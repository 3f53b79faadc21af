"""How the files of a folder are read, as its user set it: what of this decides labels, one class a layout."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from benchkit.api import BenchkitError
from benchkit.readers.mask_files import MaskRule


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; those of masks and captions may be absent if they have the default's name."""

    image: str = "image"
    mask: str = "mask"
    caption: str = "caption"


@dataclass(frozen=True)
class CocoRule:
    """What of a COCO file counts.

    categories: names joined by `+`; None: all. boxes: annotations without a region mark their box.
    """

    categories: str | None = None
    boxes: bool = False


@dataclass(frozen=True)
class Settings:
    """All that a layout may ask for."""

    columns: Columns = field(default_factory=Columns)
    masks: MaskRule = field(default_factory=MaskRule)
    coco: CocoRule = field(default_factory=CocoRule)


def check_used(settings: Settings, layout: str) -> None:
    """Raise BenchkitError where something is set that this layout has no use for."""
    unused: dict[str, Any] = {}
    if layout != "coco":
        unused |= _changed(settings.coco, CocoRule())
    if layout == "coco":
        unused |= _changed(settings.masks, MaskRule(turned=settings.masks.turned))
    if layout not in ("hf", "metadata"):
        unused |= {f"{name}_column": value for name, value in _changed(settings.columns, Columns()).items()}
    if unused:
        names = ", ".join(f"{name}={value}" for name, value in unused.items())
        raise BenchkitError(f"{names}: this folder is read as {layout}, which has no use for it: leave it out")


def _changed(given: Any, default: Any) -> dict[str, Any]:
    pairs = ((part.name, getattr(given, part.name), getattr(default, part.name)) for part in fields(given))
    return {name: value for name, value, usual in pairs if value != usual}
