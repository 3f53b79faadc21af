"""Inversion and corruption of any number of images, by live plugins on a loaded checkpoint.

Images are processed in chunks of benchkit.specs.training_sets.CHUNK, as the stages do. The number of images in a call
changes only the last bits of results, and which reference images are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from benchkit.api import (
    CompositeCorruptor,
    Corruptor,
    Inverter,
    LatentCorruptor,
    PixelContext,
    PixelCorruptor,
    Reference,
)
from benchkit.errors import ArgumentValueError
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend
    from benchkit.diffusion.noise import ImageNoise
    from benchkit.plugin.registry import Registry


@dataclass(frozen=True)
class Inputs:
    """Images (N, 3, H, W) float32 in [0, 1] with masks (N, H, W) bool, captions, ids, and the seed of their noise."""

    images: Tensor
    masks: Tensor
    captions: Sequence[str | None]
    ids: Sequence[str]
    seed: int

    def chunks(self) -> Iterator[_Chunk]:
        """Yield the images that are processed together."""
        from benchkit.diffusion.noise import ImageNoise

        for start in range(0, len(self.images), CHUNK):
            rows = slice(start, start + CHUNK)
            rng = ImageNoise(self.seed, self.ids[rows])
            yield _Chunk(self.images[rows], self.masks[rows], tuple(self.captions[rows]), rng)


def invert(backend: DiffusionBackend, inverter: Inverter, inputs: Inputs, steps: int) -> Tensor:
    """Return z_0 ... z_steps of images (eq. 2), (steps + 1, N, C, h, w) float32, on the backend's device."""
    import torch

    from benchkit.diffusion.pipeline import invert_latents

    parts = []
    for chunk in inputs.chunks():
        z_0 = backend.encode(chunk.images).contiguous()
        parts.append(torch.stack([z_0, *invert_latents(backend, inverter, z_0, chunk.captions, chunk.rng, steps)]))
    return torch.cat(parts, dim=1)


def corrupt(
    backend: DiffusionBackend,
    corruptor: Corruptor,
    inverter: Inverter,
    inputs: Inputs,
    registry: Registry,
) -> Tensor:
    """Return images corrupted inside their masks (eq. 5), resampled (eq. 6) and decoded: (N, 3, H, W) in [0, 1].

    registry: holds the parts of a composite corruptor.
    """
    import torch

    return torch.cat(_corrupted(backend, corruptor, inverter, list(inputs.chunks()), registry))


@dataclass(frozen=True)
class _Chunk:
    """Images that are processed together, with their masks, captions and noise."""

    images: Tensor
    masks: Tensor
    captions: tuple[str | None, ...]
    rng: ImageNoise


def _corrupted(
    backend: DiffusionBackend,
    plugin: Corruptor,
    inverter: Inverter,
    chunks: Sequence[_Chunk],
    registry: Registry,
) -> list[Tensor]:
    """Return each chunk after corruption, by a corruptor of any kind."""
    import torch

    from benchkit.diffusion.checks import choose_parts
    from benchkit.diffusion.pipeline import corrupt_pixels

    if isinstance(plugin, CompositeCorruptor):
        parts = [registry.make(Spec.parse("corruptor", text), Corruptor) for text in plugin.parts()]
        made = [_corrupted(backend, part, inverter, chunks, registry) for part in parts]
        rows = [enumerate(choose_parts(plugin, chunk.rng, len(chunk.images))) for chunk in chunks]
        return [torch.stack([made[part][i][row] for row, part in of]) for i, of in enumerate(rows)]
    if not isinstance(plugin, LatentCorruptor):
        pixels = cast(PixelCorruptor, plugin)
        contexts = (PixelContext(c.images.cpu(), c.masks[:, None], c.captions, c.rng) for c in chunks)
        return [corrupt_pixels(backend.autoencode, pixels, at) for at in contexts]
    backend.schedule.check_steps(plugin.steps)
    if plugin.needs_reference() and sum(len(chunk.images) for chunk in chunks) < 2:
        raise ArgumentValueError(
            f"corruptor '{plugin.name}' draws a reference image for each image: give two images or more"
        )
    z_0 = [backend.encode(chunk.images).contiguous() for chunk in chunks]
    references = _references(z_0, chunks) if plugin.needs_reference() else [None] * len(chunks)
    return [
        _corrupt_latents(backend, plugin, inverter, chunk, clean, reference)
        for chunk, clean, reference in zip(chunks, z_0, references, strict=True)
    ]


def _corrupt_latents(
    backend: DiffusionBackend,
    corruptor: LatentCorruptor,
    inverter: Inverter,
    chunk: _Chunk,
    z_0: Tensor,
    reference: Reference | None,
) -> Tensor:
    import torch

    from benchkit.diffusion.pipeline import Batch, corrupt_latents, invert_latents, latent_context

    batch = Batch(z_0, chunk.masks, chunk.captions, chunk.rng, reference)
    inverted = invert_latents(backend, inverter, z_0, chunk.captions, chunk.rng, corruptor.steps)
    z_t = [z_0, *inverted][-1].clone(memory_format=torch.contiguous_format)
    (z,) = corrupt_latents(backend, [corruptor], latent_context(backend, batch, z_t, corruptor.steps))
    return backend.decode(z)


def _references(z_0: Sequence[Tensor], chunks: Sequence[_Chunk]) -> list[Reference | None]:
    """Return a reference for each image, drawn from the others as the stage `Corrupt` draws it from the set."""
    import torch

    from benchkit.diffusion.noise import draw_references

    everyone, captions = torch.cat(list(z_0)), [text for chunk in chunks for text in chunk.captions]
    found: list[Reference | None] = []
    start = 0
    for chunk in chunks:
        own = range(start, start := start + len(chunk.images))
        places = draw_references(chunk.rng.seed, chunk.rng.ids, own, len(everyone))
        found.append(Reference(everyone[places], tuple(captions[place] for place in places)))
    return found
