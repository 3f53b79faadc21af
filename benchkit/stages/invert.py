"""z_0 -> z_t after some steps, continued from the largest number of steps that is already there (eq. 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchkit.api import Inverter
from benchkit.specs.spec import Spec
from benchkit.stages.base import UNKEYED, Costs, Env, Output, Stage, pack_arrays
from benchkit.stages.images import Latents


@dataclass(frozen=True)
class Invert(Stage):
    """The latents of one chunk after `steps` >= 1 inversion steps.

    seed: seeds the inverter's noise. It is None if the inverter draws no noise; then all seeds share the stage. before:
    the stage with the next smaller number of steps of this trajectory in this plan. It is not part of the key, because
    the places where a trajectory is cut do not change it.
    """

    latents: Latents
    inverter: Spec
    identity: str
    steps: int
    seed: int | None
    before: Invert | None = field(default=None, metadata=UNKEYED)

    def run(self, env: Env) -> Output:
        from benchkit.diffusion.noise import ImageNoise
        from benchkit.diffusion.pipeline import invert_latents

        meta, start = env.meta(self.latents), self._deepest(env)
        inverter = env.registry.make(self.inverter, Inverter)  # type: ignore[type-abstract]
        rng = ImageNoise(self.seed or 0, meta["ids"])
        trajectory = invert_latents(
            env.backend(self.latents.model),
            inverter,
            env.tensor(self.latents, "z_0"),
            meta["captions"],
            rng,
            self.steps,
            start=(start.steps, env.tensor(start, "z_t")) if start else None,
        )
        return pack_arrays({"z_t": trajectory[-1].cpu().numpy()})

    def _deepest(self, env: Env) -> Invert | None:
        """Return the largest finished number of steps below this one that the store holds."""
        for steps in range(self.steps - 1, 0, -1):
            stage = Invert(self.latents, self.inverter, self.identity, steps, self.seed)
            if env.store.has(stage.key):
                return stage
        return None

    def network_evaluations(self, costs: Costs) -> int:
        plugin = costs.registry.make(self.inverter, Inverter)  # type: ignore[type-abstract]
        first = self.before.steps if self.before else 0
        a_step = [plugin.network_evaluations(t) for t in costs.timesteps[first : self.steps]]
        return len(self.latents.source.indices) * sum(a_step)

    def describe(self) -> str:
        return f"invert {self.inverter.name} to {self.steps} ({len(self.latents.source.indices)})"
