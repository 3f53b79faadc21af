"""Corrupt one chunk of images inside their masks (eq. 5), resample (eq. 6) and decode."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchkit.api import (
    CompositeCorruptor,
    LatentCorruptor,
    PixelContext,
    PixelCorruptor,
    Reference,
    ResamplingCorruptor,
)
from benchkit.specs.keys import LATER
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import Label, Resampling
from benchkit.stages.base import Arrays, Costs, Env, Output, Stage, pack_arrays
from benchkit.stages.images import Images, Latents, to_tensor, to_uint8
from benchkit.stages.invert import Invert
from benchkit.stages.select import Select

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Region:
    """Where a chunk is corrupted: the chunk's place in a set's selection.

    label: what the training label is, the mask as selected or the latent cells replaced. paste_background: the images
    to paste back outside the mask, or None.
    """

    select: Select
    chunk: int
    label: Label
    paste_background: Images | None

    @property
    def checks_repeatability(self) -> bool:
        """Return whether corruptors are run twice here to compare; the first chunk of each set is enough."""
        return self.chunk == 0

    @property
    def rows(self) -> slice:
        """Return where the chunk's images are among those of the selection."""
        size, own = (len(self.select.images[place].source.indices) for place in (0, self.chunk))
        return slice(self.chunk * size, self.chunk * size + own)

    def masks(self, env: Env) -> Tensor:
        """Return the masks of this chunk, (N, H, W) bool."""
        import torch

        return torch.from_numpy(self.select.masks(env, self.rows))

    def finish(self, env: Env, images: Tensor, masks: Tensor, factor: int) -> Arrays:
        """Return the stage's arrays: corrupted images and their labels."""
        original = None if self.paste_background is None else to_tensor(env.arrays(self.paste_background)["images"])
        images, labels = finish_images(images, masks, original, self.label, factor)
        return {"images": to_uint8(images), "labels": labels.numpy()}


def finish_images(
    images: Tensor, masks: Tensor, original: Tensor | None, label: Label, factor: int
) -> tuple[Tensor, Tensor]:
    """Return decoded images (N, 3, H, W), with `original` outside the masks if it is given, and their labels.

    masks: (N, H, W) bool on the CPU. The labels are the masks, or with `latent` all pixels of the latent pixels in
    them, (N, H, W) bool on the CPU. factor: image pixels per latent pixel along a side.
    """
    from benchkit.diffusion.masks import paste_background, to_image, to_latent

    if original is not None:
        images = paste_background(original.to(images), images, masks.to(images.device))
    return images, masks if label == "image" else to_image(to_latent(masks, factor), factor)


@dataclass(frozen=True)
class RoundTrip(Stage):
    """What autoencoder, inversion and resampling do without a corruption; confinement compares a corruption with it."""

    start: Invert | Latents

    def run(self, env: Env) -> Output:
        from benchkit.diffusion.pipeline import resample_latents

        latents, steps = split_start(self.start)
        backend = env.backend(latents.model)
        z_t = env.tensor(self.start, "z_t" if steps else "z_0")
        z_0 = resample_latents(backend, z_t, env.meta(latents)["captions"], steps)
        return pack_arrays({"images": to_uint8(backend.decode(z_0))})

    def network_evaluations(self, costs: Costs) -> int:
        latents, steps = split_start(self.start)
        return steps * len(latents.source.indices)

    def describe(self) -> str:
        return f"round trip at {split_start(self.start)[1]}"


@dataclass(frozen=True)
class Corrupt(Stage):
    """One chunk through one latent corruptor: images (N, H, W, 3) uint8 and labels (N, H, W) bool.

    start: the latents it works on, z_t at the corruptor's number of steps or z_0. seed: of the images' noise.
    references: the whole set's latents, all chunks in order, where the corruptor needs a reference image for each
    image. resampling: `masked` approximates eq. 6 (benchkit.diffusion.masked_resample).
    """

    start: Invert | Latents
    region: Region
    corruptor: Spec
    identity: str
    seed: int
    references: tuple[Latents, ...] = ()
    resampling: Resampling = field(default="exact", metadata=LATER)

    @property
    def group(self) -> Hashable:
        return ("corrupt", self.start.key, self.region.select.key, self.region.chunk, self.seed, self.resampling)

    def run(self, env: Env) -> Output:
        return self.run_group([self], env)[0]

    @classmethod
    def run_group(cls, stages: Sequence[Any], env: Env) -> list[Output]:
        from benchkit.diffusion.checks import check_repeats
        from benchkit.diffusion.noise import ImageNoise
        from benchkit.diffusion.pipeline import Batch, corrupt_latents, latent_context
        from benchkit.diffusion.resample import corrupt

        first: Corrupt = stages[0]
        latents, steps = split_start(first.start)
        meta, backend = env.meta(latents), env.backend(latents.model)
        z_0 = env.tensor(latents, "z_0")
        masks = first.region.masks(env)
        reference = next((stage.reference(env) for stage in stages if stage.references), None)
        batch = Batch(z_0, masks, tuple(meta["captions"]), ImageNoise(first.seed, meta["ids"]), reference)
        z_t = env.tensor(first.start, "z_t") if steps else z_0.clone()
        at = latent_context(backend, batch, z_t, steps)
        corruptors = [env.registry.make(stage.corruptor, LatentCorruptor) for stage in stages]  # type: ignore[type-abstract]
        for corruptor in corruptors if first.region.checks_repeatability else ():
            check_repeats(corruptor, partial(corrupt, corruptor, at))
        results = corrupt_latents(backend, corruptors, at, first.resampling == "masked")
        return [
            pack_arrays(stage.region.finish(env, backend.decode(z), masks, backend.factor))
            for stage, z in zip(stages, results, strict=True)
        ]

    def reference(self, env: Env) -> Reference:
        """Return for each image of the chunk another one of the set, drawn from (seed, image id)."""
        import torch

        from benchkit.diffusion.noise import draw_references

        ids = env.meta(split_start(self.start)[0])["ids"]
        own, size = self.region.rows, len(self.references[0].source.indices)
        count = sum(len(stage.source.indices) for stage in self.references)
        places = draw_references(self.seed, ids, range(own.start, own.stop), count)
        drawn = [divmod(place, size) for place in places]
        stages = {chunk: self.references[chunk] for chunk, _ in drawn}
        z_0 = {chunk: env.tensor(stage, "z_0") for chunk, stage in stages.items()}
        captions = {chunk: env.meta(stage)["captions"] for chunk, stage in stages.items()}
        return Reference(
            torch.stack([z_0[chunk][row] for chunk, row in drawn]), tuple(captions[chunk][row] for chunk, row in drawn)
        )

    def network_evaluations(self, costs: Costs) -> int:
        latents, steps = split_start(self.start)
        plugin = costs.registry.make(self.corruptor, LatentCorruptor)  # type: ignore[type-abstract]
        a_step = plugin.network_evaluations() if isinstance(plugin, ResamplingCorruptor) else 1
        return steps * a_step * len(latents.source.indices)

    def describe(self) -> str:
        return f"corrupt {self.corruptor.name} at {split_start(self.start)[1]}"


@dataclass(frozen=True)
class CorruptPixels(Stage):
    """One chunk through one pixel corruptor; the autoencoder passes last."""

    latents: Latents
    region: Region
    corruptor: Spec
    identity: str
    seed: int

    def run(self, env: Env) -> Output:
        from benchkit.diffusion.checks import check_repeats
        from benchkit.diffusion.noise import ImageNoise
        from benchkit.diffusion.pipeline import corrupt_pixels

        samples, meta, backend = self.latents.source.read(env), env.meta(self.latents), env.backend(self.latents.model)
        images = to_tensor(np.stack([s.image for s in samples]))
        masks = self.region.masks(env)
        plugin = env.registry.make(self.corruptor, PixelCorruptor)  # type: ignore[type-abstract]
        at = PixelContext(images, masks[:, None], tuple(meta["captions"]), ImageNoise(self.seed, meta["ids"]))
        if self.region.checks_repeatability:
            check_repeats(plugin, partial(corrupt_pixels, lambda corrupted: corrupted, plugin, at))
        decoded = corrupt_pixels(backend.autoencode, plugin, at)
        return pack_arrays(self.region.finish(env, decoded, masks, backend.factor))

    def describe(self) -> str:
        return f"corrupt {self.corruptor.name}"


@dataclass(frozen=True)
class Choose(Stage):
    """One chunk of a composite corruptor: of each image, what the chosen part made of it.

    parts: of the same chunk and region, or their round trips. latents: of the chunk, whose images are chosen for.
    """

    on_device: ClassVar[bool] = False

    parts: tuple[Corrupt | CorruptPixels | RoundTrip | Choose, ...]
    latents: Latents
    corruptor: Spec
    identity: str
    seed: int

    @property
    def region(self) -> Region:
        """Return the region of its parts; round trips have none."""
        first = self.parts[0]
        assert not isinstance(first, RoundTrip)
        return first.region

    def run(self, env: Env) -> Output:
        from benchkit.diffusion.checks import choose_parts
        from benchkit.diffusion.noise import ImageNoise

        ids = env.meta(self.latents)["ids"]
        plugin = env.registry.make(self.corruptor, CompositeCorruptor)  # type: ignore[type-abstract]
        rows = list(enumerate(choose_parts(plugin, ImageNoise(self.seed, ids), len(ids))))
        made = [env.arrays(part) for part in self.parts]
        return pack_arrays({name: np.stack([made[part][name][row] for row, part in rows]) for name in made[0]})

    def describe(self) -> str:
        return f"choose {self.corruptor.name}"


AnyCorrupt = Corrupt | CorruptPixels | Choose


def is_resampled_plainly(corruptor: LatentCorruptor) -> bool:
    """Return whether a corruptor leaves the resampling to benchkit: only then can it be masked."""
    return corruptor.steps > 0 and not isinstance(corruptor, ResamplingCorruptor)


def split_start(start: Invert | Latents) -> tuple[Latents, int]:
    """Return the clean latents that a stage starts from, and its number of inversion steps."""
    return (start.latents, start.steps) if isinstance(start, Invert) else (start, 0)
