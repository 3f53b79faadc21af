"""CutPaste: paste pixels from another place of the same image, as a patch or as thin scars.

Li, Sohn, Yoon and Pfister, "CutPaste: Self-supervised learning for anomaly detection and localization" (CVPR 2021,
Sec. 2.2-2.3). In the paper the pasted rectangle is the label. Here the label is the region: the patch has the size of
the region's bounding box, and scars are centred on the region. Hue is not jittered, and patches are not rotated. Scars
have the paper's size (2-16 by 10-25 pixels of 256) and rotation (up to 45 degrees); their number is our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


def bounding_box(mask: Tensor) -> tuple[int, int, int, int]:
    """Return top, left, height, width of the selected pixels of (H, W); at least one is selected."""
    import torch  # here and below, so that listing plugins loads no torch

    y, x = torch.nonzero(mask, as_tuple=True)
    top, left = int(y.min()), int(x.min())
    return top, left, int(y.max()) + 1 - top, int(x.max()) + 1 - left


def offset(box: tuple[int, int, int, int], size: tuple[int, int], draw: float) -> tuple[int, int]:
    """Return the shift (rows, columns) from the box to another place in the image, uniform over all places.

    A box as large as the image has no other place; it is shifted across the image's edges. draw: in [0, 1).
    """
    (top, left, height, width), (rows, columns) = box, size
    down, across = rows - height + 1, columns - width + 1
    if down * across == 1:
        return divmod(1 + int(draw * (rows * columns - 1)), columns)
    own = top * across + left
    place = int(draw * (down * across - 1))
    new_top, new_left = divmod(place + (place >= own), across)
    return new_top - top, new_left - left


def jittered(pixels: Tensor, amount: float, draws: Tensor) -> Tensor:
    """Scale brightness, contrast and saturation of pixels (3, ...) by 1 +- amount, from three draws in [0, 1)."""
    brightness, contrast, saturation = (1 + amount * (2 * draws - 1)).tolist()
    bright = pixels * brightness
    centred = bright.mean() + contrast * (bright - bright.mean())
    grey = (0.299 * centred[0] + 0.587 * centred[1] + 0.114 * centred[2]).unsqueeze(0)
    return (grey + saturation * (centred - grey)).clamp(0, 1)


@dataclass(frozen=True)
class CutPaste(PixelCorruptor):
    """Pastes pixels from another place of the image into the region, with changed colours (Li et al., CVPR 2021).

    variant=patch pastes one rectangle over the whole region. variant=scar pastes thin strips across it; the rest of
    the region stays as it is, but is labelled too. jitter=0 keeps the colours.
    """

    name = "cutpaste"
    variant: str = param("patch", choices=("patch", "scar"), doc="a patch over the region, or scars across it")
    jitter: float = param(0.1, ge=0, le=1, doc="largest relative change of brightness, contrast and saturation")
    scars: int = param(4, ge=1, le=64, doc="number of scars per image")

    def corrupt(self, at: PixelContext) -> Tensor:
        import torch

        draws = at.rng.uniform((self.scars, 10), stream="cutpaste")
        paste = self._patch if self.variant == "patch" else self._scars
        chosen = zip(at.images, at.mask[:, 0], draws, strict=True)
        return torch.stack([paste(image, mask, own) if mask.any() else image for image, mask, own in chosen])

    def _patch(self, image: Tensor, mask: Tensor, draws: Tensor) -> Tensor:
        import torch

        box, (height, width) = bounding_box(mask), (mask.shape[0], mask.shape[1])
        down, right = offset(box, (height, width), float(draws[0, 0]))
        top, left, rows, columns = box
        here = (slice(None), slice(top, top + rows), slice(left, left + columns))
        patch = torch.roll(image, (-down, -right), dims=(1, 2))[here]
        result = image.clone()
        result[here] = jittered(patch, self.jitter, draws[0, 1:4]) if self.jitter else patch
        return result

    def _scars(self, image: Tensor, mask: Tensor, draws: Tensor) -> Tensor:
        import torch

        height, width = mask.shape
        side, inside = max(height, width), torch.nonzero(mask)
        result = image.clone()
        for row in draws:
            centre = inside[int(row[0] * len(inside))]
            length, thickness = (10 + 15 * float(row[1])) / 256 * side, (2 + 14 * float(row[2])) / 256 * side
            along, across = strip(height, width, centre.tolist(), math.radians(90 * float(row[3]) - 45))
            hit = (along.abs() <= length / 2) & (across.abs() <= thickness / 2)
            # The strip is cut without rotation, from any place where it fits.
            y = (along + length / 2 + row[4] * max(0.0, height - 1 - length)).floor().long().clamp(0, height - 1)
            x = (across + thickness / 2 + row[5] * max(0.0, width - 1 - thickness)).floor().long().clamp(0, width - 1)
            pixels = image[:, y[hit], x[hit]]
            result[:, hit] = jittered(pixels, self.jitter, row[6:9]) if self.jitter else pixels
        return result


def strip(height: int, width: int, centre: list[int], angle: float) -> tuple[Tensor, Tensor]:
    """Return each pixel's position (H, W) along and across an axis through `centre`, vertical at angle 0."""
    import torch

    y = torch.arange(height).view(-1, 1) - centre[0]
    x = torch.arange(width).view(1, -1) - centre[1]
    return y * math.cos(angle) + x * math.sin(angle), x * math.cos(angle) - y * math.sin(angle)


@hookimpl
def benchkit_corruptors() -> list[type[PixelCorruptor]]:
    return [CutPaste]
