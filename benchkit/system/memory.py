"""Explain in one line that memory ran out, and what would need less."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.diffusion.options import ModelOptions

GIB = 2**30


@contextmanager
def explain_out_of_memory(doing: str, remedy: Callable[[], str]) -> Iterator[None]:
    """Raise a failed allocation as BenchkitError: what was being done, how much was requested, the remedy."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        asked = re.search(r"[Tt]ried to allocate ([\d.]+ ?\w+)", str(error))
        wanted = f" ({asked[1]} more were requested)" if asked else ""
        raise BenchkitError(f"out of memory {doing}{wanted}: {remedy()}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; for main memory torch raises an ordinary RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def suggest_savings(options: ModelOptions, parameters: int, images: int = 1) -> str:
    """Return which further options need less memory for networks with this number of parameters.

    images: how many were processed at once. Fewer are other results, so that this is a setting of the grid.
    """
    fewer = f", or set the grid's sampling.chunk to {images // 2} (it was {images})" if images > 1 else ""
    size = parameters * (4 if options.dtype == "float32" else 2) / GIB
    less = []
    if options.dtype == "float32":
        less.append(f"dtype=float16 (their weights then take {size / 2:.1f} instead of {size:.1f} GiB)")
    if options.vae != "tiled":
        less.append("vae=tiled (the autoencoder works on one tile at a time)")
    if not options.offload:
        less.append("offload=true (one network at a time in the GPU's memory)")
    if not less:
        return f"its networks take {size:.1f} GiB and every saving is on: use smaller images or a larger device{fewer}"
    return f"write behind the model's name, as in NAME:dtype=float16,vae=tiled, {' or '.join(less)}{fewer}"
