"""Check, before a run, that the images of half precision are close enough to those of float32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from benchkit.errors import BenchkitError
from benchkit.executors.batch import run_batch
from benchkit.planning.plan import Plan
from benchkit.runs.provenance import get_accelerator_name, read_processor_name
from benchkit.stages.base import Env, Model, Stage
from benchkit.stages.images import Latents
from benchkit.stages.invert import Invert
from benchkit.stages.parity import IMAGES, STEPS, Parity, find_disparity


def check_parity(plan: Plan, env: Env) -> None:
    """Raise BenchkitError where a plan samples in half precision whose images are not close enough to float32's.

    The comparison is a stage of its own, whose result stays in the cache.
    """
    for stage in list_parities(plan.stages, env.device):
        if reason := measure_parity(stage, env):
            precision = stage.model.sampling
            raise BenchkitError(
                f"sampling.precision is {precision}, and on device '{env.device}' {reason}: set it to float32, or to "
                "auto"
            )


def list_parities(stages: Iterable[Stage], device: str) -> Iterator[Parity]:
    """Yield what compares half precision with float32, for each model of a plan's stages that samples in it."""
    where = get_accelerator_name(device) or read_processor_name()
    firsts: dict[Model, tuple[Latents, Invert | None]] = {}
    for stage in stages:
        latents = stage.latents if isinstance(stage, Invert) else stage
        if isinstance(latents, Latents) and latents.model.sampling != "float32":
            known = firsts.get(latents.model)
            if known is None or (known[1] is None and isinstance(stage, Invert)):
                firsts[latents.model] = (latents, stage if isinstance(stage, Invert) else None)
    for model, (latents, invert) in firsts.items():
        source = replace(latents.source, indices=latents.source.indices[:IMAGES])
        source = replace(source, images=replace(source.images, indices=source.indices))
        inverter, identity = (invert.inverter, invert.identity) if invert else (None, "")
        yield Parity(source, model, inverter, identity, min(STEPS, model.steps), where)


def measure_parity(stage: Parity, env: Env) -> str | None:
    """Return why half precision is not good enough; None if it is. It is measured once on a machine."""
    return run_check(stage, env) or find_disparity(env.arrays(stage))


def run_check(stage: Stage, env: Env) -> str | None:
    """Run a check that is a stage, unless the cache has its result; return why it failed, or None."""
    if not env.store.has(stage.key):
        with env.store.lease(stage.key):
            pass  # wait for another process that measures it
        for result in run_batch([stage], env):
            if result.state == "failed":
                return f"the check failed ({result.reason})"
    return None
