"""Train one detector on one training set (Sec. 4.2, 4.4); a learned selector is such a detector too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.api import BenchkitError, Detector
from benchkit.specs.spec import Spec, TrainingConfig
from benchkit.stages.base import Env, Output, Stage
from benchkit.stages.pairs import AnyPairs, Pairs
from benchkit.store.artifacts import json_to_bytes

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchkit.plugin.registry import Registry

CHECKPOINT = "checkpoint.safetensors"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rebuild:
    """Builds a detector once more, in another process, where its plugin has to be found again."""

    detector: Spec
    seed: int
    lr: float
    files: tuple[Path, ...]

    def __call__(self, device: str) -> tuple[nn.Module, torch.optim.Optimizer | None]:
        from benchkit.plugin.registry import Registry

        plugin, network = built(Registry.load(files=self.files), self.detector, self.seed, device)
        return network, plugin.optimiser(network, self.lr)


def built(registry: Registry, detector: Spec, seed: int, device: str) -> tuple[Detector, nn.Module]:
    """The plugin, and its network on `device` with the starting weights that `seed` draws."""
    import torch

    plugin = registry.make(detector, Detector)  # type: ignore[type-abstract]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return plugin, plugin.build().to(device)


@dataclass(frozen=True)
class Train(Stage):
    """Weights of `detector` trained on `pairs`; the same key, and so the same work, whoever asks for it."""

    pairs: AnyPairs
    detector: Spec
    identity: str
    config: TrainingConfig
    seed: int

    def run(self, env: Env) -> Output:
        from benchkit.training import loop as training
        from benchkit.training import weights

        pairs = self.pairs.load(env)
        if not len(pairs.images):
            raise BenchkitError(
                f"nothing to train '{self.detector.short}' on: all {pairs.dropped} selections are empty; "
                "lower the threshold"
            )
        if not pairs.prevalence:
            raise BenchkitError(
                f"nothing to train '{self.detector}' on: none of the {len(pairs.images)} training images shows an "
                "artifact; name labelled images with artifacts"
            )
        with env.store.workdir(self.key) as work:
            try:
                network, history = self._trained(env, pairs, work / CHECKPOINT)
            except training.UnusableCheckpoint as error:
                log.warning("%s starts afresh: %s", self.describe(), error)
                (work / CHECKPOINT).unlink(missing_ok=True)
                network, history = self._trained(env, pairs, work / CHECKPOINT)
            weights.save_network(network, work / "weights.safetensors")
            data = (work / "weights.safetensors").read_bytes()
        files = {"weights.safetensors": data, "history.json": json_to_bytes(history)}
        facts: dict[str, Any] = {"images": len(pairs.images), "dropped": pairs.dropped, "config": asdict(self.config)}
        if hasattr(network, "pretraining"):
            facts["pretraining"] = str(network.pretraining)
        return Output(files, {**facts, "prevalence": pairs.prevalence})

    def _trained(self, env: Env, pairs: Pairs, checkpoint: Path) -> tuple[nn.Module, list[dict[str, float]]]:
        """The network after its last iteration, and every iteration's losses; goes on from the checkpoint."""
        plugin, network = self._built(env)
        history = self._fit(env)(
            network,
            pairs.images,
            pairs.masks,
            self.config,
            self.seed,
            optimiser=plugin.optimiser(network, self.config.lr),
            checkpoint=checkpoint,
            progress=lambda done, total, _: env.progress(f"{self.describe()} {done}/{total}"),
        )
        return network, history

    def _fit(self, env: Env) -> Callable[..., list[dict[str, float]]]:
        """The training loop on the devices of `env`."""
        from benchkit.training import loop as training
        from benchkit.training import replicas

        if len(env.devices) == 1:
            return training.train
        origin = Path(env.registry.entry(self.detector.kind, self.detector.name).origin)
        files = (origin,) if origin.suffix == ".py" else ()
        return partial(replicas.train_on, env.devices, Rebuild(self.detector, self.seed, self.config.lr, files))

    def _built(self, env: Env) -> tuple[Detector, nn.Module]:
        return built(env.registry, self.detector, self.seed, env.device)

    def network(self, env: Env) -> nn.Module:
        """The trained network, in evaluation mode on env.device."""
        from benchkit.training import weights

        _, network = self._built(env)
        weights.load_network(network, env.store.open(self.key).path("weights.safetensors"))
        return network.eval()

    def describe(self) -> str:
        return f"train {self.detector.name} on {type(self.pairs).__name__.removesuffix('Pairs').lower()}"
