"""The processes that train one network together, as the training loop sees them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Team:
    """The place of this process among those that train together; a single process is a team of one.

    Every process draws the whole batch, takes its own share of it, and ends each iteration with the same weights.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Team:
        """Return the team of torch's process group, where one was initialised (by benchkit.training.replicas, or by the
        caller)."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    def share(self, count: int) -> slice:
        """Return which of `count` images are this process's; shares differ by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def joined(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients averaged over the team at every backward pass; itself in a team of one."""
        if self.size == 1:
            return network
        device = next(network.parameters()).device
        # A plugin's network may leave a parameter unused, which DistributedDataParallel has to know.
        warnings.filterwarnings("ignore", message=".*find_unused_parameters=True was specified.*")
        devices = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices, find_unused_parameters=True)

    def mean(self, values: Tensor) -> Tensor:
        """Return the team's mean of a tensor, the same in every process."""
        if self.size == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.size

    @property
    def writes(self) -> bool:
        """Return whether this process writes files and reports progress."""
        return self.rank == 0


def synchronised(network: nn.Module) -> nn.Module:
    """Return the network with batch statistics of the whole team's batch; torch has these for GPUs only."""
    device = next(network.parameters(), torch.empty(0)).device
    return nn.SyncBatchNorm.convert_sync_batchnorm(network) if device.type == "cuda" else network
