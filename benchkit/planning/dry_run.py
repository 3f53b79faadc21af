"""What a plan would do, without running it: pending and cached stages, network evaluations, training iterations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchkit.planning.estimate import Estimate, estimate
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.planning.rates import Rates
from benchkit.planning.workloads import Workloads
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Costs, Model
from benchkit.stages.features import Features
from benchkit.stages.train import Train
from benchkit.store.artifacts import ArtifactStore
from benchkit.store.location import get_local_folder


@dataclass(frozen=True)
class Preview:
    """What a plan would do: pending and cached stages by kind, cells with their skips, network evaluations.

    features_size: bytes of the pending features of frozen detectors. estimate: time, memory and disk.
    """

    pending: Mapping[str, int]
    cached: Mapping[str, int]
    cells: tuple[PlannedCell, ...]
    network_evaluations: int
    pending_network_evaluations: int
    train_iterations: int
    features_size: int = 0
    estimate: Estimate = field(default_factory=Estimate)


def preview(
    plan: Plan,
    registry: Registry,
    model: Model,
    store: ArtifactStore,
    rates: Rates | None = None,
    executor: str = "inline",
) -> Preview:
    """Return what a plan would do, without running it. rates, executor: see `estimate`; without rates there is none."""
    from benchkit.diffusion.backend import timesteps_of

    costs = Costs(registry, timesteps_of(model.location, model.steps))
    have = {stage.key for stage in plan.stages if store.has(stage.key)}
    pending = [stage for stage in plan.stages if stage.key not in have]
    works = Workloads(registry)
    return Preview(
        pending=Counter(type(s).__name__.lower() for s in pending),
        cached=Counter(type(s).__name__.lower() for s in plan.stages if s.key in have),
        cells=plan.cells,
        network_evaluations=plan.network_evaluations(costs),
        pending_network_evaluations=sum(s.network_evaluations(costs) for s in pending),
        train_iterations=sum(s.config.iterations for s in pending if isinstance(s, Train)),
        features_size=sum(works.of(s).size or 0 for s in pending if isinstance(s, Features)),
        estimate=Estimate()
        if rates is None
        else estimate(pending, works, rates, get_local_folder(store.location), executor),
    )
