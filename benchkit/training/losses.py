"""The training loss: cross-entropy over the pixels that count."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchkit.errors import BenchkitError
from benchkit.specs.training_config import TrainingConfig
from benchkit.training.augmentation import IGNORED
from benchkit.training.batches import to_device
from benchkit.training.ddp import Team


def shared_losses(
    output: Any, labels: np.ndarray, config: TrainingConfig, num_classes: int, team: Team
) -> list[Tensor]:
    """Return the losses of this process's share of a batch; their mean over the team is that of the whole batch.

    output: of the fraction alone. labels: of the whole batch.
    """
    mine = team.share(len(labels))
    found = losses(output, labels[mine], config, num_classes)
    if team.size == 1:
        return found
    whole = weight(labels, config)
    share = team.size * weight(labels[mine], config) / whole if whole else 1.0
    return [loss * share for loss in found]


def losses(output: Any, labels: np.ndarray, config: TrainingConfig, num_classes: int) -> list[Tensor]:
    """Return the cross-entropy of every logit map, the main head's first; pixels labelled IGNORED do not count.

    If no pixel counts, the loss and its gradient are 0, in place of the mean 0 / 0.
    """
    logits = [output] if isinstance(output, Tensor) else list(output)
    target = to_device(torch.from_numpy(labels), logits[0].device)
    expected = (target.shape[0], num_classes, *target.shape[1:])
    for one in logits:
        if tuple(one.shape) != expected:
            raise BenchkitError(f"the detector's logits are {tuple(one.shape)}, expected {expected}")
    if not (labels != IGNORED).any():
        return [one.sum() * 0 for one in logits]
    weights = None if config.class_weights is None else torch.tensor(config.class_weights).to(logits[0])
    return [functional.cross_entropy(one, target, weight=weights, ignore_index=IGNORED) for one in logits]


def weight(labels: np.ndarray, config: TrainingConfig) -> float:
    """Return what the mean of `losses` divides by: the sum of the pixels' class weights."""
    counts = np.bincount(labels[labels != IGNORED])
    weights = np.ones(len(counts)) if config.class_weights is None else np.array(config.class_weights)[: len(counts)]
    return float(counts @ weights)
