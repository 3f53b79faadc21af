"""Masked resampling that a checkpoint or its images do not allow, or that would change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from benchkit.api import Corruptor, LatentCorruptor
from benchkit.config.grid import Grid
from benchkit.diffusion import checkpoint
from benchkit.errors import BenchkitError
from benchkit.planning.auto_sampling import list_latent_sizes
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import Fault
from benchkit.specs.spec import Spec
from benchkit.stages.corrupt import is_resampled_plainly

if TYPE_CHECKING:
    from torch import Tensor


def find_useless_masking(grid: Grid, registry: Registry) -> Iterator[Fault]:
    """Yield a fault where a grid wants masked resampling, and no image of it could have it.

    It would mark the board as another protocol for nothing. Faulty images, plugins and checkpoints are reported
    elsewhere.
    """
    if grid.sampling.resampling != "masked":
        return
    reason = ""
    with suppress(BenchkitError):
        found = checkpoint.find(grid.model)
        stated = checkpoint.read_json(found.folder / "unet" / "config.json", found.folder)
        sizes = list_latent_sizes(grid, registry)
        reason = _find_no_method(grid, registry) or _find_no_size(stated, sizes)
    if reason:
        message = f"sampling.resampling: masked is of no use here: {reason}"
        yield Fault(message, "choose exact", {"sampling.resampling": "exact"})


def _find_no_method(grid: Grid, registry: Registry) -> str:
    """Return why no corruptor of a grid is resampled masked, or ""."""
    waiting = [*map(registry.complete, (*grid.corruptors, *grid.with_human))]
    while waiting:
        spec: Spec = waiting.pop()
        corruptor = registry.make(spec, Corruptor)
        if isinstance(corruptor, LatentCorruptor) and is_resampled_plainly(corruptor):
            return ""
        waiting.extend(registry.parts(spec))
    return "no corruptor of the grid leaves the resampling to benchkit"


def _find_no_size(stated: dict[str, Any], sizes: list[tuple[int, int]]) -> str:
    """Return why no image is evaluated masked, or "". stated: the denoiser's config. sizes: of the sources' latents."""
    # Here, because they load torch, which few grids need before the run.
    from benchkit.diffusion.masked_resample import SMALLEST_SIDE
    from benchkit.diffusion.masked_unet import complete_config, find_unsupported

    large = [size for size in sizes if min(size) >= SMALLEST_SIDE]
    if not large:
        return f"latents of {_list(sizes)} are too small: masked evaluation begins at {SMALLEST_SIDE} x {SMALLEST_SIDE}"
    config = complete_config(stated)
    if unsupported := find_unsupported(config):
        return f"it does not know the checkpoint's denoiser ({unsupported})"
    reasons = [_find_unfit_size(config, size) for size in large]
    return reasons[0] if all(reasons) else ""


def _find_unfit_size(config: Any, size: tuple[int, int]) -> str:
    """Return why no mask in latents of a size is evaluated masked, or ""."""
    from benchkit.diffusion.masked_resample import MOST_WORK
    from benchkit.diffusion.masked_unet import can_be_halved, count_multiply_adds, find_work

    levels = len(config["block_out_channels"])
    if not can_be_halved(config, size):
        return f"latents of {_list([size])} cannot be halved on each of the denoiser's {levels} levels"
    work = find_work(config, count_multiply_adds(config, size), _mask_corner(size))
    if work > MOST_WORK:
        return (
            f"in latents of {_list([size])} the smallest mask leaves {100 * work:.0f} % of an evaluation, and only "
            f"masks that leave {100 * MOST_WORK:.0f} % or less are evaluated masked"
        )
    return ""


def _list(sizes: list[tuple[int, int]]) -> str:
    return " and ".join(dict.fromkeys(f"{height} x {width}" for height, width in sizes))


def _mask_corner(size: tuple[int, int]) -> Tensor:
    """Return the mask that leaves least work: one latent pixel in a corner, where its halo is smallest."""
    import torch

    mask = torch.zeros(size, dtype=torch.bool)
    mask[0, 0] = True
    return mask
