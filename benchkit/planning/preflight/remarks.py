"""Remarks on a valid grid: images unlike those that its checkpoint draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from benchkit.config.grid import Grid
from benchkit.diffusion import checkpoint
from benchkit.diffusion.checkpoint import Checkpoint, read_json
from benchkit.errors import BenchkitError
from benchkit.planning.image_sets import Sets
from benchkit.planning.preflight.facts import Facts
from benchkit.plugin.registry import Registry
from benchkit.specs.training_sets import ImageSet

#: Images whose side is this many times the checkpoint's, or this part of it, are remarked on.
FAR = 2


def latent_factor(found: Checkpoint) -> int:
    """Return the image pixels along a side of a latent pixel."""
    widths = _config(found, "vae").get("block_out_channels", ())
    return int(2 ** max(0, len(widths) - 1))


def find_unlike_checkpoint(grid: Grid, registry: Registry) -> tuple[str, ...]:
    """Return a sentence for every source whose first image is unlike those that the checkpoint draws.

    Nothing if no image is corrupted; sets that cannot be read are faults, not remarks.
    """
    if not (grid.corruptors or grid.with_human):
        return ()
    found: dict[str, None] = {}
    with suppress(BenchkitError):
        source = checkpoint.find(grid.model)
        for images in list_first_images(grid, registry):
            size = Facts(registry).of(images)[0].size
            found |= dict.fromkeys(_unlike(grid.model, source, images, size))
    return tuple(found)


def list_first_images(grid: Grid, registry: Registry) -> Iterator[ImageSet]:
    """Yield the first image of every source."""
    sets = Sets(grid, registry)
    for key, wanted in sets.grid_sources:
        images = sets.of(key, wanted, sets.labelled(grid.selection_seed_of(grid.seeds[0])) if wanted.rest else None)
        yield ImageSet(images.dataset, images.split, images.indices[:1])


def _unlike(model: str, source: Checkpoint, images: ImageSet, size: tuple[int, int] | None) -> Iterator[str]:
    card, side = _card(source), _native_side(source)
    pixels = f" ({size[1]}x{size[0]} pixels)" if size else ""
    where = f"the images of dataset '{images.dataset.short}'{pixels}"
    if isinstance(card.get("dataset"), str) and card["dataset"] != images.dataset.name:
        yield (
            f"checkpoint '{model}' was trained on {card.get('draws', 'other images')}, and {where} are different: "
            "corruptions may look unlike a generator's artifacts; set 'model' to a checkpoint trained on such images"
        )
    elif size and side and not (side / FAR < max(size) < side * FAR):
        yield (
            f"checkpoint '{model}' was trained on images of {side}x{side} pixels, and {where} have another size: "
            "corruptions may look unlike its artifacts; choose images near its size, or another checkpoint"
        )


def _native_side(found: Checkpoint) -> int | None:
    """Pixels along a side of the images that the denoiser was trained on, as its config says."""
    cells = _config(found, "unet").get("sample_size")
    return cells * latent_factor(found) if isinstance(cells, int) and cells > 0 else None


def _card(found: Checkpoint) -> dict[str, Any]:
    """What the checkpoint's own card says of the images it draws (`dataset`, `draws`); nothing where there is none."""
    file = found.folder / "card.json"
    return read_json(file, found.folder) if file.is_file() else {}


def _config(found: Checkpoint, part: str) -> dict[str, Any]:
    return read_json(found.folder / part / "config.json", found.folder)
