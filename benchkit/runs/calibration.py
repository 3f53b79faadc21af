"""Measure what a plan's stages cost on this machine, where no earlier run has left a rate, in about 20 seconds.

The networks compute on random images of the plan's size, in this process. Stages that run no network are not measured:
selection by rules, mixtures of images, confinement.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.api import Detector
from benchkit.planning.rates import Measurement, Rates, select_machine
from benchkit.planning.workloads import DECODING, Workload, Workloads
from benchkit.runs.provenance import get_accelerator_name, read_processor_name
from benchkit.stages.base import Env, Model, Stage
from benchkit.stages.corrupt import Corrupt, CorruptPixels, RoundTrip, split_start
from benchkit.stages.evaluate import Evaluate
from benchkit.stages.features import Features, find_source
from benchkit.stages.images import Images, Latents, Source, to_tensor
from benchkit.stages.invert import Invert
from benchkit.stages.pairs import Pairs
from benchkit.stages.select import Select
from benchkit.stages.train import Train, train_network
from benchkit.store.location import get_local_folder
from benchkit.system.peak_memory import read_peak_memory

if TYPE_CHECKING:
    from torch import Tensor

#: All measurements together take about so many seconds.
SECONDS = 20.0
#: Each is repeated so rarely that its estimate keeps a wide range: random images in one process are not the run.
REPEATS = 2
#: Counted iterations of a training, after one that prepares.
ITERATIONS = 2

#: Computes on so many images, and returns the units of work (see Workload) with the seconds that they took.
Probe = Callable[[int], tuple[float, float]]


def calibrate(stages: Iterable[Stage], env: Env, seconds: float = SECONDS) -> list[str]:
    """Measure what the pending stages need that has no rate on this machine, record it, and return what was done.

    env: its store's folder has the rates of earlier runs, and gets these.
    """
    folder = get_local_folder(env.store.location)
    machine = select_machine(read_processor_name(), env.device)
    known, works = Rates.load(folder, machine), Workloads(env.registry)
    pending = [stage for stage in stages if type(stage) in _PROBES and not env.store.has(stage.key)]
    # What a masked stage costs depends on its masks, which are not known yet.
    pending = [stage for stage in pending if getattr(stage, "resampling", "exact") == "exact"]
    wanted: dict[Any, tuple[Stage, dict[str, Workload]]] = {}  # kinds that cost the same are measured once
    for stage, work in sorted(((one, works.of(one)) for one in pending), key=lambda pair: -pair[1].amount):
        if work.pixels and (work.kind, work.what, work.pixels) not in known.measured:
            same = (_PROBES[type(stage)], isinstance(stage, Invert), work.what, work.pixels)
            wanted.setdefault(same, (stage, {}))[1].setdefault(work.kind, work)
    if not wanted:
        return ["nothing was measured: the rates of all pending stages that run networks are known on this machine"]
    found, failed, end = Rates(), [], time.monotonic() + seconds
    for number, (stage, kinds) in enumerate(wanted.values()):
        left = (end - time.monotonic()) / (len(wanted) - number)
        try:
            probe = _PROBES[type(stage)](env, works, stage)
            for measurement in _measure(probe, _count_batch(stage), left):
                for work in kinds.values():
                    found.add(work, measurement)
        except Exception as error:  # such as a plugin's; the run itself will say more
            failed.append(f"'{stage.describe()}' was not measured: {' '.join(str(error).split())}")
    found.save(folder, {**machine, "accelerator": get_accelerator_name(env.device)})
    passed = time.monotonic() - end + seconds
    return [f"the rates of {len(found.measured)} kinds of stages were measured in {passed:.0f} s", *failed]


def _measure(probe: Probe, count: int, seconds: float) -> Iterator[Measurement]:
    """Yield measurements of a probe on `count` images, or as many as `seconds` allow."""
    probe(1)  # loads networks
    began = time.monotonic()
    probe(1)
    alone = time.monotonic() - began
    fitting = max(1, min(count, int(seconds / (REPEATS + 1) / max(alone, 1e-9))))
    for _ in range(REPEATS):
        amount, passed = probe(fitting)
        yield Measurement(amount, passed, read_peak_memory())


def _measure_encoder(env: Env, works: Workloads, stage: Latents) -> Probe:
    def probe(count: int) -> tuple[float, float]:
        images = to_tensor(_draw_images(works, stage.source, count))
        return count, _time(lambda: env.backend(stage.model).encode(images))

    return probe


def _measure_decoder(env: Env, works: Workloads, stage: Images) -> Probe:
    if stage.latents is None:
        return lambda _: (len(stage.source.indices), _time(lambda: stage.source.read(env)))
    source, model = stage.source, stage.latents.model

    def probe(count: int) -> tuple[float, float]:
        z = _draw_latents(env, works, source, model, count)
        return count, _time(lambda: env.backend(model).decode(z))

    return probe


def _measure_autoencoder(env: Env, works: Workloads, stage: CorruptPixels) -> Probe:
    def probe(count: int) -> tuple[float, float]:
        images = to_tensor(_draw_images(works, stage.latents.source, count))
        return count, _time(lambda: env.backend(stage.latents.model).autoencode(images))

    return probe


def _measure_denoiser(env: Env, works: Workloads, stage: Invert | Corrupt | RoundTrip) -> Probe:
    latents = stage.latents if isinstance(stage, Invert) else split_start(stage.start)[0]
    source, model = latents.source, latents.model
    decoded = 0 if isinstance(stage, Invert) else 1
    evaluations = works.network_evaluations(stage, model) / len(source.indices)

    def probe(count: int) -> tuple[float, float]:
        backend = env.backend(model)
        z, condition = _draw_latents(env, works, source, model, count), backend.embed([None] * count)
        seconds = evaluations * _time(lambda: backend.predict(z, backend.schedule.timesteps[0], condition))
        if decoded:
            seconds += _time(lambda: backend.decode(z))
        return count * (evaluations + DECODING * decoded), seconds

    return probe


def _measure_trunk(env: Env, works: Workloads, stage: Features) -> Probe:
    import torch

    from benchkit.training.batches import to_input
    from benchkit.training.features import trunk_maps

    def probe(count: int) -> tuple[float, float]:
        images = to_input(_draw_images(works, stage.source, count), torch.device(env.device))
        with torch.inference_mode():
            return count, _time(lambda: trunk_maps(env.trunk(stage.trunk), images)[0])

    return probe


def _measure_scores(env: Env, works: Workloads, stage: Evaluate | Select) -> Probe:
    """Return a probe of a detector's scores, and for an evaluation of the figures that are computed from them."""
    from benchkit import metrics

    is_evaluation = isinstance(stage, Evaluate)
    predictor = stage.predictor if isinstance(stage, Evaluate) else stage.train
    source = stage.test[0].source if isinstance(stage, Evaluate) else stage.images[0].source
    predict = _make_predictor(env, predictor) if isinstance(predictor, Train) else None

    def probe(count: int) -> tuple[float, float]:
        images = _draw_images(works, source, count)
        masks, scores = _draw_masks(images), np.zeros(images.shape[:3], np.float32)
        seconds = 0.0
        if predict is not None:
            scores, seconds = predict(images)
        if is_evaluation:
            scored = metrics.Scored(scores, masks, [{"artifact": mask} for mask in masks])
            seconds += _time(lambda: metrics.measure_parts([lambda: (scored, None)], 0.5))
        return count, seconds

    return probe


def _make_predictor(env: Env, train: Train) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    """Return what gives an untrained detector's scores of images, and their seconds without the frozen trunk's."""
    import torch

    from benchkit.training.batches import to_input
    from benchkit.training.features import FrozenNetwork
    from benchkit.training.loop import predict

    network = train.start(env).eval()

    def scores_of(images: np.ndarray) -> tuple[np.ndarray, float]:
        if not isinstance(network, FrozenNetwork):
            began = time.monotonic()
            return predict(network, images), time.monotonic() - began
        with torch.inference_mode():
            maps = network.maps(to_input(images, torch.device(env.device)))
        began = time.monotonic()
        return network.predict(maps, images.shape[1:3]), time.monotonic() - began

    return scores_of


def _measure_training(env: Env, works: Workloads, stage: Train) -> Probe:
    """Return a probe of iterations: the first one, which prepares, is not counted. A head that fits itself is whole."""
    import torch

    from benchkit.training.batches import to_input
    from benchkit.training.features import FrozenNetwork

    plugin = env.registry.make(stage.detector, Detector)  # type: ignore[type-abstract]
    source, network = find_source(stage.pairs.stages[0]), stage.start(env)

    def probe(count: int) -> tuple[float, float]:
        count = max(2, count)  # layers that average over a batch need two
        images = _draw_images(works, source, count)
        maps = []
        if isinstance(network, FrozenNetwork):
            with torch.inference_mode():
                maps = [[one.cpu() for one in network.maps(to_input(images, torch.device(env.device)))]]
        config = replace(stage.config, iterations=1 + ITERATIONS, batch=count)
        ends: list[float] = []
        began = time.monotonic()
        pairs, name = Pairs(images, _draw_masks(images)), stage.detector.short
        train_network(
            plugin, network, pairs, config, 0, name=name, maps=maps, progress=lambda *_: ends.append(time.monotonic())
        )
        if not ends:
            return count, time.monotonic() - began
        return count * ITERATIONS, ends[-1] - ends[0]

    return probe


def _draw_images(works: Workloads, source: Source, count: int) -> np.ndarray:
    """Return random images of a source's size, (N, H, W, 3) uint8."""
    height, width = works.find_size(source) or (0, 0)
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def _draw_masks(images: np.ndarray) -> np.ndarray:
    """Return annotations of images, (N, H, W) bool: their upper left quarter."""
    masks = np.zeros(images.shape[:3], bool)
    masks[:, : images.shape[1] // 2, : images.shape[2] // 2] = True
    return masks


def _draw_latents(env: Env, works: Workloads, source: Source, model: Model, count: int) -> Tensor:
    """Return random latents of a source's images, (N, C, h, w), on the device."""
    import torch

    backend = env.backend(model)
    height, width = works.find_size(source) or (0, 0)
    size = (count, backend.latent_channels, height // backend.factor, width // backend.factor)
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(env.device)


def _time(work: Callable[[], Any]) -> float:
    """Return the seconds of a computation; a tensor is fetched, because a GPU computes while Python goes on."""
    began = time.monotonic()
    result = work()
    if hasattr(result, "cpu"):
        result.cpu()
    return time.monotonic() - began


def _count_batch(stage: Stage) -> int:
    """Return how many images a stage computes on at once."""
    if isinstance(stage, Train):
        return stage.config.batch
    if isinstance(stage, Evaluate | Select):
        return len((stage.test if isinstance(stage, Evaluate) else stage.images)[0].source.indices)
    if isinstance(stage, Invert | CorruptPixels):
        return len(stage.latents.source.indices)
    if isinstance(stage, Corrupt | RoundTrip):
        return len(split_start(stage.start)[0].source.indices)
    return len(stage.source.indices)  # type: ignore[attr-defined]


_PROBES: Mapping[type[Stage], Callable[[Env, Workloads, Any], Probe]] = {
    Latents: _measure_encoder,
    Images: _measure_decoder,
    Invert: _measure_denoiser,
    Corrupt: _measure_denoiser,
    RoundTrip: _measure_denoiser,
    CorruptPixels: _measure_autoencoder,
    Features: _measure_trunk,
    Train: _measure_training,
    Evaluate: _measure_scores,
    Select: _measure_scores,
}
