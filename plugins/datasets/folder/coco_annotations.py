"""The annotations of one image in a COCO file: regions, boxes and crowds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.api import BenchkitError
from benchkit.readers.image_headers import Header, Turned, find_orientation, orient_mask
from benchkit_plugins.datasets.folder.regions import check_region, draw_region

#: Number of faults of one image that a message names.
NAMED = 3


@dataclass(frozen=True, slots=True)  # a file may hold a million
class Annotation:
    """One annotation. crowd: its pixels are ignored. place: its position in the file."""

    category: str
    segmentation: Any
    box: Any
    crowd: bool
    place: str

    @staticmethod
    def parse(entry: Mapping[str, Any], category: str, place: str) -> Annotation:
        """Parse an entry; raise BenchkitError for an `iscrowd` or `ignore` that is neither 0 nor 1."""
        flags = [entry.get(key) or 0 for key in ("iscrowd", "ignore")]
        if any(flag not in (0, 1) for flag in flags):
            raise BenchkitError(f"{place}: iscrowd and ignore are 0 or 1")
        return Annotation(category, entry.get("segmentation"), entry.get("bbox"), 1 in flags, place)

    def region(self, boxes: bool, where: str) -> Any:
        """Return the segmentation, or with `boxes` the box if there is none; raise BenchkitError without either."""
        if self.segmentation:
            return self.segmentation
        if not self._has_box():
            raise BenchkitError(f"{where}: no polygon, no RLE and no box: remove the annotation")
        if not boxes:
            raise BenchkitError(
                f"{where}: only a box, no polygon or RLE: set boxes=true to use whole boxes, or remove the annotation"
            )
        left, top, width, height = self.box
        return [[left, top, left + width, top, left + width, top + height, left, top + height]]

    def _has_box(self) -> bool:
        numbers = (
            isinstance(self.box, list) and len(self.box) == 4 and all(isinstance(v, int | float) for v in self.box)
        )
        return numbers and all(isinstance(v, int) or math.isfinite(v) for v in self.box) and min(self.box[2:]) > 0


@dataclass(frozen=True)
class CocoAnnotations:
    """The counted annotations of one image.

    size: (height, width) that the file states, or None. boxes, turned: as in CocoRule.
    """

    annotations: tuple[Annotation, ...]
    size: tuple[int, int] | None
    boxes: bool
    turned: Turned

    @property
    def empty(self) -> bool:
        """Whether no pixel is annotated; crowds are ignored pixels."""
        return all(annotation.crowd for annotation in self.annotations)

    def draw(self, header: Header, where: str) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_] | None]:
        """Return kind -> (H, W) bool of the upright image, and the crowds' pixels outside all other annotations."""
        shape, orientation = self._find_frame(header, where)
        kinds: dict[str, NDArray[np.bool_]] = {}
        crowd = np.zeros(shape, bool)
        for annotation in self.annotations:
            at = f"{annotation.place} ({where})"
            found = draw_region(annotation.region(self.boxes, at), shape, at, sure=self.size is not None)
            if annotation.crowd:
                crowd |= found
            else:
                kinds[annotation.category] = found | kinds.get(annotation.category, np.zeros(shape, bool))
        crowd &= ~np.logical_or.reduce([np.zeros(shape, bool), *kinds.values()])
        upright = {kind: orient_mask(found, orientation) for kind, found in kinds.items()}
        return upright, orient_mask(crowd, orientation) if crowd.any() else None

    def check(self, header: Header, where: str) -> None:
        """Raise the errors of `draw`, all faults of the annotations at once."""
        shape, _ = self._find_frame(header, where)
        faults = []
        for annotation in self.annotations:
            at = f"{annotation.place} ({where})"
            try:
                check_region(annotation.region(self.boxes, at), shape, at, sure=self.size is not None)
            except BenchkitError as error:
                faults.append(str(error))
        if faults:
            more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
            raise BenchkitError("; ".join(faults[:NAMED]) + more)

    def _find_frame(self, header: Header, where: str) -> tuple[tuple[int, int], int]:
        """Return (height, width) in which the annotations were made, and the orientation that turns them upright."""
        upright, stored = header.shape, header.stored
        if self.size not in (None, upright, stored):
            turned = f" ({_size(stored)} before EXIF turns it)" if upright != stored else ""
            raise BenchkitError(
                f"{where}: the COCO file states {_size(self.size)}, the image has {_size(upright)}{turned}: give the "
                "image that was annotated, or scale its annotations and state the image's own size"
            )
        turn = find_orientation(header, self.size, self.turned, "annotation", where) if self.annotations else 1
        return (upright if turn == 1 else stored), turn


def _size(shape: tuple[int, int] | None) -> str:
    height, width = shape or (0, 0)
    return f"{width}x{height}"
