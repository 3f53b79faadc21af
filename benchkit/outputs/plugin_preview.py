"""What a corruptor or selector does, on one sheet: images against parameter values and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from benchkit.api import (
    Corruptor,
    Dataset,
    InversionContext,
    Inverter,
    RegionSelector,
    Sample,
    SelectionContext,
)
from benchkit.errors import BenchkitError
from benchkit.inference import corruption
from benchkit.plugin.registry import Registry
from benchkit.plugin.samples import read_samples
from benchkit.specs.grammar import print_value
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend


#: The mask without a selector: a box in the middle, with half of the image's sides.
BOX = "box"
KINDS = ("corruptor", "selector")
_GAP, _HEADING = 4, 14
SPLIT = "clean"


@dataclass(frozen=True)
class PreviewRequest:
    """What a sheet shows. specs: the plugin with each of its parameter values. mask: BOX or a selector's text.

    images: the number of images, from the dataset's split `clean`, or from its first split if it has no such split.
    """

    specs: tuple[Spec, ...]
    seeds: tuple[int, ...] = (0,)
    images: int = 4
    mask: str = BOX
    dataset: str = "portraits"
    inverter: str = "renoise"
    model: str | DiffusionBackend = "portraits"
    device: str = "cpu"


@dataclass(frozen=True)
class Column:
    """One column of a sheet: its heading, and an image (H, W, 3) uint8 for every row."""

    heading: str
    images: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class CachedInverter(Inverter):
    """An inverter that computes each step once, so that the columns of one sheet share the inversion.

    It serves one batch of images: a step is cached by its timestep, and by its seed if the inverter draws noise.
    """

    inner: Inverter
    name = "cached"
    seed: list[int] = field(default_factory=lambda: [0])
    cache: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def step(self, at: InversionContext) -> Tensor:
        key = (at.t, self.seed[0] if self.inner.uses_noise() else 0)
        if key not in self.cache:
            self.cache[key] = self.inner.step(at)
        return self.cache[key].clone()

    def uses_noise(self) -> bool:
        return self.inner.uses_noise()

    def network_evaluations(self, t: int) -> int:
        return self.inner.network_evaluations(t)


def make_columns(
    registry: Registry, request: PreviewRequest, progress: Callable[[str], None] = lambda _: None
) -> list[Column]:
    """Return the sheet's columns: the images, their masks, then every value with every seed.

    Raises BenchkitError for a plugin of another kind, and for any other fault in `request`.
    """
    kind = request.specs[0].kind
    if kind not in KINDS:
        article = "an" if kind[0] in "aeiou" else "a"
        raise BenchkitError(f"{article} {kind} has no preview: only corruptors and selectors have one")
    if not 1 <= request.images <= CHUNK:
        raise BenchkitError(f"`images` {request.images}: choose 1 to {CHUNK}")
    for spec in request.specs:  # find every fault before any work
        registry.make(spec, Corruptor if kind == "corruptor" else cast("Any", RegionSelector))
    samples = read_sheet_samples(registry, request)
    if kind == "selector":
        return [Column("image", [s.image for s in samples]), *_selected(registry, request, samples)]
    return _corrupted(registry, request, samples, progress)


def read_sheet_samples(registry: Registry, request: PreviewRequest) -> list[Sample]:
    """Read the images of a sheet; raise BenchkitError if there are too few, or if their sizes differ."""
    dataset = registry.make(Spec.parse("dataset", request.dataset), Dataset)  # type: ignore[type-abstract]
    sizes = dataset.splits()
    split = SPLIT if SPLIT in sizes else next(iter(sizes))
    if request.images > sizes[split]:
        raise BenchkitError(f"split '{split}' of '{request.dataset}' has {sizes[split]} images: ask for fewer")
    samples = read_samples(dataset, split, list(range(request.images)))
    if len({s.image.shape for s in samples}) > 1:
        raise BenchkitError(f"the images of '{request.dataset}' have several sizes: set `images` to 1")
    return samples


def _corrupted(
    registry: Registry, request: PreviewRequest, samples: list[Sample], progress: Callable[[str], None]
) -> list[Column]:
    import torch

    from benchkit.diffusion.backend import DiffusionBackend

    masks = _masks(registry, request, samples)
    captions, ids = [s.caption for s in samples], [s.id for s in samples]
    model = request.model
    backend = model if isinstance(model, DiffusionBackend) else DiffusionBackend.load(model, request.device)
    inner = registry.make(Spec.parse("inverter", request.inverter), Inverter)  # type: ignore[type-abstract]
    way, images = CachedInverter(inner), _tensor(samples)
    found = [Column("image", [s.image for s in samples])]
    found.append(Column("mask", [darken_outside(s.image, m) for s, m in zip(samples, masks, strict=True)]))
    for spec in request.specs:
        plugin = registry.make(spec, Corruptor)
        for seed in request.seeds:
            progress(f"{spec} seed {seed}")
            way.seed[0] = seed
            inputs = corruption.Inputs(images, torch.from_numpy(masks), captions, ids, seed)
            made = corruption.corrupt(backend, plugin, way, inputs, registry)
            found.append(Column(_heading(spec, seed, request), list(_uint8(made))))
    return found


def _masks(registry: Registry, request: PreviewRequest, samples: list[Sample]) -> NDArray[np.bool_]:
    """Return masks (N, H, W) bool: the box, or those of a selector that needs no training."""
    if request.mask == BOX:
        height, width = samples[0].image.shape[:2]
        box = np.zeros((len(samples), height, width), bool)
        box[:, height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
        return box
    return select(registry, Spec.parse("selector", request.mask), samples, request.seeds[0])


def select(registry: Registry, spec: Spec, samples: list[Sample], seed: int) -> NDArray[np.bool_]:
    """Return a selector's masks (N, H, W) bool; raise BenchkitError for a selector that needs training."""
    import torch

    from benchkit.diffusion.noise import ImageNoise

    plugin = registry.make(spec, RegionSelector)  # type: ignore[type-abstract]
    if plugin.required_detector() is not None:
        raise BenchkitError(
            f"selector '{spec.name}' needs a trained detector, and a preview trains none: choose another "
            f"mask, such as `mask` {BOX}, or run a comparison"
        )
    parts = tuple(torch.from_numpy(select(registry, part, samples, seed)) for part in registry.parts(spec))
    at = SelectionContext(_tensor(samples), samples, ImageNoise(seed, [s.id for s in samples]), parts=parts)
    masks = plugin.select(at).cpu().numpy()
    expected = (len(samples), *samples[0].image.shape[:2])
    if masks.shape != expected or masks.dtype != np.bool_:
        raise BenchkitError(f"selector '{spec}' returned {masks.shape} {masks.dtype}, expected {expected} bool")
    return cast("NDArray[np.bool_]", masks)


def _selected(registry: Registry, request: PreviewRequest, samples: list[Sample]) -> list[Column]:
    found = []
    for spec in request.specs:
        for seed in request.seeds:
            masks = select(registry, spec, samples, seed)
            shown = [darken_outside(s.image, mask) for s, mask in zip(samples, masks, strict=True)]
            found.append(Column(_heading(spec, seed, request), shown))
    return found


def _heading(spec: Spec, seed: int, request: PreviewRequest) -> str:
    """Return the parameters that vary between columns, and the seed."""
    varying = [k for k in spec.values if len({str(s.values.get(k)) for s in request.specs}) > 1]
    lines = [f"{key}={print_value(value)}" for key, value in spec.params if key in varying] or [spec.name]
    return "\n".join([*lines, f"seed {seed}"])


def darken_outside(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the image with everything outside the mask darkened."""
    shown = image.copy()
    shown[~mask] = shown[~mask] // 3
    return shown


def _tensor(samples: list[Sample]) -> Tensor:
    from benchkit.stages.images import to_tensor

    return to_tensor(np.stack([s.image for s in samples]))


def _uint8(images: Tensor) -> NDArray[np.uint8]:
    from benchkit.stages.images import to_uint8

    return cast("NDArray[np.uint8]", to_uint8(images))


def draw_sheet(columns: Sequence[Column]) -> Image:
    """Return one image of all columns, each under its heading."""
    from PIL import Image, ImageDraw, ImageFont

    times = max(1, 128 // columns[0].images[0].shape[1])
    height, width = (times * side for side in columns[0].images[0].shape[:2])
    top = _HEADING * max(column.heading.count("\n") + 1 for column in columns) + _GAP
    rows = len(columns[0].images)
    whole = Image.new("RGB", (len(columns) * (width + _GAP) + _GAP, top + rows * (height + _GAP)), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(11)
    for i, column in enumerate(columns):
        left = _GAP + i * (width + _GAP)
        for n, line in enumerate(column.heading.split("\n")):
            draw.text((left, _GAP // 2 + n * _HEADING), line, fill="black", font=font)
        for row, pixels in enumerate(column.images):
            picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
            whole.paste(picture, (left, top + row * (height + _GAP)))
    return whole
