"""Inputs of plugins under test: small synthetic images, masks and noise, always the same."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchkit.api import LatentContext, PixelContext, Reference
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.schedule import Schedule

#: The schedule of Stable Diffusion 1.x, with 50 steps.
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
    "prediction_type": "epsilon",
}
FACTOR = 8
CAPTIONS = ("a face with two eyes", None, "a hand", "")


def schedule() -> Schedule:
    """Return the noise schedule of the synthetic latents."""
    return Schedule.from_scheduler(SCHEDULE, 50)


class CountedNoise:
    """The images' noise; it counts its calls, and notes the steps of each kind of draw."""

    def __init__(self, seed: int, ids: Sequence[str]) -> None:
        self._noise = ImageNoise(seed, ids)
        self.asked = 0
        #: The current step, if a test sets it, and kind of draw -> the steps at which it was drawn.
        self.step = 0
        self.steps: dict[str, set[int]] = {}

    def _note(self, kind: str, shape: Sequence[int], stream: str) -> None:
        self.asked += 1
        named = f", stream={stream!r}" if stream else ""
        self.steps.setdefault(f"{kind}({tuple(shape)}{named})", set()).add(self.step)

    def normal(self, shape: Sequence[int], stream: str = "") -> Tensor:
        """Standard normal draws, (N, *shape) float32."""
        self._note("normal", shape, stream)
        return self._noise.normal(shape, stream)

    def uniform(self, shape: Sequence[int], stream: str = "") -> Tensor:
        """Uniform draws in [0, 1), (N, *shape) float32."""
        self._note("uniform", shape, stream)
        return self._noise.uniform(shape, stream)


@dataclass(frozen=True)
class Scene:
    """A batch for a corruptor, in its own space.

    start: the input, z_t (N, C, h, w) or images (N, 3, H, W). clean: z_0, or the images again. mask:
    (N, 1, h, w) bool at the same resolution. alpha_bar: None for pixels. other: clean latents of each image's
    reference, for corruptors that need one. everywhere: whether benchkit uses the result outside the mask too, for
    corruptors that act while resampling.
    """

    start: Tensor
    clean: Tensor
    mask: Tensor
    captions: tuple[str | None, ...]
    ids: tuple[str, ...]
    alpha_bar: float | None
    other: Tensor | None = None
    everywhere: bool = False
    seed: int = 0

    def rows(self, *index: int) -> Scene:
        """Return the batch with fewer images, or in another order."""
        chosen = list(index)
        return replace(
            self,
            start=self.start[chosen],
            clean=self.clean[chosen],
            mask=self.mask[chosen],
            captions=tuple(self.captions[i] for i in chosen),
            ids=tuple(self.ids[i] for i in chosen),
            other=None if self.other is None else self.other[chosen],
        )

    def context(self, noise: CountedNoise | None = None) -> Any:
        """Return the context of a corruptor; its tensors are copies."""
        rng = noise or CountedNoise(self.seed, self.ids)
        start, mask = self.start.clone(), self.mask.clone()
        if self.alpha_bar is None:
            return PixelContext(start, mask, self.captions, rng)
        side = FACTOR * max(start.shape[2:])
        reference = None if self.other is None else Reference(self.other.clone(), ("another caption",) * len(start))
        return LatentContext(start, self.clean.clone(), mask, self.alpha_bar, side, self.captions, rng, reference)


def latent_scene(steps: int, height: int = 16, width: int = 16, count: int = 4, device: str = "cpu") -> Scene:
    """Return latents of 4 channels after some steps of the schedule; 0 steps is clean."""
    schedule_alpha_bar = schedule().alpha_bar
    alpha_bar = schedule_alpha_bar[min(steps, len(schedule_alpha_bar) - 1)]
    clean = smooth(count, 4, height, width, "clean") * 2 - 1
    noise = draws(count, 4, height, width, "noise")
    start = clean if steps == 0 else alpha_bar**0.5 * clean + (1 - alpha_bar) ** 0.5 * noise
    scene = _scene(start, clean, masks(count, height, width), alpha_bar, device)
    return replace(scene, other=(smooth(count, 4, height, width, "other") * 2 - 1).to(device))


def pixel_scene(height: int = 64, width: int = 64, count: int = 4, device: str = "cpu") -> Scene:
    """Return a batch of images with smooth colours and some grain."""
    images = pictures(count, height, width)
    return _scene(images, images, masks(count, height, width), None, device)


def _scene(start: Tensor, clean: Tensor, mask: Tensor, alpha_bar: float | None, device: str) -> Scene:
    count = len(start)
    captions = tuple(CAPTIONS[i % len(CAPTIONS)] for i in range(count))
    ids = tuple(f"image-{i}" for i in range(count))
    return Scene(start.to(device), clean.to(device), mask[:, None].to(device), captions, ids, alpha_bar)


def pictures(count: int, height: int, width: int) -> Tensor:
    """Return images (N, 3, H, W) float32 in [0, 1], all different."""
    grain = 0.02 * draws(count, 3, height, width, "grain")
    return (0.1 + 0.8 * smooth(count, 3, height, width, "picture") + grain).clamp(0, 1)


def smooth(count: int, channels: int, height: int, width: int, stream: str) -> Tensor:
    """Return slowly varying planes in [0, 1], interpolated from coarse noise."""
    coarse = torch.sigmoid(draws(count, channels, 5, 5, stream))
    return functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)


def draws(count: int, channels: int, height: int, width: int, stream: str) -> Tensor:
    """Return standard normal draws that never change."""
    return ImageNoise(0, [f"made-up-{i}" for i in range(count)]).normal((channels, height, width), stream)


def masks(count: int, height: int, width: int) -> Tensor:
    """Return masks (N, H, W) bool: a box, two separate boxes, a single pixel, a slanted region, and so on again."""
    found = torch.zeros(count, height, width, dtype=torch.bool)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    for i in range(count):
        if i % 4 == 0:
            found[i, height // 4 : height // 2 + 1, width // 4 : 3 * width // 4] = True
        elif i % 4 == 1:
            found[i, : height // 3, : width // 3] = True
            found[i, -(height // 3) :, -(width // 4) :] = True
        elif i % 4 == 2:
            found[i, height // 2, width // 3] = True
        else:
            found[i] = (rows * width - columns * height).abs() < height * width // 4
    return found


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the global generators of random, numpy and torch at the end."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def seed_globals(seed: int) -> None:
    """Seed the global generators of random, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def same(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors are equal bit for bit; NaN equals itself."""
    return bool(torch.allclose(first.float(), second.float(), rtol=0, atol=0, equal_nan=True))


def close(first: Tensor, second: Tensor, tolerance: float = 1e-5) -> bool:
    """Return whether two tensors are equal up to the rounding of another order of sums."""
    return bool(torch.allclose(first.float(), second.float(), rtol=1e-4, atol=tolerance, equal_nan=True))


def furthest(first: Tensor, second: Tensor) -> float:
    """Return the largest absolute difference."""
    return float((first.float() - second.float()).abs().nan_to_num(nan=float("inf")).max())
