"""Faces, found by OpenCV's Haar cascades (Viola and Jones 2001); for photographs, without training or labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.api import RegionSelector, SelectionContext, hookimpl, param

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def cascade_file(name: str) -> Path | None:
    """Return the file of a cascade that ships with OpenCV, or None if this version has none."""
    import cv2

    file = Path(getattr(getattr(cv2, "data", None), "haarcascades", "")) / f"haarcascade_{name}.xml"
    return file if hasattr(cv2, "CascadeClassifier") and file.is_file() else None


@dataclass(frozen=True)
class Faces(RegionSelector):
    """Selects the faces that a Haar cascade finds (Viola and Jones 2001), as rectangles with a margin.

    Nothing is selected in an image without a face.
    """

    name = "faces"
    cascade: str = param(
        "frontalface_default",
        choices=("frontalface_default", "frontalface_alt", "frontalface_alt2", "profileface"),
        doc="cascade of OpenCV",
    )
    scale_step: float = param(1.1, gt=1, le=2, doc="factor between two sizes of the search")
    neighbours: int = param(
        3, ge=0, le=100, doc="overlapping detections that make a face; a higher number finds fewer faces"
    )
    smallest: float = param(0.1, gt=0, le=1, doc="size of the smallest face, as a fraction of the image's shorter side")
    margin: float = param(0.0, ge=0, le=1, doc="margin on each side, as a fraction of the face")

    @classmethod
    def unavailable(cls) -> str | None:
        import cv2

        if cascade_file("frontalface_default"):
            return None
        return f"OpenCV {cv2.__version__} has no Haar cascades: install 'opencv-python<5'"

    def depends_on(self) -> str:
        file = cascade_file(self.cascade)
        return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""

    def select(self, at: SelectionContext) -> Tensor:
        import cv2
        import numpy as np
        import torch

        finder = cv2.CascadeClassifier(str(cascade_file(self.cascade)))
        pixels = (at.images * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        masks = [self._mask(finder, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in pixels]
        return torch.from_numpy(np.stack(masks))

    def _mask(self, finder: object, grey: np.ndarray) -> np.ndarray:
        import numpy as np

        side = max(1, round(self.smallest * min(grey.shape)))
        found = finder.detectMultiScale(grey, self.scale_step, self.neighbours, minSize=(side, side))  # type: ignore[attr-defined]
        mask = np.zeros(grey.shape, bool)
        for left, top, width, height in found:
            more_x, more_y = round(self.margin * width), round(self.margin * height)
            mask[max(0, top - more_y) : top + height + more_y, max(0, left - more_x) : left + width + more_x] = True
        return mask


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [Faces]
