"""What a plan would do, without running it: pending and cached stages, network evaluations, training iterations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from benchkit.planning.frozen_detectors import features_size
from benchkit.planning.planner import Plan, PlannedCell
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Costs, Model
from benchkit.stages.train import Train
from benchkit.store.artifacts import ArtifactStore


@dataclass(frozen=True)
class Preview:
    """What a plan would do: pending and cached stages by kind, cells with their skips, network evaluations.

    features_size: bytes of the pending features of frozen detectors.
    """

    pending: Mapping[str, int]
    cached: Mapping[str, int]
    cells: tuple[PlannedCell, ...]
    network_evaluations: int
    pending_network_evaluations: int
    train_iterations: int
    features_size: int = 0


def preview(plan: Plan, registry: Registry, model: Model, store: ArtifactStore) -> Preview:
    """Return what a plan would do, without running it."""
    from benchkit.diffusion.backend import timesteps_of

    costs = Costs(registry, timesteps_of(model.location, model.steps))
    have = {stage.key for stage in plan.stages if store.has(stage.key)}
    pending = [stage for stage in plan.stages if stage.key not in have]
    return Preview(
        pending=Counter(type(s).__name__.lower() for s in pending),
        cached=Counter(type(s).__name__.lower() for s in plan.stages if s.key in have),
        cells=plan.cells,
        network_evaluations=plan.network_evaluations(costs),
        pending_network_evaluations=sum(s.network_evaluations(costs) for s in pending),
        train_iterations=sum(s.config.iterations for s in pending if isinstance(s, Train)),
        features_size=features_size(pending, registry),
    )
