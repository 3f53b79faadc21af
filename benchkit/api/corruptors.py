"""Corruptors: they create artifacts inside the mask, in latent space, at every resampling step, or in pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchkit.api.ddim import denoise_step
from benchkit.api.plugin import Plugin, param

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api.noise import Noise

#: Self-attention: (query, key, value, (rows, columns) of the tokens) -> (N, heads, tokens, width), the shape of value.
Attend = Callable[["Tensor", "Tensor", "Tensor", tuple[int, int]], "Tensor"]


@dataclass(frozen=True)
class Reference:
    """For each image of a batch one other image of its set, which benchkit draws from (seed, image id).

    z_0: clean latents of these images, (N, C, h, w) float32. captions: their captions.
    """

    z_0: Tensor
    captions: tuple[str | None, ...]


@dataclass(frozen=True)
class LatentContext:
    """What a latent corruptor receives of a batch after `steps` inversion steps.

    z_t: inverted latents, z_0: clean latents, both (N, C, h, w) float32. mask: (N, 1, h, w) bool, the selected latent
    pixels. alpha_bar: cumulative alpha of this step, in (0, 1]. image_side: pixels along the longer side of the image;
    the latent's longer side is image_side / factor. reference: other images, for a corruptor with `needs_reference`.
    """

    z_t: Tensor
    z_0: Tensor
    mask: Tensor
    alpha_bar: float
    image_side: int
    captions: tuple[str | None, ...]
    rng: Noise
    reference: Reference | None = None

    def noise(self) -> Tensor:
        """Return the images' noise n ~ N(0, I), (N, C, h, w); every call and every corruptor gets the same (eq. 4)."""
        return self.rng.normal(tuple(self.z_t.shape[1:])).to(self.z_t)


@dataclass(frozen=True)
class PixelContext:
    """What a pixel corruptor receives: images (N, 3, H, W) float32 in [0, 1], mask (N, 1, H, W) bool."""

    images: Tensor
    mask: Tensor
    captions: tuple[str | None, ...]
    rng: Noise


class Corruptor(Plugin):
    """Base class of all corruptors. benchkit blends by the mask (eq. 5), resamples (eq. 6) and decodes."""

    kind: ClassVar[str] = "corruptor"


@dataclass(frozen=True)
class LatentCorruptor(Corruptor):
    """A corruptor of inverted latents: f of eq. 5.

    Every latent corruptor has the parameter `steps`: inversion steps, counted from the clean end. With 0 it corrupts
    z_0 itself, and nothing is resampled. Declare the parameter again for another default or range.
    """

    steps: int = param(10, ge=0, doc="inversion steps from the clean end")

    def needs_reference(self) -> bool:
        """Return whether `corrupt` or `step` reads the reference images of its context."""
        return False

    @abstractmethod
    def corrupt(self, at: LatentContext) -> Tensor:
        """Return f(z_t, z_0, n, t), (N, C, h, w); latent pixels outside the mask are ignored."""


@dataclass(frozen=True)
class _StepNoise:
    """The images' noise at one step: see `Noise`."""

    images: Noise
    step: int

    # The texts "level …" seed the draws: another word would change results.
    def normal(self, shape: Sequence[int], stream: str = "") -> Tensor:
        return self.images.normal(shape, f"level {self.step} {stream}")

    def uniform(self, shape: Sequence[int], stream: str = "") -> Tensor:
        return self.images.uniform(shape, f"level {self.step} {stream}")


@dataclass(frozen=True)
class StepContext:
    """One resampling step from z_t (step k, counted from the clean end) to z_s (step k - 1), eq. 6.

    start: what `corrupt` received (mask, z_0, captions, rng, the inverted z_t). z_t: the current latents, (N, C, h, w)
    float32. step: k, counted down to 1. t: its timestep. phi, psi: coefficients of the step. alpha_bar, alpha_bar_s:
    cumulative alphas of z_t and of z_s. predict(z, captions, attend): see `eps`. noise() and rng give other draws at
    every step; start.noise() and start.rng give the same draws at all steps.
    """

    start: LatentContext
    z_t: Tensor
    step: int
    t: int
    phi: float
    psi: float
    alpha_bar: float
    alpha_bar_s: float
    predict: Callable[[Tensor, Sequence[str | None], Attend | None], Tensor]

    @property
    def rng(self) -> Noise:
        """The images' draws at this step; the same call at another step gives other draws."""
        return _StepNoise(self.start.rng, self.step)

    def noise(self, stream: str = "") -> Tensor:
        """Return noise n ~ N(0, I) of this step, (N, C, h, w); another `stream` gives other draws."""
        return self.rng.normal(tuple(self.z_t.shape[1:]), stream).to(self.z_t)

    def eps(
        self, z: Tensor | None = None, captions: Sequence[str | None] | None = None, attend: Attend | None = None
    ) -> Tensor:
        """Return the noise predicted at this step, (N, C, h, w); one network evaluation per image.

        z: latents, z_t by default. captions: the images' own by default. attend: what self-attention returns inside
        the mask, in every layer.
        """
        at = self.start
        return self.predict(self.z_t if z is None else z, at.captions if captions is None else captions, attend)

    def solve(self, eps: Tensor, z: Tensor | None = None) -> Tensor:
        """Return z_s = phi z + psi eps (eq. 6, `denoise_step`); z is z_t by default."""
        return denoise_step(self.z_t if z is None else z, eps, self.phi, self.psi)


class ResamplingCorruptor(LatentCorruptor):
    """A latent corruptor that takes every resampling step itself, instead of a plain DDIM step.

    It is also responsible for latent pixels outside the mask: what `step` returns there is decoded.
    """

    def corrupt(self, at: LatentContext) -> Tensor:
        """Return what stands inside the mask before the first step: z_t, unless a subclass says otherwise."""
        return at.z_t

    def network_evaluations(self) -> int:
        """Return how many network evaluations per image `step` may use."""
        return 1

    @abstractmethod
    def step(self, at: StepContext) -> Tensor:
        """Return z_s, (N, C, h, w); each image must be independent of the others in the batch."""


class PixelCorruptor(Corruptor):
    """A corruptor of pixels: nothing is inverted; benchkit passes its images through the autoencoder once."""

    @abstractmethod
    def corrupt(self, at: PixelContext) -> Tensor:
        """Return the corrupted images (N, 3, H, W) in [0, 1]; pixels outside the mask are ignored."""


class CompositeCorruptor(Corruptor):
    """A corruptor that chooses one of its `parts` for each image. Parts may differ in space and in steps.

    benchkit computes what every part makes by itself, with the same noise, and keeps the chosen result.
    """

    @abstractmethod
    def choose(self, rng: Noise) -> Tensor:
        """Return the part that makes each image, (N,) int64 indices into `parts()`."""
