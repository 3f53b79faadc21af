"""What `auto` means in a grid's `sampling`, and whether a chunk fits into memory. Nothing loads networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from math import log2

from benchkit.config.grid import Grid
from benchkit.diffusion import checkpoint
from benchkit.diffusion.options import parse_model
from benchkit.errors import BenchkitError
from benchkit.planning.preflight.facts import Facts
from benchkit.planning.preflight.remarks import latent_factor, list_first_images
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import Fault
from benchkit.specs.training_sets import CHUNK, DECODED_AT_ONCE
from benchkit.system.devices import read_memory_size
from benchkit.system.number_formats import has_bfloat16, has_float16
from benchkit.system.quantities import format_size

#: The largest chunk that `auto` chooses: beyond it a denoiser is hardly faster.
MOST = 64
#: A chunk of MOST images is chosen up to this many latent pixels along a side; half as many images at twice the side.
SMALL_LATENT = 16
#: Float32 arrays that an image takes: in the decoder of its second smallest number of channels and the image's size, in
#: the denoiser of its smallest number and the latent's size. Measured with the embedded checkpoint (6 and 38) and with
#: networks of Stable Diffusion's size (5 to 6, and 61 for four images at once).
DECODER_ARRAYS, DENOISER_ARRAYS = 6, 60
#: The part of a device's memory that a chunk may take.
PART = 0.5


def choose_precision(grid: Grid, device: str) -> str:
    """Return what `sampling.precision: auto` means on a device, if the check of the images is passed."""
    if parse_model(grid.model)[1].dtype != "float32":
        return "float32"  # the option `dtype` has chosen for all networks
    if has_bfloat16(device):
        return "bfloat16"
    return "float16" if has_float16(device) else "float32"


def choose_chunk(grid: Grid, registry: Registry, device: str) -> int:
    """Return what `sampling.chunk: auto` means for a grid: it depends on its images, its checkpoint and the device.

    Raises BenchkitError where images or checkpoint cannot be read.
    """
    if any(source.rest for source in grid.every_source):
        return CHUNK  # seeds share those chunks (benchkit.planning.image_sets.order_rest_of_pool)
    largest = max(list_latent_sizes(grid, registry), key=lambda size: size[0] * size[1])
    side = max(largest)
    wanted = MOST * SMALL_LATENT // max(side, SMALL_LATENT)
    most = _count_fitting(grid, registry, device)
    return 2 ** int(log2(max(1, wanted if most is None else min(wanted, most))))


def find_large_chunk(grid: Grid, registry: Registry, device: str) -> Iterator[Fault]:
    """Yield a fault where a chunk needs more than the device's memory; its remedy is the largest one that fits."""
    chunk = grid.sampling.chunk
    if not isinstance(chunk, int) or chunk <= CHUNK:
        return  # what every version has computed
    with suppress(BenchkitError):  # faulty images and checkpoints are reported elsewhere
        size, most = read_memory_size(device), _count_fitting(grid, registry, device)
        if size is not None and most is not None and chunk > most:
            need = _bytes_of_chunk(grid, registry, device, chunk)
            yield Fault(
                f"sampling.chunk: {chunk} images at once need about {format_size(need)}, and a chunk may take half of "
                f"the {format_size(size)} of device '{device}'",
                f"{most} fit",
                {"sampling.chunk": most},
            )


def _count_fitting(grid: Grid, registry: Registry, device: str) -> int | None:
    """Return how many images fit into a device's memory at once, 1 or more; None where its size is not known."""
    size = read_memory_size(device)
    if size is None:
        return None
    denoiser, decoder = _bytes_of_image(grid, registry)
    room = PART * size
    if device == "cpu":  # which decodes a large chunk in pieces
        return max(1, int((room - DECODED_AT_ONCE * decoder) / denoiser))
    return max(1, int(room / max(denoiser, decoder)))


def _bytes_of_chunk(grid: Grid, registry: Registry, device: str, chunk: int) -> int:
    """Return about how much memory a chunk takes."""
    denoiser, decoder = _bytes_of_image(grid, registry)
    if device == "cpu":
        return chunk * denoiser + DECODED_AT_ONCE * decoder
    return chunk * max(denoiser, decoder)


def _bytes_of_image(grid: Grid, registry: Registry) -> tuple[int, int]:
    """Return the memory that an image takes in an evaluation of the denoiser, and while it is decoded."""
    found = checkpoint.find(grid.model)
    denoiser, decoder = (
        sorted(checkpoint.read_json(found.folder / part / "config.json", found.folder)["block_out_channels"])
        for part in ("unet", "vae")
    )
    height, width = _image_size(grid, registry)
    cells = height * width // latent_factor(found) ** 2
    return 4 * DENOISER_ARRAYS * denoiser[0] * cells, 4 * DECODER_ARRAYS * decoder[:2][-1] * height * width


def list_latent_sizes(grid: Grid, registry: Registry) -> list[tuple[int, int]]:
    """Return height and width of the latents of each source's first image; BenchkitError if no size is known."""
    factor = latent_factor(checkpoint.find(grid.model))
    return [(height // factor, width // factor) for height, width in _image_sizes(grid, registry)]


def _image_size(grid: Grid, registry: Registry) -> tuple[int, int]:
    """Return height and width of the largest first image of a source."""
    return max(_image_sizes(grid, registry), key=lambda one: one[0] * one[1])


def _image_sizes(grid: Grid, registry: Registry) -> list[tuple[int, int]]:
    facts = [Facts(registry).of(images)[0] for images in list_first_images(grid, registry)]
    sizes = [fact.size for fact in facts if fact.size]
    if not sizes:
        raise BenchkitError("source: the size of its images is not known")
    return sizes
