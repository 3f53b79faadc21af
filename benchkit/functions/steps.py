"""The steps of a corruption by themselves: load a checkpoint, select, invert, corrupt. Importing it loads no torch.

Plugins are text `NAME:key=value`, a Spec, a class (which means its defaults) or a plugin. Images are an ImageBatch, a
sequence of PIL images of one size (their EXIF rotation is applied), a uint8 array (N, H, W, 3), or a float tensor
(N, 3, H, W) in [0, 1]. Masks are a bool tensor or array (N, H, W). `seed` and the images' ids decide every random draw;
captions and ids are those of an ImageBatch where they are not given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.api import Corruptor, Inverter, RegionSelector, Sample, SelectionContext
from benchkit.errors import ArgumentTypeError, ArgumentValueError, describe_value
from benchkit.functions.arguments import check_flags, check_seed, check_whole, texts_of
from benchkit.functions.plugin_arguments import PluginSources, make_plugin, open_plugins
from benchkit.inference.image_batch import ImageBatch, html_picture
from benchkit.inference.images import image_tensor, mask_tensor, pixel_arrays, stack
from benchkit.inference.models import find_model
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK, Label
from benchkit.system.devices import resolve_device

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend
    from benchkit.inference.detector import TrainedDetector
    from benchkit.inference.images import Images, Masks
    from benchkit.inference.models import ModelLike

#: Rows of the sheet that a notebook shows of corrupted images.
SHOWN = 4


def load_model(
    name_or_path: str | Path = "portraits",
    *,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    num_inference_steps: int = 50,
) -> DiffusionBackend:
    """Load a diffusion checkpoint: an embedded one by name, a folder in diffusers' layout, a file, or a repository.

    name_or_path: a repository of the Hugging Face hub is `OWNER/NAME`. Options may follow:
    `NAME:dtype=float16,vae=tiled,offload=true`. device: auto, cpu, cuda, cuda:N or mps. dtype: of the networks; it
    replaces the option. num_inference_steps: length of the DDIM schedule (the paper uses 50), which bounds the steps of
    inversion. Raises ArgumentValueError for an unknown device and BenchkitError for an unusable checkpoint.

    Example:
        >>> import benchkit
        >>> model = benchkit.load_model("portraits", device="cpu", num_inference_steps=10)
        >>> model.factor, model.latent_channels
        (8, 12)
    """
    from benchkit.diffusion.backend import DiffusionBackend

    steps = check_whole("num_inference_steps", num_inference_steps, 1)
    return DiffusionBackend.load(name_or_path, resolve_device(device), dtype, steps)


def invert(
    images: Images,
    steps: int,
    *,
    model: ModelLike = "portraits",
    inverter: str | Spec | Inverter | type[Inverter] = "renoise",
    captions: Sequence[str | None] | None = None,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    plugins: PluginSources = (),
) -> Tensor:
    """Invert images to noisier latents (eq. 2); return z_0 ... z_steps, (steps + 1, N, C, h, w) float32.

    steps: of inversion, from 0 to the length of the model's schedule. model: a checkpoint's name or a loaded one; the
    result lies on its device. inverter: `renoise:iterations=N` sets ReNoise's number of iterations. seed, ids: of the
    noise that some inverters draw. plugins: files of further plugins. Raises ArgumentTypeError and ArgumentValueError
    for unusable arguments.

    Example:
        >>> import benchkit
        >>> model = benchkit.load_model("portraits", device="cpu", num_inference_steps=10)
        >>> batch = benchkit.load_dataset("portraits")["clean"][:2]
        >>> benchkit.invert(batch, 2, model=model, inverter="ddim").shape
        torch.Size([3, 2, 12, 16, 16])
    """
    import torch

    from benchkit.inference import corruption

    backend = find_model(model)
    way = make_plugin("inverter", inverter, Inverter, plugins)  # type: ignore[type-abstract]
    check_whole("steps", steps, 0, backend.schedule.steps)
    pixels = image_tensor(images, backend.factor)
    texts, names = texts_of(images, len(pixels), captions, ids)
    empty = torch.zeros(len(pixels), *pixels.shape[2:], dtype=torch.bool)
    return corruption.invert(backend, way, corruption.Inputs(pixels, empty, texts, names, check_seed(seed)), steps)


@dataclass(frozen=True, eq=False)
class Corrupted:
    """Corrupted images with the labels that a detector learns from. It unpacks to both: `images, labels = ...`.

    images: (N, 3, H, W) float32 in [0, 1], on the model's device. labels: (N, H, W) bool. before: the images as they
    were given, on the CPU. ids: of the images.

    Example:
        >>> import benchkit
        >>> batch = benchkit.load_dataset("portraits")["pool"][:2]
        >>> made = benchkit.corrupt("pixel-blur", batch, batch.masks)
        >>> len(made), made.images.shape == made.before.shape
        (2, True)
    """

    images: Tensor
    labels: Tensor
    before: Tensor = field(repr=False)
    ids: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the images, then the labels."""
        yield self.images
        yield self.labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __repr__(self) -> str:
        count, _, height, width = self.images.shape
        area = 100 * float(self.labels.float().mean())
        return f"<Corrupted: {count} images of {width}x{height} pixels, {area:.1f} % of their pixels in the labels>"

    @cached_property
    def _sheet(self) -> bytes:
        from benchkit.report.pictures import SELECTED, Picture, PictureSheet, draw_pictures
        from benchkit.stages.images import to_uint8

        rows = []
        labels = self.labels.numpy()
        for before, after, label in zip(to_uint8(self.before), to_uint8(self.images), labels[:SHOWN], strict=False):
            rows.append((Picture(before, ((SELECTED, label),)), Picture(after), Picture(after, ((SELECTED, label),))))
        title = f"{len(rows)} of {len(self)} images" if len(rows) < len(self) else f"{len(self)} images"
        columns = ("before, with the label", "corrupted", "corrupted, with the label")
        return draw_pictures(PictureSheet(title, columns, self.ids[: len(rows)], tuple(rows)), "png")

    def _repr_png_(self) -> bytes:
        """Return the images before and after, for a notebook."""
        return self._sheet

    def _repr_html_(self) -> str:
        """Return the images before and after, with a text for readers who do not see them."""
        return html_picture(self._sheet, f"Images before and after: {repr(self).strip('<>')}")


def corrupt(
    corruptor: str | Spec | Corruptor | type[Corruptor],
    images: Images,
    masks: Masks,
    *,
    model: ModelLike = "portraits",
    inverter: str | Spec | Inverter | type[Inverter] = "renoise",
    captions: Sequence[str | None] | None = None,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    label: Label = "image",
    paste_background: bool = False,
    plugins: PluginSources = (),
) -> Corrupted:
    """Corrupt images inside their masks (eq. 5), resample (eq. 6) and decode; return images and labels.

    masks: the regions, (N, H, W) bool. model: a checkpoint's name or a loaded one; its factor divides both sides of the
    images. seed, ids: the noise of an image depends on both; so a batch of a dataset gives the images of a comparison.
    label: what the labels are: `image`, the masks as given, or `latent`, all pixels of the latent pixels that were
    replaced. paste_background: put the original pixels back outside the mask. plugins: files of further plugins.

    An image with an empty mask makes the round trip only, unless the corruptor changes pixels outside the mask. Raises
    ArgumentTypeError and ArgumentValueError for unusable arguments, PluginError for a plugin that breaks its contract.

    Example:
        >>> import benchkit
        >>> model = benchkit.load_model("portraits", device="cpu", num_inference_steps=10)
        >>> batch = benchkit.load_dataset("portraits")["pool"][:2]
        >>> images, labels = benchkit.corrupt("gaussian:steps=2", batch, batch.masks, model=model, inverter="ddim")
        >>> images.shape, labels.shape
        (torch.Size([2, 3, 128, 128]), torch.Size([2, 128, 128]))
    """
    from benchkit.inference import corruption
    from benchkit.stages.corrupt import finish_images

    registry = open_plugins(plugins)
    plugin = make_plugin("corruptor", corruptor, Corruptor, registry)
    way = make_plugin("inverter", inverter, Inverter, registry)  # type: ignore[type-abstract]
    check_flags(paste_background=paste_background)
    if label not in ("image", "latent"):
        raise ArgumentValueError(f"label={label!r}: choose 'image' or 'latent'")
    backend = find_model(model)
    pixels = image_tensor(images, backend.factor)
    regions = mask_tensor(masks, pixels)
    texts, names = texts_of(images, len(pixels), captions, ids)
    inputs = corruption.Inputs(pixels, regions, texts, names, check_seed(seed))
    decoded = corruption.corrupt(backend, plugin, way, inputs, registry)
    original = pixels if paste_background else None
    made, labels = finish_images(decoded, regions, original, label, backend.factor)
    return Corrupted(made, labels, pixels.cpu(), tuple(names))


def select(
    selector: str | Spec | RegionSelector | type[RegionSelector],
    images: Images,
    *,
    detector: TrainedDetector | None = None,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    plugins: PluginSources = (),
) -> Tensor:
    """Select the regions to corrupt (Sec. 3); return masks, (N, H, W) bool, on the CPU.

    images: an ImageBatch where the selector reads masks, captions or attributes of samples. In a comparison a selector
    sees images after the autoencoder, see `ImageBatch.autoencoded`. detector: a trained one, for a learned selector.
    Its scores are cut at the selector's threshold, or else where the mean selected area equals the fraction of
    artifact pixels that the detector was trained on. seed, ids: of the selector's random draws. plugins: files of
    further plugins. Raises ArgumentTypeError and ArgumentValueError for unusable arguments, PluginError for a plugin
    that breaks its contract.

    Example:
        >>> import benchkit
        >>> batch = benchkit.load_dataset("portraits")["clean"][:4]
        >>> masks = benchkit.select("random-boxes", batch)
        >>> masks.shape, masks.dtype
        (torch.Size([4, 128, 128]), torch.bool)
    """
    import torch

    from benchkit.diffusion.noise import ImageNoise
    from benchkit.inference.detector import predict_chunk
    from benchkit.stages.images import to_tensor
    from benchkit.stages.select import score_function, select_regions
    from benchkit.stages.threshold import matching_threshold

    registry = open_plugins(plugins)
    plugin = make_plugin("selector", selector, RegionSelector, registry)  # type: ignore[type-abstract]
    pixels = stack(pixel_arrays(images), "images")
    captions, names = texts_of(images, len(pixels), None, ids)
    samples = images.samples if isinstance(images, ImageBatch) else _plain_samples(pixels, names, captions)
    _check_needs(plugin, samples)
    options: dict[str, Any] = {"detector": detector, "seed": check_seed(seed), "ids": names, "plugins": registry}
    parts = [select(text, images, **options) for text in plugin.parts()]
    chunks = [slice(start, start + CHUNK) for start in range(0, len(pixels), CHUNK)]
    scored, threshold = [], None
    if plugin.required_detector() is not None and not parts:
        detector = _check_detector(plugin, detector)
        scored = [predict_chunk(detector.network, pixels[rows]) for rows in chunks]
        threshold = plugin.threshold()
        if threshold is None:
            threshold = matching_threshold(scored, _prevalence(detector))
    masks = []
    for number, rows in enumerate(chunks):
        score = None
        if scored and detector is not None:
            score = score_function(pixels[rows], scored[number], partial(predict_chunk, detector.network))
        at = SelectionContext(
            images=to_tensor(pixels[rows]),
            samples=samples[rows],
            rng=ImageNoise(seed, names[rows]),
            score=score,
            threshold=threshold,
            parts=tuple(part[rows] for part in parts),
        )
        masks.append(select_regions(plugin, at))
    return torch.cat(masks)


def _plain_samples(pixels: np.ndarray, ids: Sequence[str], captions: Sequence[str | None]) -> tuple[Sample, ...]:
    return tuple(Sample(id, image, None, text) for id, image, text in zip(ids, pixels, captions, strict=True))


def _check_needs(plugin: RegionSelector, samples: Sequence[Sample]) -> None:
    """Raise ArgumentValueError where a sample lacks what the selector reads."""
    for need in plugin.needs():
        for sample in samples:
            own = {"mask": sample.mask, "caption": sample.caption}
            if (own[need] if need in own else sample.attributes.get(need)) is None:
                raise ArgumentValueError(
                    f"images: selector '{plugin.name}' reads the {need} of every image, and '{sample.id}' has none: "
                    "give an ImageBatch of a dataset that has it"
                )
    if samples:
        plugin.check_sample(samples[0])


def _check_detector(plugin: RegionSelector, detector: TrainedDetector | None) -> TrainedDetector:
    from benchkit.inference.detector import TrainedDetector

    if not isinstance(detector, TrainedDetector):
        given = "none was given" if detector is None else f"not {describe_value(detector)}"
        raise ArgumentTypeError(
            f"detector: selector '{plugin.name}' needs a trained detector, {given}: give what benchkit.train or "
            "benchkit.load_detector returned"
        )
    return detector


def _prevalence(detector: TrainedDetector) -> float:
    """Return the fraction of artifact pixels that a detector was trained on."""
    found = (detector.card.get("training") or {}).get("prevalence")
    if not isinstance(found, int | float):
        raise ArgumentValueError(
            "detector: its card does not say which fraction of the training pixels were artifacts: give the selector "
            "a threshold, such as learned:tau=0.5"
        )
    return float(found)
