"""Corrupt a few images of a finished run by one corruptor after several numbers of inversion steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.api import Inverter, LatentCorruptor
from benchkit.errors import BenchkitError
from benchkit.outputs.finished_run import FinishedRun, train_of
from benchkit.report.run_data import Example
from benchkit.specs.training_sets import Corrupted
from benchkit.stages.corrupt import Corrupt, is_resampled_plainly, split_start
from benchkit.stages.images import Latents, to_uint8
from benchkit.stages.pairs import CorruptedPairs

if TYPE_CHECKING:
    from benchkit.diffusion.pipeline import Batch
    from benchkit.planning.plan import PlannedCell


@dataclass(frozen=True)
class StepSource:
    """Some images of one chunk. latents: of the whole chunk. rows: places of the images in it. examples: with masks."""

    latents: Latents
    rows: tuple[int, ...]
    examples: tuple[Example, ...]


def load_step_sources(run: FinishedRun, planned: PlannedCell, count: int) -> list[StepSource]:
    """Load the first `count` images of a latent corruptor's set with a non-empty selection; `after` equals `before`."""
    pairs, sources, missing = train_of(planned).pairs, [], count
    assert isinstance(pairs, CorruptedPairs)
    for stage in pairs.chunks:
        if not missing:
            break
        assert isinstance(stage, Corrupt)
        latents, _ = split_start(stage.start)
        source = stage.region.select.images[stage.region.chunk]
        run.require((latents, stage.region.select, source), run.name(planned))
        images, ids = run.env.arrays(source)["images"], run.env.meta(source)["ids"]
        masks = stage.region.select.masks(run.env, stage.region.rows)
        rows = tuple(int(i) for i in np.flatnonzero(masks.any(axis=(1, 2)))[:missing])
        missing -= len(rows)
        if rows:
            shown = tuple(Example(ids[i], images[i], images[i], masks[i]) for i in rows)
            sources.append(StepSource(latents, rows, shown))
    if not sources:
        raise BenchkitError(f"run {run.id}, row '{run.name(planned)}': no image has a selected region to show")
    return sources


def corrupt_at_steps(
    run: FinishedRun, planned: PlannedCell, sources: Sequence[StepSource], steps: Sequence[int]
) -> Mapping[int, list[np.ndarray]]:
    """Return number of steps -> the images corrupted after so many steps, (H, W, 3) uint8, in the order of `sources`.

    steps: ascending. Raises BenchkitError for a corruptor that needs reference images: those come from the whole set.
    """
    from benchkit.diffusion.pipeline import corrupt_latents, invert_latents, latent_context

    training = planned.cell.training
    assert isinstance(training, Corrupted)
    plugin = run.plugin(training.corruptor, LatentCorruptor)  # type: ignore[type-abstract]
    if plugin.needs_reference():
        raise BenchkitError(
            f"'{training.corruptor.short}' draws reference images from its whole set: choose another `row`"
        )
    made: dict[int, list[np.ndarray]] = {n: [] for n in steps}
    inverter = run.plugin(training.inverter, Inverter)  # type: ignore[type-abstract]
    for model in {source.latents.model for source in sources}:
        run.check_model(model)
    for source in sources:
        backend, batch = run.env.backend(source.latents.model), _batch(run, source, planned.cell.seed)
        inverted = invert_latents(backend, inverter, batch.z_0, batch.captions, batch.rng, steps[-1])
        for n in steps:
            z_t = inverted[n - 1] if n else batch.z_0
            at = latent_context(backend, batch, z_t.clone(), n)
            corruptor: Any = replace(plugin, steps=n)
            masked = planned.resampling == "masked" and is_resampled_plainly(corruptor)
            (z_0,) = corrupt_latents(backend, [corruptor], at, masked)
            made[n].extend(to_uint8(backend.decode(z_0)))
    return made


def _batch(run: FinishedRun, source: StepSource, seed: int) -> Batch:
    import torch

    from benchkit.diffusion.noise import ImageNoise
    from benchkit.diffusion.pipeline import Batch

    meta = run.env.meta(source.latents)
    z_0 = run.env.tensor(source.latents, "z_0")[list(source.rows)]
    masks = torch.from_numpy(np.stack([example.mask for example in source.examples]))
    captions = tuple(meta["captions"][i] for i in source.rows)
    return Batch(z_0, masks, captions, ImageNoise(seed, [meta["ids"][i] for i in source.rows]))
