"""Train one detector on one training set (Sec. 4.2, 4.4); a learned selector is such a detector too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.api import BenchkitError, Detector, FrozenDetector
from benchkit.plugin.networks import build_network
from benchkit.specs.keys import LATER
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.stages.base import Env, Output, Stage
from benchkit.stages.features import Features, maps_by_image
from benchkit.stages.images import Images
from benchkit.stages.pairs import AnyPairs, LabelledPairs, Pairs
from benchkit.store.artifacts import json_to_bytes

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchkit.plugin.registry import Registry
    from benchkit.training import replicas
    from benchkit.training.features import FeatureSet, FrozenNetwork, Maps
    from benchkit.training.loop import Measure

CHECKPOINT = "checkpoint.safetensors"
#: Points of a learning curve: of a head, whose scores are cheap, and of a network that is trained whole.
HEAD_POINTS, WHOLE_POINTS = 10, 6
#: The fields of a training's history that belong to its learning curve.
CURVE = ("average_precision", "artifact_iou")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkBuilder:
    """Build a detector's network in a worker process, which loads the plugin again."""

    detector: Spec
    seed: int
    lr: float
    files: tuple[Path, ...]

    def __call__(self, device: str) -> tuple[nn.Module, torch.optim.Optimizer | None]:
        from benchkit.plugin.registry import Registry

        registry = Registry.load(files=self.files)
        plugin = registry.make(self.detector, Detector)  # type: ignore[type-abstract]
        network = start_network(registry, plugin, self.seed).to(device)
        return network, plugin.optimiser(network, self.lr)


def start_network(
    registry: Registry, detector: Detector, seed: int, make_trunk: Callable[[], nn.Module] | None = None
) -> nn.Module:
    """Return a detector's network with the starting weights that `seed` draws; make_trunk: see `build_network`."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(registry, detector, make_trunk)


def check_training_pairs(pairs: Pairs, name: str) -> None:
    """Raise BenchkitError unless a detector can learn from these pairs; name: the detector's, for messages."""
    if not len(pairs.masks):
        raise BenchkitError(
            f"nothing to train '{name}' on: all {pairs.dropped} selections are empty; lower the threshold"
        )
    if not pairs.prevalence:
        raise BenchkitError(
            f"nothing to train '{name}' on: none of the {len(pairs.masks)} training images shows an artifact; "
            "name labelled images with artifacts"
        )


def train_network(
    plugin: Detector,
    network: nn.Module,
    pairs: Pairs,
    config: TrainingConfig,
    seed: int,
    *,
    name: str,
    maps: Sequence[Maps] = (),
    loop: Callable[..., list[dict[str, float]]] | None = None,
    measure: Measure | None = None,
    **options: Any,
) -> list[dict[str, float]]:
    """Train a detector's network in place on pairs; return the losses of every iteration.

    name: the detector's, for messages. maps: of a frozen detector, the feature maps of each chunk of images, in order.
    loop: the loop over images, by default `benchkit.training.loop.train`. measure: of the learning curve. options:
    `checkpoint` and `progress`, see `benchkit.training.loop.fit`.
    """
    from benchkit.training import loop as training
    from benchkit.training.averaging import set_prior

    if config.prior_bias and not set_prior(network, pairs.prevalence, config.class_weights):
        log.warning(
            "training.prior_bias has no effect on detector '%s': it has no output layer of two channels with a bias",
            name,
        )
    options["optimiser"] = plugin.optimiser(network, config.lr)
    if isinstance(plugin, FrozenDetector):
        return _train_head(plugin, network, pairs, config, seed, name, maps, measure, options)  # type: ignore[arg-type]
    measured = {} if measure is None else {"measure": measure}
    return (loop or training.train)(network, pairs.images, pairs.masks, config, seed, **options, **measured)


def _train_head(
    plugin: FrozenDetector,
    network: FrozenNetwork,
    pairs: Pairs,
    config: TrainingConfig,
    seed: int,
    name: str,
    maps: Sequence[Maps],
    measure: Measure | None,
    options: Mapping[str, Any],
) -> list[dict[str, float]]:
    """Train a head on the features of the pairs, by the suite's loop or the plugin's own method."""
    from benchkit.training.features import FeatureBatches, FeatureSet, HeadOnFeatures
    from benchkit.training.loop import fit

    data = FeatureSet(maps, pairs.kept, np.asarray(pairs.masks))
    mean, std = data.statistics()
    network.mean.copy_(mean)
    network.std.copy_(std)
    if plugin.fits_itself:
        _fit_itself(plugin, network, data, name)
        return [] if measure is None else [dict(measure.figures(network))]
    head = HeadOnFeatures(network, data.size)
    return fit(head, FeatureBatches(data, network), config, seed, **options, measure=measure)


def _fit_itself(plugin: FrozenDetector, network: FrozenNetwork, data: FeatureSet, name: str) -> None:
    import torch

    from benchkit.training.features import join_maps

    labels, weights = (one.to(network.mean.device) for one in data.cells())
    every = (network.standardised([one.to(network.mean) for one in data.maps(i)]) for i in range(len(data)))
    features = torch.cat([join_maps(maps, data.size) for maps in every])
    network.train()
    plugin.fit(network.head, features, labels, weights)
    network.eval()
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise BenchkitError(f"fit() of detector '{name}' left weights that are not finite")


@dataclass(frozen=True)
class Train(Stage):
    """Weights of `detector` trained on `pairs`; rows with equal settings share it, because they have the same key.

    features: of all images of `pairs` and of `validation`, where the detector's trunk is frozen. validation: the images
    of the learning curve.
    """

    pairs: AnyPairs
    detector: Spec
    identity: str
    config: TrainingConfig
    seed: int
    features: tuple[Features, ...] = field(default=(), metadata=LATER)
    validation: tuple[Images, ...] = field(default=(), metadata=LATER)

    def run(self, env: Env) -> Output:
        from benchkit.training import loop as training
        from benchkit.training import weights

        pairs = self.pairs.load(env)
        check_training_pairs(pairs, self.detector.short)
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
        facts: dict[str, Any] = {"images": len(pairs.masks), "dropped": pairs.dropped, "config": asdict(self.config)}
        facts |= {"prevalence": pairs.prevalence, "curve": _curve(history)}
        if hasattr(network, "pretraining"):
            facts["pretraining"] = str(network.pretraining)
        return Output(files, facts)

    def _trained(self, env: Env, pairs: Pairs, checkpoint: Path) -> tuple[nn.Module, list[dict[str, float]]]:
        """Return the network after its last iteration, and every iteration's losses; goes on from the checkpoint."""
        plugin = env.registry.make(self.detector, Detector)  # type: ignore[type-abstract]
        network = self.start(env)
        is_frozen, known = isinstance(plugin, FrozenDetector), maps_by_image(self.features)
        measure = None  # on several devices the first one's process measures, see `_loop`
        if self.validation and (is_frozen or len(env.devices) == 1):
            measure = self._measure(env, network, HEAD_POINTS if is_frozen else WHOLE_POINTS)
        history = train_network(
            plugin,
            network,
            pairs,
            self.config,
            self.seed,
            name=self.detector.short,
            maps=[known[stage.key].maps(env) for stage in self.pairs.stages] if is_frozen else (),
            loop=self._loop(env),
            measure=measure,
            checkpoint=checkpoint,
            progress=lambda done, total, _: env.progress(f"{self.describe()} {done}/{total}"),
        )
        return network, history

    def _measure(self, env: Env, network: nn.Module, points: int) -> Measure:
        """Return what the learning curve is made of: figures of the validation images."""
        from benchkit.metrics.curves import CurvePoint
        from benchkit.training.loop import Measure

        scores_of = self._scorer(env, network, self.features)

        def figures(_: nn.Module) -> Mapping[str, float]:
            point = CurvePoint()
            for stage in self.validation:
                arrays = env.arrays(stage)
                point.add(scores_of(stage), arrays["masks"], arrays.get("ignored"))
            return point.figures()

        return Measure(figures, points)

    def _loop(self, env: Env) -> Callable[..., list[dict[str, float]]]:
        """Return the training loop of images on the devices of `env`."""
        from benchkit.training import loop as training
        from benchkit.training import replicas

        if len(env.devices) == 1:
            return training.train
        origin = Path(env.registry.entry(self.detector.kind, self.detector.name).origin)
        files = (origin,) if origin.suffix == ".py" else ()
        build = NetworkBuilder(self.detector, self.seed, self.config.lr, files)
        return partial(replicas.train_on, env.devices, build, validation=self._validation_rows(env))

    def _validation_rows(self, env: Env) -> replicas.Validation | None:
        """Return the validation images for other processes; None where there are none."""
        from benchkit.training.replicas import Validation

        if not self.validation:
            return None
        held = LabelledPairs(self.validation).load(env)
        return Validation(held.images, held.masks, WHOLE_POINTS)

    def start(self, env: Env) -> nn.Module:
        """Return the detector's network with its starting weights, on env.device."""
        trunk = self.features[0].trunk if self.features else None
        make_trunk = None if trunk is None else partial(env.trunk, trunk)
        plugin = env.registry.make(self.detector, Detector)  # type: ignore[type-abstract]
        return start_network(env.registry, plugin, self.seed, make_trunk).to(env.device)

    def network(self, env: Env) -> nn.Module:
        """Return the trained network, in evaluation mode on env.device."""
        from benchkit.training import weights

        network = self.start(env)
        weights.load_network(network, env.store.open(self.key).path("weights.safetensors"))
        return network.eval()

    def scorer(self, env: Env, features: Sequence[Features]) -> Callable[[Images], np.ndarray]:
        """Return what gives the trained network's scores (N, H, W) of finished images; features: theirs, if any."""
        return self._scorer(env, self.network(env), features)

    def _scorer(self, env: Env, network: nn.Module, features: Sequence[Features]) -> Callable[[Images], np.ndarray]:
        from benchkit.training import loop as training
        from benchkit.training.features import FrozenNetwork

        known = maps_by_image(features)

        def scores_of(stage: Images) -> np.ndarray:
            arrays = env.arrays(stage)
            if isinstance(network, FrozenNetwork):
                height, width = arrays["images"].shape[1:3]
                return network.predict(known[stage.key].maps(env), (height, width))
            return training.predict(network, arrays["images"])

        return scores_of

    def describe(self) -> str:
        return f"train {self.detector.name} on {type(self.pairs).__name__.removesuffix('Pairs').lower()}"


def _curve(history: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the learning curve in a history: its iterations and the figures at each; empty without one."""
    points = [(done, entry) for done, entry in enumerate(history, 1) if all(name in entry for name in CURVE)]
    if not points:
        return {}
    return {
        "iterations": [done for done, _ in points],
        **{name: [entry[name] for _, entry in points] for name in CURVE},
    }


def head_config(config: TrainingConfig, plugin: FrozenDetector) -> TrainingConfig:
    """Return the training of a head: without what features cannot follow, and with outputs that start at the prior.

    A head that its plugin fits uses none of the settings.
    """
    if plugin.fits_itself:
        return TrainingConfig(iterations=1, flip=False)
    off: dict[str, Any] = {"crop": None, "positive_crop": 0.0, "flip": False, "resize": None, "photometric": False}
    return replace(config, **off, prior_bias=True)
