"""One corruptor at many inversion depths, for a few images of a finished run: one trajectory, cut at each depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.api import Inverter, LatentContext, LatentCorruptor
from benchkit.errors import BenchkitError
from benchkit.finished import FinishedRun, train_of
from benchkit.report.data import Example
from benchkit.specs import CHUNK, Corrupted
from benchkit.stages.corrupt import Corrupt, Unchanged, origin
from benchkit.stages.images import Latents, to_uint8
from benchkit.stages.pairs import CorruptedPairs

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.plan import PlannedCell


@dataclass(frozen=True)
class DepthSource:
    """Some images of one chunk: the chunk's clean latents, which rows of it, and the images with their masks."""

    latents: Latents
    rows: tuple[int, ...]
    examples: tuple[Example, ...]


def depth_sources(run: FinishedRun, planned: PlannedCell, count: int) -> list[DepthSource]:
    """The first `count` images of a latent corruptor's set whose selection is not empty; `after` is left as before."""
    pairs, found, left = train_of(planned).pairs, [], count
    assert isinstance(pairs, CorruptedPairs)
    for stage in pairs.chunks:
        if not left:
            break
        assert isinstance(stage, Corrupt | Unchanged)
        latents, _ = origin(stage.start if isinstance(stage, Corrupt) else stage.reference.start)
        source = stage.region.select.images[stage.region.chunk]
        run.require((latents, stage.region.select, source), planned.cell.row)
        images, ids = run.env.arrays(source)["images"], run.env.meta(source)["ids"]
        masks = stage.region.select.masks(run.env)[stage.region.chunk * CHUNK :][: len(ids)]
        rows = tuple(int(i) for i in np.flatnonzero(masks.any(axis=(1, 2)))[:left])
        left -= len(rows)
        if rows:
            shown = tuple(Example(ids[i], images[i], images[i], masks[i]) for i in rows)
            found.append(DepthSource(latents, rows, shown))
    if not found:
        raise BenchkitError(f"run {run.id}, row '{planned.cell.row}': nothing was selected, so nothing can be shown")
    return found


def at_depths(
    run: FinishedRun, planned: PlannedCell, sources: Sequence[DepthSource], levels: Sequence[int]
) -> Mapping[int, list[np.ndarray]]:
    """Level -> the images corrupted at that depth, (H, W, 3) uint8 each, in the order of `sources`.

    levels: ascending. Raises BenchkitError for a corruptor that needs partners, which a few images cannot give it.
    """
    training = planned.cell.training
    assert isinstance(training, Corrupted)
    plugin = run.env.registry.make(training.corruptor, LatentCorruptor)  # type: ignore[type-abstract]
    if plugin.needs_partner():
        raise BenchkitError(f"'{training.corruptor.short}' draws partners from its whole set: name another --row")
    made: dict[int, list[np.ndarray]] = {level: [] for level in levels}
    for source in sources:
        at = _clean(run, source, planned.cell.seed)
        inverter = run.env.registry.make(training.inverter, Inverter)  # type: ignore[type-abstract]
        for level, images in _at_depths(run, source.latents, plugin, inverter, at, levels):
            made[level].extend(images)
    return made


def _clean(run: FinishedRun, source: DepthSource, seed: int) -> LatentContext:
    """What the images' corruptor is shown at depth 0."""
    import torch

    from benchkit.diffusion.noise import ImageNoise
    from benchkit.masks import to_latent

    env, meta = run.env, run.env.meta(source.latents)
    z_0 = env.tensor(source.latents, "z_0")[list(source.rows)]
    masks = torch.from_numpy(np.stack([example.mask for example in source.examples]))
    return LatentContext(
        z_t=z_0.clone(),
        z_0=z_0,
        mask=to_latent(masks, env.backend(source.latents.model).factor).to(z_0.device),
        alpha_bar=1.0,
        image_side=max(masks.shape[1:]),
        captions=tuple(meta["captions"][i] for i in source.rows),
        rng=ImageNoise(seed, [meta["ids"][i] for i in source.rows]),
    )


def _at_depths(
    run: FinishedRun,
    latents: Latents,
    plugin: LatentCorruptor,
    inverter: Inverter,
    clean: LatentContext,
    levels: Sequence[int],
) -> list[tuple[int, np.ndarray]]:
    from benchkit.diffusion.inverters import trajectory
    from benchkit.diffusion.resample import corrupt_and_resample

    backend = run.env.backend(latents.model)
    condition = backend.embed(clean.captions)

    def predict(z: Tensor, t: int) -> Any:
        return backend.predict(z, t, condition)

    way = [clean.z_0]
    if levels[-1]:
        way += trajectory(inverter, predict, backend.schedule, clean.z_0, clean.rng, None, levels[-1])
    made = []
    for level in levels:
        at = replace(clean, z_t=way[level].clone(), alpha_bar=backend.schedule.alpha_bar[level])
        corruptor: Any = replace(plugin, steps=level)  # type: ignore[type-var]
        (z,) = corrupt_and_resample(backend.predict, backend.schedule, [corruptor], at, condition, CHUNK, backend.embed)
        made.append((level, to_uint8(backend.decode(z))))
    return made
