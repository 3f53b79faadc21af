"""Masked resampling that a checkpoint or its images do not allow, or that would change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from benchkit.config.grid import Grid
from benchkit.diffusion import checkpoint
from benchkit.errors import BenchkitError
from benchkit.planning.sampling import read_latent_size
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import Fault

if TYPE_CHECKING:
    from torch import Tensor

_REMEDY = {"sampling.resampling": "exact"}


def find_useless_masking(grid: Grid, registry: Registry) -> Iterator[Fault]:
    """Yield a fault where a grid wants masked resampling, and no image of it could have it.

    It would mark the board as another protocol for nothing. Faulty images and checkpoints are reported elsewhere.
    """
    if grid.sampling.resampling != "masked":
        return
    with suppress(BenchkitError):
        found = checkpoint.find(grid.model)
        shape = read_latent_size(grid, registry)
        stated = checkpoint.read_json(found.folder / "unet" / "config.json", found.folder)
        if reason := _why_useless(stated, shape):
            yield Fault(f"sampling.resampling: masked is of no use here: {reason}", "choose exact", _REMEDY)


def _why_useless(stated: dict[str, Any], shape: tuple[int, int]) -> str:
    """Return why no image is evaluated masked, or "". stated: the denoiser's config. shape: of the latents."""
    # Here, because they load torch, which few grids need before the run.
    from benchkit.diffusion.masked_resample import MOST_WORK, SMALLEST_SIDE
    from benchkit.diffusion.masked_unet import (
        can_be_halved,
        complete_config,
        count_multiply_adds,
        find_unsupported,
        find_work,
    )

    size = f"{shape[0]} x {shape[1]}"
    if min(shape) < SMALLEST_SIDE:
        return f"latents of {size} are too small: masked evaluation begins at {SMALLEST_SIDE} x {SMALLEST_SIDE}"
    config = complete_config(stated)
    if unsupported := find_unsupported(config):
        return f"it does not know the checkpoint's denoiser ({unsupported})"
    if not can_be_halved(config, shape):
        return (
            f"latents of {size} cannot be halved on each of the denoiser's {len(config['block_out_channels'])} levels"
        )
    work = find_work(config, count_multiply_adds(config, shape), _mask_corner(shape))
    if work > MOST_WORK:
        return (
            f"in latents of {size} the smallest mask leaves {100 * work:.0f} % of an evaluation, and only masks that "
            f"leave {100 * MOST_WORK:.0f} % or less are evaluated masked"
        )
    return ""


def _mask_corner(shape: tuple[int, int]) -> Tensor:
    """Return the mask that leaves least work: one latent pixel in a corner, where its halo is smallest."""
    import torch

    mask = torch.zeros(shape, dtype=torch.bool)
    mask[0, 0] = True
    return mask
