"""Batches made in a background thread while the network is trained on the batch before."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

T = TypeVar("T")


def each_batch(make: Callable[[int], T], numbers: range, device: torch.device, ahead: bool) -> Generator[T, None, None]:
    """Yield make(i) for each of `numbers`, in order.

    ahead: let one thread make the next batch while this one is used. The batches are the same, because each depends on
    its number alone. On a CPU it gains nothing, because the network keeps all cores busy. What the thread raises is
    raised here.
    """
    if not ahead:
        yield from map(make, numbers)
        return
    # Each thread has its own current GPU; without this, pinned memory would open the first one.
    begin = partial(torch.cuda.set_device, device) if device.type == "cuda" else None
    with ThreadPoolExecutor(1, "next batch", begin) as pool:
        coming = [pool.submit(make, number) for number in numbers[:1]]
        for number in numbers:
            batch = coming.pop().result()
            if number + 1 in numbers:
                coming.append(pool.submit(make, number + 1))
            yield batch
