"""The pixel corruptors on small images worked out by hand, and what all of them must keep."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchkit.api import PixelContext, PixelCorruptor
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.pipeline import corrupt_pixels
from benchkit_plugins.corruptors import cutpaste, perlin_texture, poisson_patch
from benchkit_plugins.corruptors.cutpaste import CutPaste
from benchkit_plugins.corruptors.jpeg_block import JpegBlock
from benchkit_plugins.corruptors.perlin_texture import PerlinTexture
from benchkit_plugins.corruptors.pixel_blur import PixelBlur
from benchkit_plugins.corruptors.poisson_patch import PoissonPatch

IDS = ["a", "b", "c"]
HEIGHT, WIDTH = 32, 40


def pictures(count: int = 3) -> Tensor:
    """Every pixel of an image has a colour of its own, in steps of 1/255."""
    generator = np.random.default_rng(0)
    colours = np.arange(HEIGHT * WIDTH)
    planes = [generator.permutation(colours) for _ in range(count)]
    images = np.stack([np.stack([p % 256, p // 256, (7 * p) % 256]) for p in planes])
    return torch.from_numpy(images.reshape(count, 3, HEIGHT, WIDTH)).float() / 255


def boxes(count: int = 3, top: int = 8, left: int = 4) -> Tensor:
    masks = torch.zeros(count, 1, HEIGHT, WIDTH, dtype=torch.bool)
    masks[:, :, top : top + 10, left : left + 16] = True
    return masks


def context(images: Tensor | None = None, mask: Tensor | None = None, seed: int = 0) -> PixelContext:
    images = pictures() if images is None else images
    mask = boxes(len(images)) if mask is None else mask
    return PixelContext(images, mask, (None,) * len(images), ImageNoise(seed, IDS[: len(images)]))


def corrupted(corruptor: PixelCorruptor, at: PixelContext) -> Tensor:
    """What core makes of it, without the autoencoder."""
    return corrupt_pixels(lambda images: images, corruptor, at)


# cutpaste


def test_a_patch_is_a_rectangle_of_the_same_image() -> None:
    at = context()
    made = CutPaste(jitter=0.0).corrupt(at)
    for image, result in zip(at.images, made, strict=True):
        patch = result[:, 8:18, 4:20]
        places = [
            (y, x)
            for y in range(HEIGHT - 9)
            for x in range(WIDTH - 15)
            if torch.equal(image[:, y : y + 10, x : x + 16], patch)
        ]
        assert len(places) == 1
        assert places != [(8, 4)]


@pytest.mark.parametrize("module", [cutpaste, poisson_patch])
def test_every_other_place_is_drawn_equally_and_never_the_own(module: object) -> None:
    """A 2 x 2 box at (1, 0) of a 3 x 4 image has five other places."""
    mask = np.zeros((3, 4), bool)
    mask[1:3, 0:2] = True
    draws = [(i + 0.5) / 50 for i in range(50)]
    if module is cutpaste:
        found = [cutpaste.offset((1, 0, 2, 2), (3, 4), draw) for draw in draws]
    else:
        found = [poisson_patch.offset(mask, draw) for draw in draws]
    places = [(y, x) for y in (-1, 0) for x in (0, 1, 2) if (y, x) != (0, 0)]
    assert [found.count(place) for place in places] == [10] * 5


def test_a_box_as_large_as_the_image_is_shifted_round_the_edges() -> None:
    found = {cutpaste.offset((0, 0, 2, 3), (2, 3), draw / 50) for draw in range(50)}
    assert {poisson_patch.offset(np.ones((2, 3), bool), draw / 50) for draw in range(50)} == found
    assert found == {(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}


def test_jitter_scales_brightness_contrast_and_saturation() -> None:
    pixels = torch.tensor([[0.2, 0.4], [0.2, 0.4], [0.2, 0.4]])
    unchanged = cutpaste.jittered(pixels, 0.5, torch.full((3,), 0.5))
    assert torch.allclose(unchanged, pixels)
    brighter = cutpaste.jittered(pixels, 0.5, torch.tensor([1.0, 0.5, 0.5]))
    assert torch.allclose(brighter, 1.5 * pixels)
    flatter = cutpaste.jittered(pixels, 0.5, torch.tensor([0.5, 0.0, 0.5]))
    assert torch.allclose(flatter, 0.3 + 0.5 * (pixels - 0.3))
    coloured = torch.tensor([[0.5], [0.2], [0.2]])
    grey = 0.299 * 0.5 + 0.701 * 0.2
    dull = cutpaste.jittered(coloured, 1.0, torch.tensor([0.5, 0.5, 0.0]))
    assert torch.allclose(dull, torch.full((3, 1), grey))


def test_scars_are_thin_strips_of_the_images_own_pixels() -> None:
    at = context(mask=torch.ones(3, 1, HEIGHT, WIDTH, dtype=torch.bool))
    made = CutPaste(variant="scar", jitter=0.0, scars=1).corrupt(at)
    for image, result in zip(at.images, made, strict=True):
        changed = (image != result).any(dim=0)
        # Length at most 25 / 256 and thickness at most 16 / 256 of the side, and a pixel's rounding.
        assert 0 < int(changed.sum()) <= (25 / 256 * WIDTH + 2) * (16 / 256 * WIDTH + 2)
        own = {tuple(colour) for colour in image.flatten(1).T.tolist()}
        assert {tuple(colour) for colour in result[:, changed].T.tolist()} <= own


def test_a_strips_axes_are_turned() -> None:
    along, across = cutpaste.strip(5, 5, [2, 2], 0.0)
    assert along[:, 0].tolist() == [-2, -1, 0, 1, 2]
    assert across[0].tolist() == [-2, -1, 0, 1, 2]
    along, across = cutpaste.strip(5, 5, [2, 2], math.pi / 4)
    assert float(along[4, 4]) == pytest.approx(2 * math.sqrt(2))
    assert float(across[4, 4]) == pytest.approx(0, abs=1e-6)


# perlin-texture


def test_perlin_noise_is_within_one_and_zero_at_the_nodes() -> None:
    angles = 2 * math.pi * torch.rand(9, 9, generator=torch.Generator().manual_seed(0))
    nodes = torch.arange(8.0)
    assert torch.equal(perlin_texture.perlin(angles, nodes, nodes), torch.zeros(8, 8))
    fine = torch.arange(0, 8, 0.05)
    noise = perlin_texture.perlin(angles, fine, fine)
    assert float(noise.abs().max()) <= 1
    assert float(noise.std()) > 0.1
    # Gradients that all point into the middle of a cell give the largest value there is.
    towards = torch.tensor([[1, 3], [-1, -3]]) * math.pi / 4
    middle = perlin_texture.perlin(towards, torch.tensor([0.5]), torch.tensor([0.5]))
    assert float(middle) == pytest.approx(1)


def test_the_texture_covers_its_share_of_the_region() -> None:
    at = context()
    for share in (0.01, 0.5, 1.0):
        made = PerlinTexture(coverage=share, opacity=1.0).corrupt(at)
        changed = (made != at.images).any(dim=1, keepdim=True)
        assert not (changed & ~at.mask).any()
        assert changed.sum(dim=(1, 2, 3)).tolist() == [math.ceil(share * 160)] * 3
    noise, mask = torch.tensor([[3.0, 1.0], [2.0, 9.0]]), torch.tensor([[True, True], [True, False]])
    assert perlin_texture.covered(noise, mask, 0.5).tolist() == [[True, False], [True, False]]


def test_opacity_mixes_the_texture_with_the_image() -> None:
    """beta = 0.4 + 0.6 u with the image's own u: what opacity 1 lays over the image, that much of it."""
    at = context()
    full, part = (PerlinTexture(coverage=1.0, opacity=o).corrupt(at) for o in (1.0, 0.4))
    beta = 0.4 + 0.6 * at.rng.uniform((9,), stream="perlin-texture")[:, 8].view(3, 1, 1, 1)
    wanted = torch.where(at.mask, (1 - beta) * at.images + beta * full, at.images)
    assert torch.allclose(part, wanted, atol=1e-6)


# poisson-patch


def ellipse() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (y - 15) ** 2 / 10**2 + (x - 18) ** 2 / 14**2 < 1


@pytest.mark.parametrize("mixed", [False, True])
def test_poisson_blending_takes_gradients_and_no_level(mixed: bool) -> None:
    """A source that differs from the target by a constant, or by a harmonic function, gives the target back."""
    image = np.random.default_rng(0).random((HEIGHT, WIDTH, 3))
    y, x = np.mgrid[:HEIGHT, :WIDTH][..., None].astype(float)
    for added in (0.3, 0.01 * (x - y), 0.0001 * (x**2 - y**2)):
        made = poisson_patch.sparse_clone(image + added, image, ellipse(), mixed=False)
        assert np.allclose(made, image, atol=1e-9)
    assert np.allclose(poisson_patch.sparse_clone(np.zeros_like(image), image, ellipse(), mixed=True), image, atol=1e-9)
    made = poisson_patch.sparse_clone(image[::-1], image, ellipse(), mixed)
    assert np.array_equal(made[~ellipse()], image[~ellipse()])


def test_poisson_blending_solves_its_equation() -> None:
    """Inside, the Laplacian is the source's; one pixel is the mean of its neighbours plus the source's own excess."""
    generator = np.random.default_rng(0)
    source, target = generator.random((2, HEIGHT, WIDTH, 3))
    made, mask = poisson_patch.sparse_clone(source, target, ellipse(), mixed=False), ellipse()

    def laplacian(image: np.ndarray) -> np.ndarray:
        return 4 * image - sum(np.roll(image, shift, axis) for axis in (0, 1) for shift in (1, -1))

    assert np.allclose(laplacian(made)[mask], laplacian(source)[mask], atol=1e-9)
    point = np.zeros((HEIGHT, WIDTH), bool)
    point[5, 7] = True
    one = poisson_patch.sparse_clone(source, target, point, mixed=False)[5, 7]
    around = (target[4, 7] + target[6, 7] + target[5, 6] + target[5, 8]) / 4
    assert np.allclose(one, around + laplacian(source)[5, 7] / 4)
    # Under a full mask, what stands around the image is its own border.
    whole = poisson_patch.sparse_clone(np.zeros_like(target), np.full_like(target, 0.4), ~point | point, mixed=False)
    assert np.allclose(whole, 0.4)


def odd_masks() -> dict[str, np.ndarray]:
    """Regions that OpenCV would refuse, shift or wear away."""
    empty = np.zeros((HEIGHT, WIDTH), bool)
    corner, several, point = empty.copy(), empty.copy(), empty.copy()
    corner[:7, -9:] = True
    several[2:6, 3:30:6] = several[20:29, 5:22] = several[7, :] = True
    point[HEIGHT - 1, 0] = True
    return {"ellipse": ellipse(), "corner": corner, "several": several, "point": point, "full": ~empty, "empty": empty}


@pytest.mark.parametrize("name", odd_masks())
def test_opencv_clones_in_place_whatever_the_region(name: str) -> None:
    """A source that differs by a constant gives the target back, to a rounding; a shift by one pixel would not."""
    smooth = np.random.default_rng(0).random((HEIGHT, WIDTH, 3)) * 0.4 + 0.3
    mask = odd_masks()[name]
    made = poisson_patch.opencv_clone(smooth + 0.2, smooth, mask, mixed=False)
    assert np.abs(made - smooth).max() <= 2 / 255
    turned = poisson_patch.opencv_clone(smooth[::-1, ::-1], smooth, mask, mixed=False)
    assert np.array_equal(turned[~mask], smooth[~mask])
    assert (np.abs(turned - smooth)[mask] > 2 / 255).any() or not mask.any()


def test_opencv_clones_each_component_as_if_it_were_alone() -> None:
    image, mask = np.random.default_rng(1).random((HEIGHT, WIDTH, 3)), odd_masks()["several"]
    both = poisson_patch.opencv_clone(image[::-1], image, mask, mixed=False)
    alone = mask & (np.arange(HEIGHT) > 10)[:, None]
    assert np.array_equal(poisson_patch.opencv_clone(image[::-1], image, alone, mixed=False)[alone], both[alone])


def test_both_solvers_agree_far_better_with_each_other_than_with_a_pasted_patch() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH][..., None] / HEIGHT
    target = 0.5 + 0.2 * np.sin(np.array([5.0, 7.0, 9.0]) * (x + y))
    source = 0.8 - 0.2 * np.cos(np.array([8.0, 6.0, 4.0]) * (x - y))
    mask = ellipse()
    exact, made = (f(source, target, mask, False) for f in (poisson_patch.sparse_clone, poisson_patch.opencv_clone))
    apart, pasted = (np.abs(other - exact)[mask].mean() for other in (made, source))
    assert apart < pasted / 4


@pytest.mark.parametrize("solver", ["opencv", "sparse"])
def test_a_thin_region_is_cloned_too(solver: str) -> None:
    mask = torch.zeros(3, 1, HEIGHT, WIDTH, dtype=torch.bool)
    mask[..., 7, 5:30] = True
    at = context(mask=mask)
    changed = (corrupted(PoissonPatch(solver=solver), at) != at.images).any(dim=1)
    assert (changed[:, 7, 5:30].float().mean(dim=1) > 0.9).all()


# pixel-blur, jpeg-block


def test_pixel_blur_of_an_impulse_is_the_gaussian_and_keeps_a_constant() -> None:
    images = torch.zeros(1, 3, 33, 33)
    images[:, :, 16, 16] = 1
    blurred = PixelBlur(sigma=2 / 33).corrupt(context(images, torch.ones(1, 1, 33, 33, dtype=torch.bool)))[0, 1]
    weights = [math.exp(-0.5 * (i / 2) ** 2) for i in range(-8, 9)]
    for y, x in ((16, 16), (14, 17), (16, 24), (16, 25)):
        wanted = math.prod(weights[8 + d] if abs(d) <= 8 else 0 for d in (y - 16, x - 16)) / sum(weights) ** 2
        assert float(blurred[y, x]) == pytest.approx(wanted, rel=1e-4, abs=1e-9)
    constant = torch.full((1, 3, 8, 9), 0.3)
    assert torch.allclose(PixelBlur(sigma=1.0).corrupt(context(constant, torch.ones(1, 1, 8, 9) > 0)), constant)


def test_jpeg_is_what_pillow_writes_and_reads() -> None:
    at = context()
    made = corrupted(JpegBlock(quality=12), at)
    for image, mask, result in zip(at.images, at.mask[:, 0].numpy(), made, strict=True):
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=12, subsampling=2)
        wanted = np.where(mask[..., None], np.asarray(Image.open(file)), pixels)
        assert np.array_equal((result * 255).round().byte().permute(1, 2, 0).numpy(), wanted)
