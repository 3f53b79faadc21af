"""The built-in corruptors on small latents worked out by hand, and what all of them must keep."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchkit.api import LatentContext
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.resample import corrupt
from benchkit_plugins.corruptors.blur import Blur, gaussian_blur
from benchkit_plugins.corruptors.downscale import Downscale, block_means
from benchkit_plugins.corruptors.gaussian import Gaussian
from benchkit_plugins.corruptors.none import RoundTrip
from benchkit_plugins.corruptors.renoise_masked import RenoiseMasked
from benchkit_plugins.corruptors.rotation import Rotation, bounding_square, components, quarter_turn


def context(z_t: Tensor, mask: Tensor | None = None, alpha_bar: float = 0.6) -> LatentContext:
    count, _, height, width = z_t.shape
    mask = torch.ones(count, 1, height, width, dtype=torch.bool) if mask is None else mask
    return LatentContext(
        z_t=z_t,
        z_0=torch.randn(z_t.shape, generator=torch.Generator().manual_seed(5)).to(z_t),
        mask=mask,
        alpha_bar=alpha_bar,
        image_side=8 * max(height, width),
        captions=(None,) * count,
        rng=ImageNoise(0, [f"image-{i}" for i in range(count)]),
    )


def latents(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def numbered(height: int, width: int) -> Tensor:
    return torch.arange(float(height * width)).view(1, 1, height, width)


def selected(*rows: str) -> Tensor:
    return torch.tensor([[c == "#" for c in row] for row in rows]).view(1, 1, len(rows), len(rows[0]))


def test_default_steps_are_the_papers() -> None:
    classes = (RoundTrip, RenoiseMasked, Gaussian, Rotation, Blur, Downscale)
    assert [cls().steps for cls in classes] == [10, 10, 20, 20, 20, 20]


def test_none_leaves_everything() -> None:
    at = context(latents(2, 4, 8, 8))
    assert torch.equal(corrupt(RoundTrip(), at), at.z_t)


def test_renoise_masked_is_equation_4() -> None:
    at = context(latents(2, 4, 8, 8), alpha_bar=0.64)
    assert torch.allclose(RenoiseMasked().corrupt(at), 0.8 * at.z_0 + 0.6 * at.noise())
    assert torch.equal(RenoiseMasked().corrupt(replace(at, alpha_bar=1.0)), at.z_0)


def test_gaussian_is_the_images_noise_whatever_the_latents() -> None:
    at = context(latents(2, 4, 8, 8))
    noise = Gaussian().corrupt(at)
    assert torch.equal(noise, ImageNoise(0, ["image-0", "image-1"]).normal((4, 8, 8)))
    # Common random numbers: what renoise-masked adds is the same noise.
    added = RenoiseMasked().corrupt(replace(at, z_0=torch.zeros_like(at.z_0), alpha_bar=0.36))
    assert torch.allclose(added, 0.8 * noise)


def test_rotation_of_a_square_plane_is_an_exact_quarter_turn() -> None:
    z_t = latents(2, 4, 8, 8)
    turned = Rotation().corrupt(context(z_t))
    assert torch.equal(turned, torch.rot90(z_t, 1, (2, 3)))
    for _ in range(3):
        turned = Rotation().corrupt(context(turned))
    assert torch.equal(turned, z_t)


def test_rotation_of_an_oblong_plane_mirrors_what_overhangs() -> None:
    # 2 x 4, in the square of 4 that begins one row above it:
    #   0 1 2 3 (mirror)        3 3 7 7
    #   0 1 2 3           ->    2 2 6 6   of which the two middle rows lie in the plane
    #   4 5 6 7                 1 1 5 5
    #   4 5 6 7 (mirror)        0 0 4 4
    turned = Rotation().corrupt(context(numbered(2, 4)))
    assert turned[0, 0].tolist() == [[2, 2, 6, 6], [1, 1, 5, 5]]
    tall = Rotation().corrupt(context(numbered(2, 4).transpose(2, 3)))
    assert tall[0, 0].tolist() == [[5, 6], [5, 6], [1, 2], [1, 2]]


def test_a_component_turns_in_its_bounding_square() -> None:
    mask = selected(
        "......",
        ".###..",
        "......",
        "......",
    )
    # The bounding square of the three cells is rows 0-2, columns 1-3; its middle row takes the turned middle column.
    result = Rotation(extent="component").corrupt(context(numbered(4, 6), mask))
    assert result[0, 0, 1].tolist() == [6, 2, 8, 14, 10, 11]
    assert torch.equal(result[~mask], numbered(4, 6)[~mask])


def test_components_read_the_latent_as_it_was_and_turn_apart() -> None:
    mask = selected(
        "##..",
        "##..",
        "...#",
        "...#",
    )
    result = Rotation(extent="component").corrupt(context(numbered(4, 4), mask))
    # The square turns exactly; the column's square is rows 2-3, columns 2-3.
    assert result[0, 0].tolist() == [[1, 5, 2, 3], [0, 4, 6, 7], [8, 9, 10, 15], [12, 13, 14, 14]]


def test_a_component_at_the_edge_uses_a_square_moved_into_the_plane() -> None:
    mask = selected("####", "....", "....", "....", "....")
    assert bounding_square(mask[0, 0]) == (0, 0, 4)
    mask = selected(".....", ".....", "#....", "#....", "#....")
    assert bounding_square(mask[0, 0]) == (2, 0, 3)
    # Longer than the plane is high: centred, overhanging by one row above and below.
    assert bounding_square(selected("####", "....")[0, 0]) == (-2, 0, 4)
    assert bounding_square(torch.ones(2, 4, dtype=torch.bool)) == (-1, 0, 4)


def test_components_join_diagonal_neighbours() -> None:
    mask = selected(
        "#...#",
        ".#..#",
        "....#",
        "##...",
    )[0, 0]
    parts = components(mask)
    assert sorted(int(part.sum()) for part in parts) == [2, 2, 3]
    assert torch.equal(torch.stack(parts).sum(0).bool(), mask)
    assert components(torch.zeros(3, 3, dtype=torch.bool)) == []
    spiral = selected("#####", "....#", "###.#", "#...#", "#####")[0, 0]
    assert len(components(spiral)) == 1


def test_a_full_mask_turns_the_same_either_way() -> None:
    at = context(latents(2, 4, 8, 8))
    assert torch.equal(Rotation(extent="component").corrupt(at), Rotation().corrupt(at))


def test_a_quarter_turn_leaves_what_is_outside_its_square() -> None:
    plane = numbered(4, 4)[0]
    turned = quarter_turn(plane, 1, 1, 2)
    assert turned[0].tolist() == [[0, 1, 2, 3], [4, 6, 10, 7], [8, 5, 9, 11], [12, 13, 14, 15]]
    assert torch.equal(plane, numbered(4, 4)[0])


def test_blur_of_an_impulse_is_the_gaussian() -> None:
    plane = torch.zeros(1, 1, 33, 33, dtype=torch.float64)
    plane[0, 0, 16, 16] = 1
    blurred = gaussian_blur(plane, 2.0)[0, 0]
    weights = [math.exp(-0.5 * (i / 2) ** 2) for i in range(-8, 9)]
    for y, x in ((16, 16), (14, 17), (16, 24), (16, 25)):
        wanted = math.prod(weights[8 + d] if abs(d) <= 8 else 0 for d in (y - 16, x - 16)) / sum(weights) ** 2
        assert float(blurred[y, x]) == pytest.approx(wanted, rel=1e-9)
    assert float(blurred.sum()) == pytest.approx(1)


def test_blur_repeats_the_border_and_keeps_a_constant() -> None:
    assert torch.allclose(gaussian_blur(torch.full((2, 3, 4, 7), 2.5), 5.0), torch.tensor(2.5))
    ramp = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).view(1, 1, 1, 4).double()
    weights = [math.exp(-0.5 * i**2) for i in range(-4, 5)]
    line = [0.0] * 6 + [1.0] * 6
    wanted = [sum(w * line[i + j] for j, w in enumerate(weights)) / sum(weights) for i in range(4)]
    assert gaussian_blur(ramp, 1.0).flatten().tolist() == pytest.approx(wanted)


def test_blur_sigma_is_a_share_of_the_longer_side() -> None:
    z_t = latents(1, 4, 8, 16)
    assert torch.equal(Blur(sigma=0.125).corrupt(context(z_t)), gaussian_blur(z_t, 2.0))
    almost = Blur(sigma=0.001).corrupt(context(z_t))
    assert torch.allclose(almost, z_t)


def test_downscale_puts_block_means() -> None:
    result = Downscale(factor=2).corrupt(context(numbered(4, 4)))
    assert result[0, 0].tolist() == [[2.5, 2.5, 4.5, 4.5]] * 2 + [[10.5, 10.5, 12.5, 12.5]] * 2
    z_t = latents(2, 4, 16, 16)
    assert torch.equal(Downscale(factor=1).corrupt(context(z_t)), z_t)
    assert torch.allclose(Downscale().corrupt(context(z_t))[:, :, 3, 12], z_t[:, :, :8, 8:].mean(dim=(2, 3)), atol=1e-6)


def test_downscale_with_a_factor_that_does_not_divide() -> None:
    # 3 x 5 by 2: the last row and column of blocks hold what is left.
    result = block_means(numbered(3, 5), 2)[0, 0]
    assert result.tolist() == [[3, 3, 5, 5, 6.5], [3, 3, 5, 5, 6.5], [10.5, 10.5, 12.5, 12.5, 14]]
    assert torch.equal(block_means(numbered(3, 5), 8), torch.full((1, 1, 3, 5), 7.0))
    assert block_means(numbered(2, 8), 4)[0, 0].tolist() == [[5.5] * 4 + [9.5] * 4] * 2
