"""Settle a grid's `sampling` on this machine: what `auto` means here, and whether half precision is good enough."""

from __future__ import annotations

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.planning.auto_sampling import choose_chunk, choose_precision
from benchkit.planning.planner import Planner
from benchkit.plugin.registry import Registry
from benchkit.runs.precision_check import list_parities, measure_parity
from benchkit.runs.run import RunLocations, find_model
from benchkit.specs.training_sets import CHUNK
from benchkit.stages.base import Env
from benchkit.stages.parity import describe_parity
from benchkit.store.opening import open_store


def settle_sampling(
    grid: Grid, registry: Registry, locations: RunLocations, device: str, measure: bool
) -> tuple[Grid, tuple[str, ...]]:
    """Return a grid whose `sampling` has no `auto`, and the notes about it.

    measure: run the check of half precision where it was not run yet; else it is taken to be passed. A grid with
    faults comes back with the portable defaults; planning names the faults.
    """
    sampling, notes = grid.sampling, []
    if sampling.chunk == "auto":
        try:
            chunk = choose_chunk(grid, registry, device)
        except BenchkitError:
            chunk = CHUNK
        sampling = sampling.model_copy(update={"chunk": chunk})
        notes.append(f"sampling.chunk: auto is {chunk}")
    if sampling.precision == "auto":
        chosen = choose_precision(grid, device)
        trial = grid.replaced(sampling=sampling.model_copy(update={"precision": chosen}).model_dump())
        reason, figures = "", ""
        if chosen != "float32":
            reason, figures = _check_half_precision(trial, registry, locations, device, measure)
        decision = f"float32, because in {chosen} {reason}" if reason else f"{chosen}{figures}"
        notes.append(f"sampling.precision: auto is {decision}")
        sampling = sampling.model_copy(update={"precision": "float32" if reason else chosen})
    if sampling == grid.sampling:
        return grid, ()
    return grid.replaced(sampling=sampling.model_dump()), tuple(notes)


def _check_half_precision(
    grid: Grid, registry: Registry, locations: RunLocations, device: str, measure: bool
) -> tuple[str, str]:
    """Return why a grid's half precision is not good enough, or "", and the figures of the check as text, or ""."""
    try:
        stages = list(list_parities(Planner(grid, registry, find_model(grid)).plan().stages, device))
    except BenchkitError:
        return "", ""
    store = locations.artifacts() if measure else open_store(locations.cache, create=False)
    env = Env(registry, store, device)
    for stage in stages:
        if not measure and not store.has(stage.key):
            return "", ", if the check at the start of the run is passed"
        if reason := measure_parity(stage, env):
            return reason, ""
    return "", "".join(f" ({describe_parity(env.arrays(stage))})" for stage in stages)
