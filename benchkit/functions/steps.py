"""The steps of a corruption by themselves: load a checkpoint, invert, corrupt. Importing it loads no torch.

Plugins are text `NAME:key=value`, a Spec, a class (which means its defaults) or a plugin. Images are an ImageBatch, a
sequence of PIL images of one size (their EXIF rotation is applied), a uint8 array (N, H, W, 3), or a float tensor
(N, 3, H, W) in [0, 1]. Masks are a bool tensor or array (N, H, W). `seed` and the images' ids decide every random draw;
captions and ids are those of an ImageBatch where they are not given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.api import Corruptor, Inverter
from benchkit.errors import ArgumentValueError
from benchkit.functions.arguments import (
    Plugins,
    check_seed,
    check_whole,
    find_model,
    load_plugins,
    make_plugin,
    texts_of,
)
from benchkit.inference.image_batch import html_picture
from benchkit.inference.images import image_tensor, mask_tensor
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import Label
from benchkit.system.devices import resolve_device

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend
    from benchkit.inference.images import Images, Masks

#: Rows of the sheet that a notebook shows of corrupted images.
SHOWN = 8


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
        (8, 4)
    """
    from benchkit.diffusion.backend import DiffusionBackend

    steps = check_whole("num_inference_steps", num_inference_steps, 1)
    return DiffusionBackend.load(name_or_path, resolve_device(device), dtype, steps)


def invert(
    images: Images,
    steps: int,
    *,
    model: str | Path | DiffusionBackend = "portraits",
    inverter: str | Spec | Inverter | type[Inverter] = "renoise",
    captions: Sequence[str | None] | None = None,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    plugins: Plugins = (),
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
        torch.Size([3, 2, 4, 16, 16])
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
    model: str | Path | DiffusionBackend = "portraits",
    inverter: str | Spec | Inverter | type[Inverter] = "renoise",
    captions: Sequence[str | None] | None = None,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    label: Label = "image",
    paste_background: bool = False,
    plugins: Plugins = (),
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

    registry = load_plugins(plugins)
    plugin = make_plugin("corruptor", corruptor, Corruptor, registry)
    way = make_plugin("inverter", inverter, Inverter, registry)  # type: ignore[type-abstract]
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
