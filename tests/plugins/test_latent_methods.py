"""Methods that displace, interpolate or steer latents: cases worked out by hand, and runs on a tiny random network."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchkit.api import LatentContext, LatentCorruptor, Reference, add_noise
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.pipeline import corrupt_latents, resample_latents
from benchkit.diffusion.resample import corrupt, corrupt_and_resample
from benchkit.diffusion.schedule import Schedule
from benchkit.errors import BenchkitError
from benchkit_plugins.corruptors.attention_perturbation import AttentionPerturbation, blurred_queries
from benchkit_plugins.corruptors.blended_latent import BlendedLatent
from benchkit_plugins.corruptors.elastic_latent import ElasticLatent, displaced, smooth
from benchkit_plugins.corruptors.mode_interpolation import ModeInterpolation
from benchkit_plugins.corruptors.none import RoundTrip
from benchkit_plugins.corruptors.prompt_swap import PromptSwap
from benchkit_plugins.corruptors.renoise_masked import RenoiseMasked

STEPS = 3
CAPTIONS = ("a hat", "a hand", None)
ALL: list[LatentCorruptor] = [
    ModeInterpolation(steps=STEPS),
    ModeInterpolation(steps=STEPS, reference="mirror"),
    ElasticLatent(steps=STEPS),
    BlendedLatent(steps=STEPS),
    AttentionPerturbation(steps=STEPS),
    AttentionPerturbation(steps=STEPS, map="blur", strength=2.0),
    PromptSwap(steps=STEPS),
    PromptSwap(steps=STEPS, caption="a sign", guidance=3.0),
]


@pytest.fixture(scope="module")
def backend(tiny_checkpoint: Path) -> DiffusionBackend:
    return DiffusionBackend.load(tiny_checkpoint)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def context(schedule: Schedule, mask: Tensor | None = None, **changes: Any) -> LatentContext:
    """Three images of 8 x 8 cells at level STEPS."""
    at = LatentContext(
        z_t=draws(3, 4, 8, 8),
        z_0=draws(3, 4, 8, 8, seed=1),
        mask=draws(3, 1, 8, 8, seed=2) > 0.5 if mask is None else mask,
        alpha_bar=schedule.alpha_bar[STEPS],
        image_side=64,
        captions=CAPTIONS,
        rng=ImageNoise(0, ["a", "b", "c"]),
        reference=Reference(draws(3, 4, 8, 8, seed=3), ("a sign", None, "a hat")),
    )
    return replace(at, **changes)


def run(backend: DiffusionBackend, corruptor: LatentCorruptor, at: LatentContext) -> Tensor:
    return corrupt_and_resample(backend.predict, backend.embed, backend.schedule, corruptor, at)


def empty(count: int = 3) -> Tensor:
    return torch.zeros(count, 1, 8, 8, dtype=torch.bool)


@pytest.mark.parametrize("corruptor", [c for c in ALL if not isinstance(c, BlendedLatent)], ids=repr)
def test_an_empty_mask_makes_the_round_trip(backend: DiffusionBackend, corruptor: LatentCorruptor) -> None:
    at = context(backend.schedule, empty())
    assert torch.equal(run(backend, corruptor, at), run(backend, RoundTrip(steps=STEPS), at))


@pytest.mark.parametrize("steps", [0, STEPS])
def test_none_gives_the_images_of_the_reference(backend: DiffusionBackend, steps: int) -> None:
    """Bit for bit, whichever methods are made beside it, so that its confinement shows no change."""
    at = context(backend.schedule, alpha_bar=backend.schedule.alpha_bar[steps])
    reference = resample_latents(backend, at.z_t, at.captions, steps)
    others = [ElasticLatent(steps=steps), RoundTrip(steps=steps)]
    for result in (corrupt_latents(backend, [RoundTrip(steps=steps)], at)[0], corrupt_latents(backend, others, at)[1]):
        assert torch.equal(backend.decode(result), backend.decode(reference))


# mode-interpolation


def test_modes_are_interpolated_in_the_clean_part_alone(backend: DiffusionBackend) -> None:
    at, noise = context(backend.schedule, ~empty(), alpha_bar=0.64), draws(3, 4, 8, 8, seed=9)
    at = replace(at, z_t=add_noise(at.z_0, noise, 0.64))
    assert at.reference is not None
    made = corrupt(ModeInterpolation(weight=0.25), at)
    assert torch.allclose(made, add_noise(0.75 * at.z_0 + 0.25 * at.reference.z_0, noise, 0.64), atol=1e-6)
    mirrored = corrupt(ModeInterpolation(weight=1.0, reference="mirror"), replace(at, reference=None))
    assert torch.allclose(mirrored, add_noise(at.z_0.flip(3), noise, 0.64), atol=1e-6)
    assert torch.equal(corrupt(ModeInterpolation(weight=0.0), at), at.z_t)


def test_without_references_a_method_that_needs_them_says_so(backend: DiffusionBackend) -> None:
    at = context(backend.schedule, reference=None)
    for corruptor in (ModeInterpolation(steps=STEPS), PromptSwap(steps=STEPS)):
        with pytest.raises(BenchkitError, match=f"'{corruptor.name}' needs reference images"):
            run(backend, corruptor, at)


# elastic-latent


def test_no_displacement_reads_every_cell_exactly(backend: DiffusionBackend) -> None:
    at = context(backend.schedule, ~empty())
    assert torch.equal(corrupt(ElasticLatent(strength=0.0), at), at.z_t)


def test_a_displacement_reads_bilinearly_and_repeats_the_border() -> None:
    plane = torch.arange(12.0).view(1, 1, 3, 4)
    field = torch.zeros(1, 2, 3, 4)
    field[:, 0], field[:, 1] = 1, -0.25
    # Row y + 1 (the last one repeated), three quarters of column x and one of column x - 1.
    assert displaced(plane, field)[0, 0].tolist() == [
        [4, 4.75, 5.75, 6.75],
        [8, 8.75, 9.75, 10.75],
        [8, 8.75, 9.75, 10.75],
    ]
    far = displaced(plane, torch.full((1, 2, 3, 4), 50.0))
    assert torch.equal(far, torch.full_like(plane, 11))


def test_the_displacement_is_smooth_and_as_strong_as_told() -> None:
    field = smooth(draws(5, 2, 16, 12), 2.0)
    assert torch.allclose(field.square().sum(dim=1).mean(dim=(1, 2)), torch.ones(5))
    rough = smooth(draws(5, 2, 16, 12), 0.01)
    assert (field.diff(dim=3).abs().mean() < rough.diff(dim=3).abs().mean() / 2).item()
    assert torch.isfinite(smooth(torch.zeros(1, 2, 4, 4), 1.0)).all()


# blended-latent


def test_blended_latents_end_as_the_clean_ones_outside(backend: DiffusionBackend) -> None:
    at = context(backend.schedule)
    result, inside = run(backend, BlendedLatent(steps=STEPS), at), at.mask.expand(3, 4, 8, 8)
    assert torch.equal(result[~inside], at.z_0[~inside])
    assert not torch.isclose(result[inside], at.z_0[inside]).all()
    nothing = context(backend.schedule, empty())
    assert torch.equal(run(backend, BlendedLatent(steps=STEPS), nothing), at.z_0)


def test_blended_latents_are_sdedit_under_a_full_mask(backend: DiffusionBackend) -> None:
    at = context(backend.schedule, ~empty())
    assert torch.equal(run(backend, BlendedLatent(steps=STEPS), at), run(backend, RenoiseMasked(steps=STEPS), at))


def test_blending_written_out() -> None:
    """Two steps of a network that answers z / 2."""
    from tests.helpers.tiny_checkpoint import SD1

    schedule = Schedule.from_scheduler(SD1)
    at = replace(context(schedule), alpha_bar=schedule.alpha_bar[2])
    made = corrupt_and_resample(lambda z, t, c: z / 2, lambda captions: None, schedule, BlendedLatent(steps=2), at)
    z = add_noise(at.z_0, at.noise(), schedule.alpha_bar[2])
    phi, psi = schedule.coefficients(2)
    z = phi * z + psi * z / 2
    fresh = at.rng.normal((4, 8, 8), stream="blended-latent 1")
    z = torch.where(at.mask, z, add_noise(at.z_0, fresh, schedule.alpha_bar[1]))
    phi, psi = schedule.coefficients(1)
    assert torch.allclose(made, torch.where(at.mask, phi * z + psi * z / 2, at.z_0), atol=1e-6)


# prompt-swap


def test_the_same_caption_makes_the_round_trip(backend: DiffusionBackend) -> None:
    at = context(backend.schedule, captions=("a hat",) * 3)
    swapped = run(backend, PromptSwap(steps=STEPS, caption="a hat", guidance=7.0), at)
    assert torch.equal(swapped, run(backend, RoundTrip(steps=STEPS), at))
    unguided = run(backend, PromptSwap(steps=STEPS, guidance=0.0), context(backend.schedule))
    assert torch.equal(unguided, run(backend, RoundTrip(steps=STEPS), context(backend.schedule)))


def test_a_full_mask_resamples_under_the_other_caption(backend: DiffusionBackend) -> None:
    at = context(backend.schedule, ~empty())
    assert at.reference is not None
    swapped = run(backend, PromptSwap(steps=STEPS), at)
    assert torch.allclose(
        swapped, run(backend, RoundTrip(steps=STEPS), replace(at, captions=at.reference.captions)), atol=1e-5
    )
    nothing = run(backend, PromptSwap(steps=STEPS, caption=None), at)
    plain = run(backend, RoundTrip(steps=STEPS), replace(at, captions=(None,) * 3))
    assert torch.allclose(nothing, plain, atol=1e-5)


# attention-perturbation


def test_identity_attention_gives_each_token_its_own_value() -> None:
    query, key, value = draws(3, 2, 2, 6, 4)
    assert AttentionPerturbation().attend(query, key, value, (2, 3)) is value


def test_blurred_queries_are_the_gaussians_mean() -> None:
    query = torch.zeros(1, 1, 9 * 9, 1, dtype=torch.float64)
    query[0, 0, 4 * 9 + 4] = 1
    blurred = blurred_queries(query, (9, 9), 1.0).view(9, 9)
    weights = [math.exp(-0.5 * i**2) for i in range(-4, 5)]
    wanted = torch.outer(torch.tensor(weights), torch.tensor(weights)).double() / sum(weights) ** 2
    assert torch.allclose(blurred, wanted)
    # Blurring queries blurs the scores, over the queries' grid.
    query, key = draws(1, 2, 12, 4), draws(1, 2, 12, 4, seed=1)
    scores = query @ key.transpose(2, 3)
    by_score = blurred_queries(scores, (3, 4), 0.7)
    assert torch.allclose(blurred_queries(query, (3, 4), 0.7) @ key.transpose(2, 3), by_score, atol=1e-5)


def test_only_tokens_inside_the_mask_attend_otherwise(backend: DiffusionBackend) -> None:
    """Usual attention given back as the perturbation changes nothing; another shows, and is gone afterwards."""
    z, condition = draws(3, 4, 8, 8), backend.embed(CAPTIONS)
    usual = backend.predict(z, 41, condition)
    grids: list[tuple[int, int]] = []

    def same(query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int]) -> Tensor:
        grids.append(grid)
        return F.scaled_dot_product_attention(query, key, value)

    assert torch.allclose(backend.predict(z, 41, condition, same, ~empty()), usual, atol=1e-6)
    assert set(grids) == {(8, 8), (4, 4)} & set(grids)
    assert grids
    identity = backend.predict(z, 41, condition, lambda q, k, v, grid: v, ~empty())
    assert not torch.allclose(identity, usual)
    assert torch.equal(backend.predict(z, 41, condition, lambda q, k, v, grid: v, empty()), usual)
    assert torch.equal(backend.predict(z, 41, condition), usual)


def test_attention_is_restored_after_a_failure_and_the_method_is_named(backend: DiffusionBackend) -> None:
    class Broken(AttentionPerturbation):
        def attend(self, query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int]) -> Tensor:
            return value[:, :1]

    at = context(backend.schedule)
    usual = run(backend, RoundTrip(steps=STEPS), at)
    with pytest.raises(BenchkitError, match="'attention-perturbation' failed: ValueError: attention of shape"):
        run(backend, Broken(steps=STEPS), at)
    assert torch.equal(run(backend, RoundTrip(steps=STEPS), at), usual)


def test_tokens_of_odd_latents_are_halved_rounding_up() -> None:
    from benchkit.diffusion.attention import find_token_grid

    assert find_token_grid(63, 7, 9) == (7, 9)
    assert find_token_grid(20, 7, 9) == (4, 5)
    assert find_token_grid(1, 1, 1) == (1, 1)
    with pytest.raises(BenchkitError, match="19 attention tokens"):
        find_token_grid(19, 7, 9)


def test_strength_goes_beyond_the_perturbed_prediction(backend: DiffusionBackend) -> None:
    at = context(backend.schedule, ~empty())
    one, almost = (
        run(backend, AttentionPerturbation(steps=1, strength=s), _at_one(backend, at)) for s in (1.0, 1 + 1e-6)
    )
    assert torch.allclose(one, almost, atol=1e-5)
    none = run(backend, AttentionPerturbation(steps=1, strength=0.0), _at_one(backend, at))
    two = run(backend, AttentionPerturbation(steps=1, strength=2.0), _at_one(backend, at))
    assert torch.equal(none, run(backend, RoundTrip(steps=1), _at_one(backend, at)))
    assert torch.allclose(two - none, 2 * (one - none), atol=1e-5)


def _at_one(backend: DiffusionBackend, at: LatentContext) -> LatentContext:
    return replace(at, alpha_bar=backend.schedule.alpha_bar[1])


@pytest.mark.parametrize("corruptor", ALL, ids=repr)
def test_a_method_spends_the_forwards_it_declares(backend: DiffusionBackend, corruptor: LatentCorruptor) -> None:
    at, before = context(backend.schedule), backend.network_evaluations
    run(backend, corruptor, at)
    declared = getattr(corruptor, "network_evaluations", lambda: 1)()
    assert backend.network_evaluations - before == STEPS * declared * 3
