"""Corruption in pixel space: inside the mask only, the autoencoder last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from benchkit.diffusion.checks import call, check_unchanged
from benchkit.diffusion.masks import blend

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import PixelContext, PixelCorruptor


def corrupt_pixels(autoencode: Callable[[Tensor], Tensor], corruptor: PixelCorruptor, at: PixelContext) -> Tensor:
    """Images (N, 3, H, W) in [0, 1]: the corruptor's pixels inside the mask, after one autoencoder pass.

    The corruptor sees copies. Raises PluginError naming it when it fails, changes what it was shown, or returns
    anything but finite images.
    """
    shown = replace(at, images=at.images.clone(), mask=at.mask.clone())
    inside = call(corruptor, partial(corruptor.corrupt, shown), like=at.images, where=at.mask)
    check_unchanged(corruptor, shown, at, ("images", "mask"))
    return autoencode(blend(at.images, inside.clamp(0, 1), at.mask))
