"""z_0 -> z_t at one depth; a deeper one continues from the deepest that is already there (eq. 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchkit.api import Inverter
from benchkit.specs.spec import Spec
from benchkit.stages.base import UNKEYED, Costs, Env, Output, Stage, packed
from benchkit.stages.images import Latents


@dataclass(frozen=True)
class Invert(Stage):
    """The latents of one chunk at inversion level `level` >= 1.

    seed: of the noise, or None where the inverter draws none, so that seeds share the work. before: the next shallower
    depth of the same trajectory in this plan; not keyed, since where a trajectory is cut does not change it.
    """

    latents: Latents
    inverter: Spec
    identity: str
    level: int
    seed: int | None
    before: Invert | None = field(default=None, metadata=UNKEYED)

    def run(self, env: Env) -> Output:
        from benchkit.diffusion.noise import ImageNoise
        from benchkit.diffusion.pipeline import invert_latents

        meta, start = env.meta(self.latents), self._deepest(env)
        inverter = env.registry.make(self.inverter, Inverter)  # type: ignore[type-abstract]
        rng = ImageNoise(self.seed or 0, meta["ids"])
        levels = invert_latents(
            env.backend(self.latents.model),
            inverter,
            env.tensor(self.latents, "z_0"),
            meta["captions"],
            rng,
            self.level,
            start=(start.level, env.tensor(start, "z_t")) if start else None,
        )
        return packed({"z_t": levels[-1].cpu().numpy()})

    def _deepest(self, env: Env) -> Invert | None:
        """The deepest finished level above this one that the store holds, whoever computed it."""
        for level in range(self.level - 1, 0, -1):
            stage = Invert(self.latents, self.inverter, self.identity, level, self.seed)
            if env.store.has(stage.key):
                return stage
        return None

    def forwards(self, costs: Costs) -> int:
        plugin = costs.registry.make(self.inverter, Inverter)  # type: ignore[type-abstract]
        first = self.before.level if self.before else 0
        a_step = [plugin.forwards(t) for t in costs.timesteps[first : self.level]]
        return len(self.latents.source.indices) * sum(a_step)

    def describe(self) -> str:
        return f"invert {self.inverter.name} to {self.level} ({len(self.latents.source.indices)})"
