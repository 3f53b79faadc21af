"""Train a detector and score it, by the loop and the measures of a comparison. Importing it loads no torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchkit.api import Dataset, Detector, FrozenDetector
from benchkit.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    UnknownNameError,
    as_argument_error,
    describe_value,
)
from benchkit.functions.arguments import check_seed, check_whole
from benchkit.functions.datasets import DatasetView, SplitView, load_dataset
from benchkit.functions.plugin_arguments import PluginSources, make_plugin, open_plugins
from benchkit.functions.progress import Progress, Progressing, check_progress, shown
from benchkit.functions.steps import Corrupted
from benchkit.inference.detector import SCHEMA, TrainedDetector, predict_chunk, read_detector
from benchkit.inference.image_batch import ImageBatch
from benchkit.inference.images import image_tensor, mask_tensor, pixel_arrays, stack
from benchkit.inference.models import find_model
from benchkit.metrics import ARTIFACT, COMPANION, PRIMARY, best_threshold, measure_parts, metric, summarise
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.specs.training_sets import CHUNK
from benchkit.system.devices import resolve_device
from benchkit.system.paths import check_path

if TYPE_CHECKING:
    from benchkit.inference.images import Images, Masks
    from benchkit.inference.models import ModelLike
    from benchkit.metrics import Measured
    from benchkit.plugin.registry import Registry
    from benchkit.stages.pairs import Pairs

_log = logging.getLogger(__name__)
#: The split that chooses a threshold, if a dataset has it.
VALIDATION = "validation"
#: Settings with which few iterations are enough, as the preset `quick` has them: of a head on a frozen trunk, and of a
#: network that is trained whole.
HEAD: Mapping[str, Any] = {"lr": 3e-3, "schedule": "one-cycle", "weight_decay": 1.0}
WHOLE: Mapping[str, Any] = {
    "lr": 1e-3,
    "crop": 64,
    "schedule": "linear-warmup-poly",
    "warmup": 20,
    "positive_crop": 0.5,
    "class_weights": (1.0, 4.0),
    "clip_norm": 1.0,
    "prior_bias": True,
}


def train(
    detector: str | Spec | Detector | type[Detector],
    images: Images | Corrupted,
    masks: Masks | None = None,
    *,
    iterations: int = 150,
    seed: int = 0,
    device: str = "auto",
    training: Mapping[str, Any] | None = None,
    plugins: PluginSources = (),
    progress: Progressing = True,
) -> TrainedDetector:
    """Train a detector on images and masks by the training loop of a comparison; return it in evaluation mode.

    images: what `corrupt` returned, an ImageBatch, or any other form of images. masks: (N, H, W) bool, the artifact
    pixels; None takes the labels of `images`, without ignored pixels. An image with an empty mask teaches that nothing
    is there. iterations: gradient steps. seed: of the starting weights and every draw. training: further settings, by
    the keys of a grid's `training` (docs/reference/grid-keys.md), such as `{"lr": 1e-3, "batch": 4}`. The defaults suit
    few iterations; `{"lr": 6e-5, "schedule": "constant"}` is the paper's (Sec. 4.4). progress: True
    shows a bar, False nothing; or a function that takes a line of text. plugins: files of further plugins.

    In a comparison every image has passed the autoencoder, see `ImageBatch.autoencoded`. Raises ArgumentTypeError and
    ArgumentValueError for unusable arguments, and BenchkitError where no image shows an artifact or training diverges.

    Example:
        >>> import benchkit
        >>> batch = benchkit.load_dataset("portraits")["pool"][:8]
        >>> detector = benchkit.train("frozen-convnext", batch, iterations=5, device="cpu")
        >>> [heat.shape for heat in detector(batch[:2])]
        [(128, 128), (128, 128)]
    """
    from benchkit.stages.train import check_training_pairs, head_config, start_network, train_network
    from benchkit.training.batches import to_input

    check_progress(progress)
    registry = open_plugins(plugins)
    plugin = make_plugin("detector", detector, Detector, registry)  # type: ignore[type-abstract]
    pairs = _pairs(images, masks)
    if not isinstance(training, Mapping | None):
        raise ArgumentTypeError(f"training: {describe_value(training)} is no dict: give one, such as {{'lr': 1e-3}}")
    own = dict(training or {})
    config = _config(plugin, check_whole("iterations", iterations, 1), own, pairs.images.shape[1:3])
    with as_argument_error("masks"):
        check_training_pairs(pairs, plugin.name)
    network = start_network(registry, plugin, check_seed(seed)).to(resolve_device(device))
    maps = []
    if isinstance(plugin, FrozenDetector):
        config = head_config(config, plugin)
        import torch

        with torch.inference_mode():
            inputs = (
                to_input(pairs.images[i : i + CHUNK], torch.device(resolve_device(device)))
                for i in range(0, len(pairs.images), CHUNK)
            )
            maps = [[one.cpu() for one in network.maps(chunk)] for chunk in inputs]  # type: ignore[operator]
    with shown(progress) as screen:
        screen.start(config.iterations)

        def report(done: int, total: int, _: object) -> None:
            screen.note(f"train {plugin.name} {done}/{total}")
            screen.advance()

        train_network(plugin, network, pairs, config, seed, name=plugin.name, maps=maps, progress=report)
    values = {key: value for key, value in vars(plugin).items() if not key.startswith("_")}
    facts = {"images": len(pairs.images), "prevalence": pairs.prevalence, "config": asdict(config)}
    card = {
        "schema": SCHEMA,
        "detector": {"name": plugin.name, "params": values, "identity": _identity(plugin, values, registry)},
        "threshold": 0.5,
        "threshold_from": "no validation images",
        "training": facts,
    }
    return TrainedDetector(network.requires_grad_(False).eval(), 0.5, card)


def _identity(plugin: Detector, values: Mapping[str, Any], registry: Registry) -> str | None:
    """Return what identifies a detector's plugin; None for a class of this session."""
    if not registry.has("detector", plugin.name):
        return None
    entry = registry.entry("detector", plugin.name)
    if entry.cls is not type(plugin) or entry.file is None:
        return None
    return registry.identity(Spec.of("detector", plugin.name, **values))


def load_detector(folder: str | Path, *, device: str = "auto", plugins: PluginSources = ()) -> TrainedDetector:
    """Return the detector of a folder that `benchkit export` or `TrainedDetector.save` wrote, in evaluation mode.

    device: auto, cpu, cuda, cuda:N or mps. plugins: files of further plugins. Python warns if the plugin's source has
    changed since training. Raises BenchkitError if the folder holds no detector, if its weights are damaged or do not
    fit the plugin, or if there is no such plugin.

    Example:
        >>> import benchkit
        >>> detector = benchkit.load_detector("detectors/human", device="cpu")
        >>> [heat.shape for heat in detector(benchkit.load_dataset("portraits")["test"][:2])]
        [(128, 128), (128, 128)]
    """
    return read_detector(check_path("folder", folder), device, open_plugins(plugins))


def _pairs(images: Any, masks: Any) -> Pairs:
    """Return training pairs, images (N, H, W, 3) uint8 with labels, as the stages have them."""
    from benchkit.stages.images import to_uint8
    from benchkit.stages.pairs import Pairs

    if masks is None and not isinstance(images, Corrupted | ImageBatch):
        raise ArgumentTypeError("masks: give (N, H, W) bool; only an ImageBatch and what corrupt returned have labels")
    if isinstance(images, Corrupted):
        pixels = to_uint8(images.images)
        masks = images.labels if masks is None else masks
        images = images.images
    else:
        pixels = stack(pixel_arrays(images), "images")
        if masks is None:
            return Pairs(pixels, images.labels)
    return Pairs(pixels, mask_tensor(masks, image_tensor(pixels)).numpy())


def _config(plugin: Detector, iterations: int, own: dict[str, Any], size: tuple[int, ...]) -> TrainingConfig:
    """Return the settings of a training; raise ArgumentValueError for unknown keys and unusable values."""
    usual = dict(HEAD if isinstance(plugin, FrozenDetector) else WHOLE)
    usual["warmup"] = min(usual.get("warmup", 0), iterations // 5)
    if min(size) < (usual.get("crop") or 0) or own.get("crop", 1) is None:
        usual.pop("crop"), usual.pop("positive_crop")
    if "iterations" in own:
        raise ArgumentValueError("training: give iterations as an argument of its own, iterations=…")
    known = [name for name in TrainingConfig.__dataclass_fields__ if name != "iterations"]
    unknown = next((key for key in own if key not in known), None)
    if unknown is not None:
        raise ArgumentValueError(f"training: {UnknownNameError('key', str(unknown), known)}")
    try:
        return TrainingConfig(iterations=iterations, **{**usual, **own})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["training", *map(str, first["loc"])])
        raise ArgumentValueError(f"{where}: {first['msg']}, not {first['input']!r}"[:300]) from None


def evaluate(
    detector: TrainedDetector,
    dataset: DatasetView | SplitView | ImageBatch | str | Spec | Dataset | type[Dataset] = "portraits",
    *,
    split: str = "test",
    count: int | None = None,
    validation: str | None = VALIDATION,
    model: ModelLike = "portraits",
    plugins: PluginSources = (),
    progress: Progressing = True,
) -> dict[str, float]:
    """Score a trained detector on annotated images; return the figures of a board's row, by name, in per cent.

    `iou` is artifact IoU pooled over all pixels at the threshold 0.5, and `ap` average precision; the others have the
    names of a board's columns (docs/how-to/outputs.md). Fractions are in per cent, other figures in their own unit. An
    undefined figure is NaN.

    dataset: what `load_dataset` returned, a split of it, images of it, or the dataset itself in any form. split, count:
    the split to score, and how many of its first images; None means all. validation: the split that chooses the
    threshold of the figures at the validation threshold; without it, with None, or for a split or images these figures
    are missing. model: the checkpoint
    whose autoencoder the images of a dataset pass first, as in a comparison; the images of an ImageBatch are scored as
    they are. progress: as for `train`.

    Raises ArgumentTypeError and ArgumentValueError for unusable arguments, BenchkitError for images without a mask.

    Example:
        >>> import benchkit
        >>> pool = benchkit.load_dataset("portraits")["pool"]
        >>> detector = benchkit.train("frozen-convnext", pool[:8], iterations=5, device="cpu")
        >>> figures = benchkit.evaluate(detector, pool[8:12])
        >>> 0 <= figures["ap"] <= 100
        True
    """
    if not isinstance(detector, TrainedDetector):
        raise ArgumentTypeError(
            f"detector: give what benchkit.train or benchkit.load_detector returned, not {describe_value(detector)}"
        )
    check_progress(progress)
    test: ImageBatch | SplitView
    held: SplitView | None = None
    if isinstance(dataset, ImageBatch | SplitView):
        test = dataset
    else:
        view = dataset if isinstance(dataset, DatasetView) else load_dataset(dataset, plugins=plugins)
        usual = validation == VALIDATION and VALIDATION not in view
        test, held = view[split], None if validation is None or usual else view[validation]
    size = len(test) if count is None else check_whole("count", count, 1, len(test))
    with shown(progress) as screen:
        screen.start(-(-size // CHUNK) + (0 if held is None else -(-len(held) // CHUNK)))
        measure = partial(_measured, detector, model=model, screen=screen)
        threshold = None
        if held is not None:
            found = measure(held, len(held))
            if found.histograms[:, ARTIFACT].any():
                threshold = best_threshold(found.histograms, found.edges)
        measured = measure(test, size, threshold=threshold)
    short = {PRIMARY: "iou", COMPANION: "ap"}
    return {
        short.get(name, name): float(value) * (100 if metric(name).unit == "fraction" else 1)
        for name, value in summarise(measured).items()
    }


def _measured(
    detector: TrainedDetector,
    images: ImageBatch | SplitView,
    size: int,
    *,
    model: Any,
    screen: Progress,
    threshold: float | None = None,
) -> Measured:
    """Return the record of the first `size` images, chunk by chunk as the stages make it."""
    from dataclasses import replace

    from benchkit.stages.evaluate import score_arrays
    from benchkit.stages.images import autoencode, label_arrays

    parts = []
    for start in range(0, size, CHUNK):
        batch = images[start : min(start + CHUNK, size)]
        _ = batch.masks  # raises for an image without a mask
        pixels = batch.images
        if isinstance(images, SplitView) and images.dataset.autoencode:
            backend = find_model(model)
            image_tensor(pixels, backend.factor)  # raises for sides that the factor does not divide
            pixels = autoencode(backend, pixels)
        arrays, kinds = label_arrays(batch.samples, pixels)
        scores = predict_chunk(detector.network, pixels)
        # The images are not needed any more.
        parts.append(partial(score_arrays, {**arrays, "images": pixels[:0]}, kinds, scores))
        screen.note(f"evaluate {min(start + CHUNK, size)}/{size}")
        screen.advance()
    return replace(measure_parts(parts, threshold), threshold=threshold)
