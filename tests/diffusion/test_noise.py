"""An image's noise belongs to it, whatever else is in the batch."""

from __future__ import annotations

from statistics import NormalDist

import pytest
import torch

from benchkit.diffusion.noise import ImageNoise

SHAPE = (4, 6, 5)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_a_row_depends_on_seed_id_and_stream_alone(kind: str) -> None:
    def draw(seed: int, ids: list[str], stream: str = "") -> torch.Tensor:
        rows: torch.Tensor = getattr(ImageNoise(seed, ids), kind)(SHAPE, stream)
        assert rows.shape == (len(ids), *SHAPE)
        assert rows.dtype == torch.float32
        return rows

    together = draw(3, ["a", "b", "c"])
    assert torch.equal(draw(3, ["b"])[0], together[1])
    assert torch.equal(draw(3, ["c", "x", "a"]), torch.stack([together[2], draw(3, ["x"])[0], together[0]]))
    assert not torch.equal(draw(4, ["a"])[0], together[0])
    assert not torch.equal(draw(3, ["a"], "other")[0], together[0])
    assert len({tuple(row.flatten().tolist()) for row in together}) == 3


def test_asking_again_or_in_between_changes_nothing() -> None:
    noise = ImageNoise(0, ["a", "b"])
    first = noise.normal(SHAPE)
    noise.uniform((3,), "rolls")
    noise.normal((7,))
    torch.manual_seed(99)
    assert torch.equal(noise.normal(SHAPE), first)


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    ImageNoise(0, ["a"]).normal(SHAPE)
    assert torch.equal(torch.rand(3), expected)


def test_ids_and_streams_do_not_run_together() -> None:
    assert not torch.equal(ImageNoise(1, ["ab"]).normal(SHAPE, "c"), ImageNoise(1, ["a"]).normal(SHAPE, "bc"))
    assert not torch.equal(ImageNoise(1, ["1"]).normal(SHAPE), ImageNoise(11, [""]).normal(SHAPE))


def test_draws_have_their_distribution() -> None:
    noise = ImageNoise(0, [f"image-{i}" for i in range(64)])
    normal, uniform = noise.normal((4, 16, 16)), noise.uniform((4, 16, 16))
    assert normal.mean() == pytest.approx(0, abs=0.02)
    assert normal.std() == pytest.approx(1, abs=0.02)
    quantile = normal.flatten().sort().values[int(0.975 * normal.numel())]
    assert quantile == pytest.approx(NormalDist().inv_cdf(0.975), abs=0.05)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.01)
    # Images are independent of each other.
    assert (normal.flatten(1).corrcoef() - torch.eye(64)).abs().max() < 0.2


def test_no_images_give_no_rows() -> None:
    assert ImageNoise(0, []).normal(SHAPE).shape == (0, *SHAPE)
