"""What a corruptor or selector does, seen at once: images against parameter values and seeds, on one sheet."""

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
from benchkit.inference import functional
from benchkit.plugin.registry import Registry
from benchkit.plugin.samples import read_samples
from benchkit.specs.grammar import print_value
from benchkit.specs.spec import CHUNK, Spec

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend

#: The mask that needs no selector: a box of half the image's sides, in its middle.
BOX = "box"
KINDS = ("corruptor", "selector")
SPLIT = "clean"


@dataclass(frozen=True)
class Wanted:
    """What a sheet shows. specs: the plugin with each of its parameter values. mask: BOX or a selector's text.

    images: how many, the first of the dataset's split `clean` (of its first split where it has none).
    """

    specs: tuple[Spec, ...]
    seeds: tuple[int, ...] = (0,)
    images: int = 4
    mask: str = BOX
    dataset: str = "portraits"
    inverter: str = "renoise"
    model: str = "portraits"
    device: str = "cpu"


@dataclass(frozen=True)
class Column:
    """One column of a sheet: its heading, and an image (H, W, 3) uint8 for every row."""

    heading: str
    images: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class Remembered(Inverter):
    """An inverter that does each step of the same images once: columns of one sheet share the way down.

    Only for one batch of images: a step is remembered by its timestep, and by its seed where the inverter draws noise.
    """

    inner: Inverter
    name = "remembered"
    seed: list[int] = field(default_factory=lambda: [0])
    kept: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def step(self, at: InversionContext) -> Tensor:
        key = (at.t, self.seed[0] if self.inner.uses_noise() else 0)
        if key not in self.kept:
            self.kept[key] = self.inner.step(at)
        return self.kept[key].clone()

    def uses_noise(self) -> bool:
        return self.inner.uses_noise()

    def network_evaluations(self, t: int) -> int:
        return self.inner.network_evaluations(t)


def columns(registry: Registry, wanted: Wanted, progress: Callable[[str], None] = lambda _: None) -> list[Column]:
    """The sheet's columns: the images, their masks, then every value with every seed.

    Raises BenchkitError for a plugin of a kind that has no picture, and for whatever else is a mistake in `wanted`.
    """
    kind = wanted.specs[0].kind
    if kind not in KINDS:
        article = "an" if kind[0] in "aeiou" else "a"
        raise BenchkitError(f"{article} {kind} has no preview: only corruptors and selectors show in a picture")
    if not 1 <= wanted.images <= CHUNK:
        raise BenchkitError(f"`images` {wanted.images}: choose 1 to {CHUNK}")
    for spec in wanted.specs:  # every mistake before any work
        registry.make(spec, Corruptor if kind == "corruptor" else cast("Any", RegionSelector))
    samples = sheet_samples(registry, wanted)
    if kind == "selector":
        return [Column("image", [s.image for s in samples]), *_selected(registry, wanted, samples)]
    return _corrupted(registry, wanted, samples, progress)


def sheet_samples(registry: Registry, wanted: Wanted) -> list[Sample]:
    """The images of a sheet; raises BenchkitError where the dataset has too few, or of several sizes."""
    dataset = registry.make(Spec.parse("dataset", wanted.dataset), Dataset)  # type: ignore[type-abstract]
    sizes = dataset.splits()
    split = SPLIT if SPLIT in sizes else next(iter(sizes))
    if wanted.images > sizes[split]:
        raise BenchkitError(f"split '{split}' of '{wanted.dataset}' has {sizes[split]} images: ask for fewer")
    samples = read_samples(dataset, split, list(range(wanted.images)))
    if len({s.image.shape for s in samples}) > 1:
        raise BenchkitError(f"the images of '{wanted.dataset}' have several sizes: `images` 1 shows the first")
    return samples


def _corrupted(
    registry: Registry, wanted: Wanted, samples: list[Sample], progress: Callable[[str], None]
) -> list[Column]:
    masks = _masks(registry, wanted, samples)
    backend = functional.load_backend(wanted.model, wanted.device)
    inner = registry.make(Spec.parse("inverter", wanted.inverter), Inverter)  # type: ignore[type-abstract]
    way, images = Remembered(inner), _tensor(samples)
    found = [Column("image", [s.image for s in samples])]
    found.append(Column("mask", [shaded(s.image, m) for s, m in zip(samples, masks, strict=True)]))
    for spec in wanted.specs:
        plugin = registry.make(spec, Corruptor)
        for seed in wanted.seeds:
            progress(f"{spec} seed {seed}")
            way.seed[0] = seed
            made = _one(backend, images, masks, plugin, way, seed, samples, registry)
            found.append(Column(_heading(spec, seed, wanted), list(_uint8(made))))
    return found


def _one(
    backend: DiffusionBackend,
    images: Tensor,
    masks: NDArray[np.bool_],
    plugin: Corruptor,
    way: Inverter,
    seed: int,
    samples: list[Sample],
    registry: Registry,
) -> Tensor:
    captions, ids = [s.caption for s in samples], [s.id for s in samples]
    return functional.corrupt(backend, images, masks, plugin, seed, way, captions, ids, registry)


def _masks(registry: Registry, wanted: Wanted, samples: list[Sample]) -> NDArray[np.bool_]:
    """(N, H, W) bool of the box, or of a selector that needs no training."""
    if wanted.mask == BOX:
        height, width = samples[0].image.shape[:2]
        box = np.zeros((len(samples), height, width), bool)
        box[:, height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
        return box
    return select(registry, Spec.parse("selector", wanted.mask), samples, wanted.seeds[0])


def select(registry: Registry, spec: Spec, samples: list[Sample], seed: int) -> NDArray[np.bool_]:
    """A selector's masks (N, H, W); raises BenchkitError for one that must be trained first."""
    import torch

    from benchkit.diffusion.noise import ImageNoise

    plugin = registry.make(spec, RegionSelector)  # type: ignore[type-abstract]
    if plugin.detector() is not None:
        raise BenchkitError(
            f"selector '{spec.name}' needs a trained detector, and a preview trains none: compare it, or choose "
            f"another mask (`mask` {BOX})"
        )
    parts = tuple(torch.from_numpy(select(registry, part, samples, seed)) for part in registry.parts(spec))
    at = SelectionContext(_tensor(samples), samples, ImageNoise(seed, [s.id for s in samples]), parts=parts)
    masks = plugin.select(at).cpu().numpy()
    expected = (len(samples), *samples[0].image.shape[:2])
    if masks.shape != expected or masks.dtype != np.bool_:
        raise BenchkitError(f"selector '{spec}' returned {masks.shape} {masks.dtype}, expected {expected} bool")
    return cast("NDArray[np.bool_]", masks)


def _selected(registry: Registry, wanted: Wanted, samples: list[Sample]) -> list[Column]:
    found = []
    for spec in wanted.specs:
        for seed in wanted.seeds:
            masks = select(registry, spec, samples, seed)
            shown = [shaded(s.image, mask) for s, mask in zip(samples, masks, strict=True)]
            found.append(Column(_heading(spec, seed, wanted), shown))
    return found


def _heading(spec: Spec, seed: int, wanted: Wanted) -> str:
    """What tells this column from the others: the parameters that vary, and the seed."""
    varying = [k for k in spec.values if len({str(s.values.get(k)) for s in wanted.specs}) > 1]
    lines = [f"{key}={print_value(value)}" for key, value in spec.params if key in varying] or [spec.name]
    return "\n".join([*lines, f"seed {seed}"])


def shaded(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image with what is not selected dark."""
    shown = image.copy()
    shown[~mask] = shown[~mask] // 3
    return shown


def _tensor(samples: list[Sample]) -> Tensor:
    from benchkit.stages.images import to_tensor

    return to_tensor(np.stack([s.image for s in samples]))


def _uint8(images: Tensor) -> NDArray[np.uint8]:
    from benchkit.stages.images import to_uint8

    return cast("NDArray[np.uint8]", to_uint8(images))
