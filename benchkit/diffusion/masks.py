"""Masks at image and at latent resolution, and the blend of eq. 5.

An image mask is (N, H, W) bool; a latent mask is (N, 1, h, w) bool with h = H / factor.
"""

from __future__ import annotations

import torch

from benchkit.errors import BenchkitError


def to_latent(mask: torch.Tensor, factor: int) -> torch.Tensor:
    """Return the mask at latent resolution: (N, H, W) bool -> (N, 1, H / factor, W / factor) bool.

    A latent pixel is selected if any of its image pixels is, so no thin region is lost. Raises BenchkitError for
    other types and for sizes that `factor` does not divide.
    """
    if mask.dtype != torch.bool or mask.ndim != 3:
        raise BenchkitError(f"an image mask is (N, H, W) bool, not {tuple(mask.shape)} {mask.dtype}")
    count, height, width = mask.shape
    if height % factor or width % factor:
        raise BenchkitError(f"a mask of {height}x{width} does not divide by {factor}: crop or pad the image")
    blocks = mask.reshape(count, height // factor, factor, width // factor, factor)
    return blocks.any(dim=4).any(dim=2).unsqueeze(1)


def to_image(mask: torch.Tensor, factor: int) -> torch.Tensor:
    """Return all image pixels of the selected latent pixels: (N, 1, h, w) -> (N, h * factor, w * factor) bool."""
    if mask.dtype != torch.bool or mask.ndim != 4 or mask.shape[1] != 1:
        raise BenchkitError(f"a latent mask is (N, 1, h, w) bool, not {tuple(mask.shape)} {mask.dtype}")
    return mask.squeeze(1).repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def blend(outside: torch.Tensor, inside: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return (1 - m) * outside + m * inside, exact to the bit (eq. 5).

    outside, inside: (N, C, h, w); `inside` may hold anything outside the mask. mask: (N, 1, h, w) bool.
    """
    return torch.where(mask, inside, outside)


def paste_background(original: torch.Tensor, decoded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return decoded images with the original pixels outside the mask: images (N, 3, H, W), mask (N, H, W) bool."""
    return blend(original, decoded, mask.unsqueeze(1))
