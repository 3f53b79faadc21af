"""Running out of memory, said in one line with what would need less."""

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
    """Turn an allocation that failed into a BenchkitError: what was being done, how much was asked for, the remedy."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        asked = re.search(r"[Tt]ried to allocate ([\d.]+ ?\w+)", str(error))
        wanted = f" ({asked[1]} more were asked for)" if asked else ""
        raise BenchkitError(f"out of memory {doing}{wanted}: {remedy()}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; main memory's own is an ordinary RuntimeError of torch."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def suggest_savings(options: ModelOptions, parameters: int) -> str:
    """What would need less memory for networks of so many parameters, beyond what is chosen already.

    Smaller batches are no remedy: how many images are computed together is part of every result.
    """
    size = parameters * (4 if options.dtype == "float32" else 2) / GIB
    less = []
    if options.dtype == "float32":
        less.append(f"dtype=float16 (their weights then take {size / 2:.1f} instead of {size:.1f} GiB)")
    if options.vae != "tiled":
        less.append("vae=tiled (the autoencoder works on one tile at a time)")
    if not options.offload:
        less.append("offload=true (one network at a time in the GPU's memory)")
    if not less:
        return f"its networks take {size:.1f} GiB and every saving is on: use smaller images or a larger device"
    return f"write behind the model's name, as in NAME:dtype=float16,vae=tiled, {' or '.join(less)}"
