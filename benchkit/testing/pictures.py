"""A failure as a picture: before, mask and after, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

SIDE = 192
_GAP = 6


@dataclass(frozen=True)
class Panels:
    """One image's three panels: before and after (C, h, w), whose first three channels are shown; mask (h, w)."""

    before: Tensor
    mask: Tensor
    after: Tensor


def write_panels(path: Path, panels: Panels) -> Path:
    """Write the panels as one PNG, each at least SIDE pixels wide, and return its path."""
    from PIL import Image

    low, high = _limits(panels.before)
    row = [_picture(panels.before, low, high), _mask(panels.mask), _picture(panels.after, low, high)]
    width, height = row[0].size
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, max(one.height for one in row)), "white")
    for i, one in enumerate(row):
        sheet.paste(one.resize((width, height)) if i == 1 else one, (i * (width + _GAP), 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def _limits(plane: Tensor) -> tuple[float, float]:
    """Return the values drawn black and white. Both panels share them, so that a change of brightness is visible."""
    values = plane.detach().float().cpu()
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1)


def _picture(plane: Tensor, low: float, high: float) -> Image:
    import numpy as np

    values = plane.detach().float().cpu().numpy()
    values = np.nan_to_num((values - low) / (high - low), nan=1.0, posinf=1.0, neginf=0.0).clip(0, 1)
    channels = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    return _enlarged((channels.transpose(1, 2, 0) * 255).astype(np.uint8))


def _mask(mask: Tensor) -> Image:
    import numpy as np

    return _enlarged(np.repeat(mask.detach().cpu().numpy().astype(np.uint8)[..., None] * 255, 3, axis=2))


def _enlarged(pixels: np.ndarray[Any, Any]) -> Image:
    from PIL import Image

    times = max(1, -(-SIDE // pixels.shape[1]))
    return Image.fromarray(pixels).resize((pixels.shape[1] * times, pixels.shape[0] * times), Image.Resampling.NEAREST)
