"""Networks meet images of any size: as they are where that works, padded where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchkit.errors import BenchkitError
from benchkit.inference.detector import TrainedDetector
from benchkit.training.loop import TrainingConfig, predict, train
from benchkit.training.padding import heads, multiple_of


class Strided(nn.Module):
    """Halves, quarters … by its stride and adds a skip at full size, which fails where the stride does not divide."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stride, self.seen = stride, []
        self.down, self.up = nn.Conv2d(3, 4, 3, stride, 1), nn.Conv2d(4, 2, 1)
        self.skip, self.norm = nn.Conv2d(3, 2, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape[2:]))
        grown = functional.interpolate(self.up(self.down(self.norm(x))), scale_factor=self.stride)
        return grown + self.skip(x)


class Coarse(Strided):
    """Answers at a smaller size where the stride does not divide, without an error."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2, : x.shape[2] // self.stride * self.stride, : x.shape[3] // self.stride * self.stride]


def images(*size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)


@pytest.mark.parametrize("make", [Strided, Coarse])
@pytest.mark.parametrize("stride", [4, 8, 32])
@pytest.mark.parametrize("size", [(97, 61), (33, 64), (5, 7)])
def test_a_strided_network_predicts_at_any_size(make, stride, size):
    shown = images(*size)
    network = make(stride)
    got = predict(network, shown)
    assert got.shape == (3, *size) and np.isfinite(got).all()
    below, right = (-side % 32 for side in size)
    padded = np.pad(shown, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    np.testing.assert_allclose(got, predict(network, padded)[:, : size[0], : size[1]], atol=1e-6)


def test_a_size_that_works_is_shown_as_it_is():
    network = Strided(4).eval()
    for size in ((64, 96), (20, 12)):
        network.seen.clear()
        got = predict(network, images(*size))
        assert network.seen == [size]
        shown = torch.from_numpy(images(*size)).permute(0, 3, 1, 2).float().div(255).contiguous()
        with torch.inference_mode():
            np.testing.assert_array_equal(got, network(shown).softmax(1)[:, 1].numpy())


def test_what_fails_at_every_size_says_why():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("no weights yet")

    with pytest.raises(ValueError, match="no weights yet"):
        predict(Broken(), images(33, 33))
    with pytest.raises(BenchkitError, match=r"logits are \(3, 2, 16, 16\), expected \(3, classes, 32, 32\)"):
        predict(nn.Conv2d(3, 2, 3, 2, 1), images(32, 32))


def test_a_strided_network_trains_at_any_size_and_the_trial_leaves_no_trace():
    network = Strided(8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert multiple_of(network, torch.zeros(1, 3, 30, 50)) == 32
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    labels = np.zeros((3, 30, 50), bool)
    labels[:, 4:9] = True
    history = train(network, images(30, 50), labels, TrainingConfig(iterations=2, batch=2), 0)
    assert all(np.isfinite(one["loss"]) for one in history)


def detector() -> TrainedDetector:
    return TrainedDetector(Strided(4).eval(), 0.5, {})


def test_gradients_reach_images_of_any_size():
    shown = torch.rand(1, 3, 13, 18, requires_grad=True)
    detector().probabilities(shown).mean().backward()
    assert shown.grad is not None and shown.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (torch.rand(1, 3, 8, 8) * 255, "divide by 255"),
        (torch.rand(1, 3, 8, 8) * 3 - 1.5, "clamp them"),
        (torch.full((1, 3, 8, 8), float("nan")), "values from nan"),
        (torch.rand(1, 8, 8, 3), "move the channels"),
        (torch.rand(3, 8, 8), "for one image write"),
        (torch.zeros(0, 3, 8, 8), "with N >= 1"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "divide bytes by 255"),
        (np.zeros((1, 3, 8, 8), np.float32), "give a float tensor"),
    ],
)
def test_images_that_are_no_floats_in_0_to_1_are_refused(shown, message):
    with pytest.raises(BenchkitError, match=message):
        detector().probabilities(shown)


def test_a_little_beyond_0_and_1_is_no_fault():
    assert detector().probabilities(torch.rand(1, 3, 8, 8) * 1.15 - 0.07).shape == (1, 8, 8)
    assert heads(Strided(4).eval(), torch.zeros(1, 3, 8, 8))[0].shape == (1, 2, 8, 8)
