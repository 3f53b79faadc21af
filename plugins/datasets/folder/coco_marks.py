"""What a COCO file marks on one image: regions, boxes and crowds, in the frame that its width and height state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.api import BenchkitError
from benchkit.readers.headers import Header, Turned, oriented, turn_of
from benchkit_plugins.datasets.folder.regions import check_region, drawn

#: Faults of one image that are written out.
NAMED = 3


@dataclass(frozen=True, slots=True)  # a file may hold a million
class Mark:
    """One annotation. crowd: its pixels count in nothing. place: where it stands in the file."""

    category: str
    segmentation: Any
    box: Any
    crowd: bool
    place: str

    @staticmethod
    def of(entry: Mapping[str, Any], category: str, place: str) -> Mark:
        """Raises BenchkitError for an `iscrowd` or `ignore` that is neither 0 nor 1."""
        flags = [entry.get(key) or 0 for key in ("iscrowd", "ignore")]
        if any(flag not in (0, 1) for flag in flags):
            raise BenchkitError(f"{place}: iscrowd and ignore are 0 or 1")
        return Mark(category, entry.get("segmentation"), entry.get("bbox"), 1 in flags, place)

    def region(self, boxes: bool, where: str) -> Any:
        """The segmentation, or with `boxes` the box where there is none; raises BenchkitError if there is neither."""
        if self.segmentation:
            return self.segmentation
        if not self._has_box():
            raise BenchkitError(f"{where}: no polygon, no RLE and no box: remove the annotation")
        if not boxes:
            raise BenchkitError(
                f"{where}: only a box, no polygon or RLE: set boxes=true to mark whole boxes, or remove the annotation"
            )
        left, top, width, height = self.box
        return [[left, top, left + width, top, left + width, top + height, left, top + height]]

    def _has_box(self) -> bool:
        numbers = (
            isinstance(self.box, list) and len(self.box) == 4 and all(isinstance(v, int | float) for v in self.box)
        )
        return numbers and all(isinstance(v, int) or math.isfinite(v) for v in self.box) and min(self.box[2:]) > 0


@dataclass(frozen=True)
class CocoMarks:
    """The annotations of one image that count.

    size: (height, width) that the file states, None where it does not. boxes, turned: as in CocoRule.
    """

    marks: tuple[Mark, ...]
    size: tuple[int, int] | None
    boxes: bool
    turned: Turned

    @property
    def empty(self) -> bool:
        """Whether nothing is marked; a crowd marks nothing."""
        return all(mark.crowd for mark in self.marks)

    def draw(self, header: Header, where: str) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_] | None]:
        """Kind -> (H, W) bool of the upright picture, and crowds' pixels that no other annotation marks."""
        shape, orientation = self._frame(header, where)
        kinds: dict[str, NDArray[np.bool_]] = {}
        crowd = np.zeros(shape, bool)
        for mark in self.marks:
            at = f"{mark.place} ({where})"
            found = drawn(mark.region(self.boxes, at), shape, at, sure=self.size is not None)
            if mark.crowd:
                crowd |= found
            else:
                kinds[mark.category] = kinds[mark.category] | found if mark.category in kinds else found
        crowd &= ~np.logical_or.reduce([np.zeros(shape, bool), *kinds.values()])
        upright = {kind: oriented(found, orientation) for kind, found in kinds.items()}
        return upright, oriented(crowd, orientation) if crowd.any() else None

    def check(self, header: Header, where: str) -> None:
        """Raise what `draw` would: all faults of the annotations at once."""
        shape, _ = self._frame(header, where)
        faults = []
        for mark in self.marks:
            at = f"{mark.place} ({where})"
            try:
                check_region(mark.region(self.boxes, at), shape, at, sure=self.size is not None)
            except BenchkitError as error:
                faults.append(str(error))
        if faults:
            more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
            raise BenchkitError("; ".join(faults[:NAMED]) + more)

    def _frame(self, header: Header, where: str) -> tuple[tuple[int, int], int]:
        """(height, width) in which the annotations lie, and the orientation that brings them upright."""
        upright, stored = header.shape, header.stored
        if self.size not in (None, upright, stored):
            turned = f" ({_size(stored)} before EXIF turns it)" if upright != stored else ""
            raise BenchkitError(
                f"{where}: the COCO file states {_size(self.size)}, the picture has {_size(upright)}{turned}: give the "
                "picture that was annotated, or scale its annotations and state the picture's own size"
            )
        turn = turn_of(header, self.size, self.turned, "annotation", where) if self.marks else 1
        return (upright if turn == 1 else stored), turn


def _size(shape: tuple[int, int] | None) -> str:
    height, width = shape or (0, 0)
    return f"{width}x{height}"
