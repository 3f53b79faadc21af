"""Check, before a run, that masked resampling is close enough to exact resampling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchkit.errors import BenchkitError
from benchkit.planning.plan import Plan
from benchkit.runs.precision_check import run_check
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Model
from benchkit.stages.corrupt import Corrupt
from benchkit.stages.invert import Invert
from benchkit.stages.masked_parity import CLOSENESS, IMAGES, STEPS, MaskedParity


def check_masked_parity(plan: Plan, env: Env) -> None:
    """Raise BenchkitError where a plan resamples masked, and the result is not close enough to the exact one.

    The comparison is a stage of its own, whose result stays in the cache.
    """
    for stage in list_parities(plan):
        reason = run_check(stage, env)
        if not reason:
            closeness = env.arrays(stage)["closeness"]
            if np.isfinite(closeness).all() and closeness.min() >= CLOSENESS:
                continue
            reason = f"the result is {closeness.min():.1f} dB from the exact one inside the mask, below {CLOSENESS:g}"
        raise BenchkitError(f"sampling.resampling is masked, and with this checkpoint {reason}: set it to exact")


def list_parities(plan: Plan) -> Iterator[MaskedParity]:
    """Yield what compares masked with exact resampling, for each model and set whose latents are resampled masked."""
    firsts: dict[tuple[Model, Spec, str], Invert] = {}
    for stage in plan.stages:
        if isinstance(stage, Corrupt) and stage.resampling == "masked" and isinstance(stage.start, Invert):
            latents = stage.start.latents
            firsts.setdefault((latents.model, latents.source.images.dataset, latents.source.split), stage.start)
    for (model, _, _), invert in firsts.items():
        source = invert.latents.source
        source = replace(source, indices=source.indices[:IMAGES])
        source = replace(source, images=replace(source.images, indices=source.indices))
        yield MaskedParity(source, model, invert.inverter, invert.identity, min(STEPS, model.steps))
