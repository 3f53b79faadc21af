"""The Python API on tensors: load a checkpoint, invert, corrupt. Importing it loads no torch.

Images are PIL images of one size, rotated as their EXIF says, or a float tensor (N, 3, H, W) in [0, 1]. Masks are bool
(N, H, W). Captions are strings or None. Images are processed in chunks of benchkit.specs.training_sets.CHUNK. The
number of images in a call changes only the last bits of results, and which reference images are drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from benchkit.api import (
    CompositeCorruptor,
    Corruptor,
    Inverter,
    LatentCorruptor,
    PixelContext,
    PixelCorruptor,
    Plugin,
    Reference,
)
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry, validated
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK, SEEDS

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend
    from benchkit.diffusion.noise import ImageNoise

    Images = Sequence[Image] | Tensor
    Masks = Tensor | np.ndarray

P = TypeVar("P", bound=Plugin)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(?::(\d+))?")
_DEVICES = re.compile(r"cuda:\d+(?:,\d+)+")


def resolve_device(name: str = "auto", *, several: bool = False) -> str:
    """Return the torch device of auto, cpu, cuda, cuda:N or mps; auto is cuda if available, else cpu.

    several: also allow `cuda:0,1`, for training on several GPUs, and return it unchanged. A torch that was built for
    the CPU only is not imported. Raises BenchkitError for other names, and for a device that is not available.
    """
    if _DEVICES.fullmatch(name):
        return _several(name, several)
    match = _DEVICE.fullmatch(name)
    if not match:
        raise BenchkitError(f"unknown device '{name}': choose auto, cpu, cuda, cuda:N or mps")
    if name == "cpu" or (name == "auto" and not _built_for_gpus()):
        return "cpu"
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    available = torch.backends.mps.is_available() if name == "mps" else torch.cuda.is_available()
    if not available or int(match[1] or 0) >= max(1, torch.cuda.device_count()):
        raise BenchkitError(f"device '{name}' is not available to torch {torch.__version__}: choose auto or cpu")
    return name


def _several(name: str, allowed: bool) -> str:
    if not allowed:
        raise BenchkitError(f"device '{name}': only training uses several devices; name one, as in cuda:0")
    numbers = name.removeprefix("cuda:").split(",")
    if len({int(number) for number in numbers}) < len(numbers):
        raise BenchkitError(f"device '{name}' names one GPU twice: name each once, as in cuda:0,1")
    for number in numbers:
        resolve_device(f"cuda:{number}")
    return name


def _built_for_gpus() -> bool:
    """Return whether the installed torch may support CUDA or ROCm, from its version file, without importing it."""
    spec = find_spec("torch")
    try:
        text = Path(str(spec and spec.origin)).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    return not all(re.search(rf"^{name}\b[^=\n]*= None$", text, re.MULTILINE) for name in ("cuda", "hip"))


def load_backend(
    name_or_path: str | Path = "portraits", device: str = "auto", *, dtype: torch.dtype | None = None, steps: int = 50
) -> DiffusionBackend:
    """Load an embedded checkpoint by name, a folder in diffusers' layout, a .safetensors file, or a hub repository.

    The name may have options: `NAME:dtype=float16,vae=tiled,offload=true`. device: see `resolve_device`. dtype: of the
    networks; it replaces the option. steps: of the DDIM schedule. Raises BenchkitError for an unusable checkpoint.
    """
    from benchkit.diffusion.backend import DiffusionBackend

    return DiffusionBackend.load(name_or_path, resolve_device(device), dtype, steps)


def invert(
    backend: DiffusionBackend,
    images: Images,
    steps: int,
    inverter: str | Spec | Inverter = "renoise",
    renoise_steps: int | None = None,
    captions: Sequence[str | None] | None = None,
    seed: int = 0,
    ids: Sequence[str] | None = None,
) -> Tensor:
    """Invert images (eq. 2); return z_0 ... z_steps, (steps + 1, N, C, h, w) float32, on the backend's device.

    renoise_steps: the inverter's `iterations` (ReNoise's R); None keeps its own. seed, ids: of the noise that some
    inverters draw; ids default to "0", "1", ... Raises BenchkitError for unusable arguments.
    """
    import torch

    from benchkit.diffusion.pipeline import invert_latents

    plugin = _inverter(inverter, renoise_steps)
    backend.schedule.check_steps(_integer("steps", steps))
    pixels = image_tensor(images, backend.factor)
    parts = []
    for rows, texts, rng in _chunks(len(pixels), captions, seed, ids):
        z_0 = backend.encode(pixels[rows]).contiguous()
        parts.append(torch.stack([z_0, *invert_latents(backend, plugin, z_0, texts, rng, steps)]))
    return torch.cat(parts, dim=1)


def corrupt(
    backend: DiffusionBackend,
    images: Images,
    masks: Masks,
    corruptor: str | Spec | Corruptor,
    seed: int = 0,
    inverter: str | Spec | Inverter = "renoise",
    captions: Sequence[str | None] | None = None,
    ids: Sequence[str] | None = None,
    registry: Registry | None = None,
) -> Tensor:
    """Corrupt images inside their masks (eq. 5), resample (eq. 6) and decode: (N, 3, H, W) float32 in [0, 1].

    corruptor, inverter: `NAME:key=value`, a Spec or a plugin. ids: names of the images; the noise of an image depends
    on its name and the seed; default "0", "1", ... registry: the plugins; None means the installed ones. An image with
    an empty mask makes the round trip only, unless the corruptor changes pixels outside the mask.
    Raises BenchkitError for unusable arguments, PluginError for a plugin that breaks its contract.
    """
    import torch

    plugin, way = _plugin("corruptor", corruptor, Corruptor, registry), _inverter(inverter, None, registry)
    pixels = image_tensor(images, backend.factor)
    regions = mask_tensor(masks, pixels)
    pieces = _chunks(len(pixels), captions, seed, ids)
    chunks = [_Chunk(pixels[rows], regions[rows], texts, rng) for rows, texts, rng in pieces]
    return torch.cat(_corrupted(backend, plugin, way, chunks, registry))


def image_tensor(images: Images, factor: int) -> Tensor:
    """Return images as a float32 tensor (N, 3, H, W) in [0, 1], on their own device.

    Raises BenchkitError for other types, shapes and ranges, for images of several sizes, and for sides that `factor`
    does not divide.
    """
    import torch

    tensor = images if isinstance(images, torch.Tensor) else _from_pil(images)
    if tensor.ndim != 4 or tensor.shape[1] != 3 or not len(tensor):
        raise BenchkitError(f"images of shape {tuple(tensor.shape)}: give (N, 3, H, W) with N >= 1")
    if not tensor.is_floating_point():
        raise BenchkitError(f"images of {_short(tensor.dtype)}: give floats in [0, 1] (divide bytes by 255)")
    check_divisible("images", (tensor.shape[3], tensor.shape[2]), factor)
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= 0 and high <= 1):
        raise BenchkitError(f"images with values from {low:.4g} to {high:.4g}: give values in [0, 1]")
    # The memory layout of the stages' images: another layout changes the last bits of a convolution.
    return tensor.detach().float().contiguous(memory_format=torch.channels_last)


def check_divisible(what: str, size: tuple[int, int], factor: int) -> None:
    """Raise BenchkitError, with the nearest sizes, unless `factor` divides width and height."""
    if any(side % factor or not side for side in size):
        smaller = [max(factor, side // factor * factor) for side in size]
        larger = [-(-side // factor) * factor for side in size]
        near = " or ".join(dict.fromkeys(f"{w}x{h}" for w, h in (smaller, larger)))
        raise BenchkitError(
            f"{what}: {size[0]}x{size[1]} pixels (width x height) are not multiples of {factor}: crop or resize "
            f"to {near}"
        )


def mask_tensor(masks: Masks, images: Tensor) -> Tensor:
    """Return masks as a bool tensor (N, H, W); raise BenchkitError for another type, or a shape unlike the images'."""
    import torch

    tensor = masks if isinstance(masks, torch.Tensor) else _from_numpy(masks)
    wanted = (len(images), *images.shape[2:])
    if tuple(tensor.shape) != wanted:
        raise BenchkitError(f"masks of shape {tuple(tensor.shape)}: these images need {wanted}")
    if tensor.dtype != torch.bool:
        raise BenchkitError(f"masks of {_short(tensor.dtype)}: give bool (mask != 0)")
    return tensor.cpu()


def _from_pil(images: Any) -> Tensor:
    import numpy as np
    from PIL import Image

    from benchkit.readers.images import to_rgb
    from benchkit.stages.images import to_tensor

    if not isinstance(images, list | tuple) or not all(isinstance(image, Image.Image) for image in images):
        kind = type(images).__name__
        raise BenchkitError(f"images are a list of PIL images or a float tensor (N, 3, H, W), not this {kind}")
    if not images:
        raise BenchkitError("no images were given")
    arrays = [to_rgb(image, f"image {number}") for number, image in enumerate(images)]
    sizes = sorted({(array.shape[1], array.shape[0]) for array in arrays})
    if len(sizes) > 1:
        raise BenchkitError(f"images of several sizes ({sizes[0]} and {sizes[1]}): resize them to one")
    return to_tensor(np.stack(arrays))


def _from_numpy(masks: Any) -> Tensor:
    import numpy as np
    import torch

    if not isinstance(masks, np.ndarray):
        raise BenchkitError(f"masks are a bool tensor or array (N, H, W), not this {type(masks).__name__}")
    return torch.from_numpy(np.ascontiguousarray(masks)) if masks.dtype == bool else torch.from_numpy(masks.copy())


@dataclass(frozen=True)
class _Chunk:
    """Images that are processed together, with their masks, captions and noise."""

    images: Tensor
    masks: Tensor
    captions: tuple[str | None, ...]
    rng: ImageNoise


def _corrupted(
    backend: DiffusionBackend,
    plugin: Corruptor,
    inverter: Inverter,
    chunks: Sequence[_Chunk],
    registry: Registry | None,
) -> list[Tensor]:
    """Return each chunk after corruption, by a corruptor of any kind."""
    import torch

    from benchkit.diffusion.checks import choose_parts
    from benchkit.diffusion.pipeline import corrupt_pixels

    if isinstance(plugin, CompositeCorruptor):
        parts = [_plugin("corruptor", text, Corruptor, registry) for text in plugin.parts()]
        made = [_corrupted(backend, part, inverter, chunks, registry) for part in parts]
        rows = [enumerate(choose_parts(plugin, chunk.rng, len(chunk.images))) for chunk in chunks]
        return [torch.stack([made[part][i][row] for row, part in of]) for i, of in enumerate(rows)]
    if not isinstance(plugin, LatentCorruptor):
        pixels = cast(PixelCorruptor, plugin)
        contexts = (PixelContext(c.images.cpu(), c.masks[:, None], c.captions, c.rng) for c in chunks)
        return [corrupt_pixels(backend.autoencode, pixels, at) for at in contexts]
    backend.schedule.check_steps(plugin.steps)
    if plugin.needs_reference() and sum(len(chunk.images) for chunk in chunks) < 2:
        raise BenchkitError(
            f"corruptor '{plugin.name}' draws a reference image for each image: give two images or more"
        )
    z_0 = [backend.encode(chunk.images).contiguous() for chunk in chunks]
    references = _references(z_0, chunks) if plugin.needs_reference() else [None] * len(chunks)
    return [
        _corrupt_latents(backend, plugin, inverter, chunk, clean, reference)
        for chunk, clean, reference in zip(chunks, z_0, references, strict=True)
    ]


def _corrupt_latents(
    backend: DiffusionBackend,
    corruptor: LatentCorruptor,
    inverter: Inverter,
    chunk: _Chunk,
    z_0: Tensor,
    reference: Reference | None,
) -> Tensor:
    import torch

    from benchkit.diffusion.pipeline import Batch, corrupt_latents, invert_latents, latent_context

    batch = Batch(z_0, chunk.masks, chunk.captions, chunk.rng, reference)
    inverted = invert_latents(backend, inverter, z_0, chunk.captions, chunk.rng, corruptor.steps)
    z_t = [z_0, *inverted][-1].clone(memory_format=torch.contiguous_format)
    (z,) = corrupt_latents(backend, [corruptor], latent_context(backend, batch, z_t, corruptor.steps))
    return backend.decode(z)


def _references(z_0: Sequence[Tensor], chunks: Sequence[_Chunk]) -> list[Reference | None]:
    """Return a reference for each image, drawn from the others as the stage `Corrupt` draws it from the set."""
    import torch

    from benchkit.diffusion.noise import draw_references

    everyone, captions = torch.cat(list(z_0)), [text for chunk in chunks for text in chunk.captions]
    found: list[Reference | None] = []
    start = 0
    for chunk in chunks:
        own = range(start, start := start + len(chunk.images))
        places = draw_references(chunk.rng.seed, chunk.rng.ids, own, len(everyone))
        found.append(Reference(everyone[places], tuple(captions[place] for place in places)))
    return found


def _chunks(
    count: int, captions: Sequence[str | None] | None, seed: int, ids: Sequence[str] | None
) -> Iterator[tuple[slice, tuple[str | None, ...], ImageNoise]]:
    from benchkit.diffusion.noise import ImageNoise

    names, texts = _texts("ids", ids, [str(i) for i in range(count)]), _texts("captions", captions, [None] * count)
    if not 0 <= _integer("seed", seed) < SEEDS:
        raise BenchkitError(f"seed={seed}: give a whole number from 0 to {SEEDS - 1}")
    for start in range(0, count, CHUNK):
        rows = slice(start, min(start + CHUNK, count))
        yield rows, tuple(texts[rows]), ImageNoise(seed, [str(name) for name in names[rows]])


def _texts(what: str, given: Sequence[str | None] | None, default: Sequence[str | None]) -> Sequence[str | None]:
    if given is None:
        return default
    if isinstance(given, str) or len(given) != len(default):
        count = "one text" if isinstance(given, str) else str(len(given))
        raise BenchkitError(f"{what}: {count} for {len(default)} images; give a list with one for each")
    return list(given)


def _integer(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BenchkitError(f"{what}={value!r}: give a whole number")
    return value


def _inverter(wanted: Any, renoise_steps: int | None, registry: Registry | None = None) -> Inverter:
    plugin = _plugin("inverter", wanted, Inverter, registry)  # type: ignore[type-abstract]
    if renoise_steps is None:
        return plugin
    values = {f.name: getattr(plugin, f.name) for f in fields(plugin)}  # type: ignore[arg-type]
    if "iterations" not in values:
        raise BenchkitError(f"inverter '{plugin.name}' has no renoise iterations: leave renoise_steps out")
    spec = Spec.of("inverter", plugin.name, **{**values, "iterations": renoise_steps})
    return type(plugin)(**validated(type(plugin), spec))


def _plugin(kind: str, wanted: Any, base: type[P], registry: Registry | None = None) -> P:
    if isinstance(wanted, base):
        return wanted
    if not isinstance(wanted, str | Spec):
        raise BenchkitError(f"a {kind} is NAME:key=value, a Spec or a plugin, not this {type(wanted).__name__}")
    spec = Spec.parse(kind, wanted) if isinstance(wanted, str) else wanted
    if spec.kind != kind:
        raise BenchkitError(f"{spec.kind} '{spec}' is not a {kind}")
    return (registry or _registry()).make(spec, base)


@cache
def _registry() -> Registry:
    return Registry.load()


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
