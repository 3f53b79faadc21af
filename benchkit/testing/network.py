"""A denoiser in closed form, for corruptors that act while resampling. It uses captions and self-attention."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchkit.api import LatentCorruptor
from benchkit.diffusion.resample import corrupt_and_resample, resample
from benchkit.testing.worlds import CountedNoise, Scene, schedule

if TYPE_CHECKING:
    from benchkit.api import Attend


def embed(captions: Sequence[str | None]) -> Tensor:
    """Return conditions (N, 1, 1): one number per caption."""
    digests = [hashlib.sha256((caption or "").encode()).digest() for caption in captions]
    return torch.tensor([int.from_bytes(d[:4], "big") / 2**31 - 1 for d in digests]).view(-1, 1, 1)


def predict(z: Tensor, t: int, condition: Tensor, attend: Attend | None = None, mask: Tensor | None = None) -> Tensor:
    """Return eps (N, C, h, w): a fraction of z, plus a part of its self-attention and of its caption."""
    tokens = z.flatten(2).transpose(1, 2)[:, None]
    attended = torch.softmax(tokens @ tokens.transpose(-1, -2) / math.sqrt(z.shape[1]), -1) @ tokens
    if attend is not None and mask is not None:
        perturbed = attend(tokens, tokens, tokens, (z.shape[2], z.shape[3]))
        attended = torch.where(mask.flatten(2).transpose(1, 2)[:, None], perturbed, attended)
    context = attended[:, 0].transpose(1, 2).view_as(z)
    return 0.6 * z + 0.2 * context + 0.2 * condition.to(z).view(-1, 1, 1, 1)


def scene_steps(corruptor: LatentCorruptor) -> int:
    """Return how many steps the synthetic latents for this corruptor have: its own number, at most the schedule's."""
    return min(corruptor.steps, schedule().steps)


def corrupted(corruptor: LatentCorruptor, scene: Scene, noise: CountedNoise | None = None) -> Tensor:
    """Return z_0 after corruption and the corruptor's own resampling, by benchkit's loop."""
    at = scene.context(noise)
    return corrupt_and_resample(predict, embed, schedule(), corruptor, at)


def returned(corruptor: LatentCorruptor, scene: Scene) -> Tensor:
    """Return z_0 after plain resampling, as without corruption."""
    condition = embed(scene.captions)
    return resample(lambda z, t: predict(z, t, condition), schedule(), scene.start.clone(), scene_steps(corruptor))
