"""Features: stored as their trunk gives them, joined at stride 4, standardised, and trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchkit.errors import BenchkitError
from benchkit.specs.training_config import TrainingConfig
from benchkit.training.augmentation import IGNORED
from benchkit.training.ddp import Team
from benchkit.training.feature_size import feature_bytes
from benchkit.training.features import (
    FeatureBatches,
    FeatureSet,
    FrozenNetwork,
    HeadOnFeatures,
    join_maps,
    join_projected,
    trunk_maps,
)
from benchkit.training.loop import fit, predict

CONFIG = TrainingConfig(iterations=9, batch=2, lr=0.05, flip=False, checkpoint_every=4, schedule="one-cycle")


class Means(nn.Module):
    """The image itself at these strides, by block means."""

    def __init__(self, *strides: int) -> None:
        super().__init__()
        self.strides = strides
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.weight * functional.avg_pool2d(images, stride) for stride in self.strides]


def pictures(count: int = 5, side: int = 32) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def shown(images: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def head(channels: int) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(channels, 4, 1), nn.Dropout(0.2), nn.GELU(), nn.Conv2d(4, 2, 1))


def network(*strides: int) -> FrozenNetwork:
    return FrozenNetwork(lambda: Means(*strides).eval(), head(3 * len(strides)), 3 * len(strides))


def test_maps_finer_than_stride_4_are_stored_as_block_means() -> None:
    images = shown(pictures())
    fine, same, coarse = trunk_maps(Means(1, 4, 16), images)
    assert [tuple(one.shape[1:]) for one in (fine, same, coarse)] == [(3, 8, 8), (3, 8, 8), (3, 2, 2)]
    assert all(one.dtype == torch.float16 for one in (fine, same, coarse))
    assert torch.equal(same, functional.avg_pool2d(images, 4).half())
    (two,) = trunk_maps(Means(2), images)
    assert torch.allclose(two.float(), functional.avg_pool2d(images, 4), atol=1e-3), "2 x 2 means of 2 x 2 means"


def test_images_are_padded_by_their_edges_to_a_multiple_of_32() -> None:
    images = shown(pictures(2))[..., :30, :]
    (stored,) = trunk_maps(Means(4), images)
    expected = functional.avg_pool2d(torch.cat([images, images[..., -1:, :].expand(-1, -1, 2, -1)], 2), 4)
    assert torch.equal(stored, expected.half())
    assert network(4)(images).shape == (2, 2, 30, 32)


def test_joined_maps_are_resized_bilinearly_and_concatenated() -> None:
    coarse = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]).half()
    fine = torch.zeros(1, 2, 8, 8).half()
    joined = join_maps([fine, coarse], (32, 32))
    assert joined.shape == (1, 3, 8, 8)
    # Cell centres of the eight columns in units of the two: (i + 0.5) / 4 - 0.5, held at the borders.
    place = np.clip((np.arange(8) + 0.5) / 4 - 0.5, 0, 1)
    assert np.allclose(joined[0, 2].numpy(), place[None, :] + 2 * place[:, None])


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.zeros(2, 1, 8, 8), "must return a list of feature maps"),
        ([torch.zeros(2, 8, 8)], "must return a list of feature maps"),
        ([torch.zeros(1, 1, 8, 8)], "must return a list of feature maps"),
        ([torch.full((2, 1, 8, 8), 1e6)], "too large for float16"),
        ([torch.full((2, 1, 8, 8), torch.nan)], "not finite"),
    ],
)
def test_what_is_no_map_is_refused(maps: Any, message: str) -> None:
    class Wrong(nn.Module):
        def forward(self, images: Tensor) -> Any:
            return maps

    with pytest.raises(BenchkitError, match=message):
        trunk_maps(Wrong(), torch.zeros(2, 3, 32, 32), "the trunk")


def feature_set(strides: tuple[int, ...] = (4, 8), kept: Any = None) -> FeatureSet:
    images = pictures()
    trunk = Means(*strides).requires_grad_(False)
    parts = [trunk_maps(trunk, shown(images[rows])) for rows in (slice(0, 3), slice(3, 5))]
    masks = np.random.default_rng(1).random((5, 32, 32)) > 0.8
    return FeatureSet(parts, kept, masks if kept is None else masks[kept])


def test_statistics_are_those_of_all_places_of_all_kept_images() -> None:
    kept = np.array([True, False, True, True, False])
    data = feature_set(kept=kept)
    every = torch.stack([data.joined(i) for i in range(3)]).double().permute(1, 0, 2, 3).flatten(1).numpy()
    mean, std = data.statistics()
    assert np.allclose(mean.numpy(), every.mean(1), atol=1e-6)
    assert np.allclose(std.numpy(), every.std(1), atol=1e-6)
    assert torch.equal(data.joined(2), join_maps([one[:1] for one in data.parts[1]], (32, 32))[0])


def test_a_constant_channel_is_shifted_only() -> None:
    data = FeatureSet([[torch.full((2, 1, 8, 8), 3.0).half()]], None, np.zeros((2, 32, 32), bool))
    mean, std = data.statistics()
    assert (mean.item(), std.item()) == (3.0, 1.0)


def test_standardised_features_have_mean_0_and_deviation_1() -> None:
    data, made = feature_set(), network(4, 8)
    made.mean.copy_(data.statistics()[0])
    made.std.copy_(data.statistics()[1])
    every = torch.cat([join_maps(made.standardised(data.maps(i)), data.size) for i in range(len(data))])
    assert torch.allclose(every.mean((0, 2, 3)), torch.zeros(6), atol=1e-5)
    assert torch.allclose(every.std((0, 2, 3), unbiased=False), torch.ones(6), atol=1e-5)


def test_cells_are_labelled_by_the_fraction_of_their_counted_pixels() -> None:
    masks = np.zeros((1, 32, 30), np.uint8)
    masks[0, 0, :4] = 1  # 4 of the 16 pixels of the first cell
    masks[0, 1, :2] = IGNORED
    data = FeatureSet([[torch.zeros(1, 1, 8, 8).half()]], None, masks)
    labels, weights = data.cells()
    assert labels[0, 0, 0].item() == pytest.approx(4 / 14)
    assert weights[0, 0, 0].item() == pytest.approx(14 / 16)
    assert weights[0, 0, 7].item() == pytest.approx(8 / 16), "two columns are padding"
    assert float(labels.sum()) == pytest.approx(4 / 14)


def test_maps_give_the_bits_that_images_give() -> None:
    images, made = pictures(), network(2, 8)
    from_maps = made.predict(trunk_maps(Means(2, 8), shown(images)), (32, 32))
    assert np.array_equal(predict(made, images), from_maps)


def test_the_trunk_is_neither_trained_nor_saved_and_gradients_pass_through_it() -> None:
    made = network(4)
    images = shown(pictures(2)).requires_grad_()
    made(images).sum().backward()
    assert images.grad is not None and bool(images.grad.abs().sum() > 0)
    assert sum(p.numel() for p in made.parameters()) == 3 * 4 + 4 + 4 * 2 + 2
    assert {name.partition(".")[0] for name in made.state_dict()} == {"head", "mean", "std"}


def test_a_head_of_another_shape_is_refused() -> None:
    made = FrozenNetwork(lambda: Means(4), nn.Conv2d(3, 1, 1), 3)
    with pytest.raises(BenchkitError, match=r"the head's logits must be \(2, 2, 8, 8\), not \(2, 1, 8, 8\)"):
        made(torch.zeros(2, 3, 32, 32))


def trained(checkpoint: Path | None = None, stop: int | None = None) -> dict[str, Tensor]:
    data, made = feature_set(), network(4, 8)
    made.mean.copy_(data.statistics()[0])
    made.std.copy_(data.statistics()[1])

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        if done == stop:
            raise KeyboardInterrupt

    fit(
        HeadOnFeatures(made, data.size), FeatureBatches(data, made), CONFIG, 0, checkpoint=checkpoint, progress=progress
    )
    return {name: value.clone() for name, value in made.state_dict().items()}


def test_a_head_that_is_interrupted_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = trained()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "checkpoint.safetensors", stop=6)
    resumed = trained(tmp_path / "checkpoint.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    start = network(4, 8).state_dict()
    assert not torch.equal(whole["head.0.weight"], start["head.0.weight"])


def test_features_too_large_for_the_memory_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    data, made = feature_set(), network(4, 8)
    kept = FeatureBatches(data, made)
    first = [kept.at(CONFIG, 0, i, Team(), torch.device("cpu")) for i in range(4)]
    monkeypatch.setattr("benchkit.training.features.KEPT", 0)
    anew = FeatureBatches(data, made)
    for i, (inputs, labels) in enumerate(first):
        again = anew.at(CONFIG, 0, i, Team(), torch.device("cpu"))
        assert all(torch.equal(*pair) for pair in zip(inputs, again[0], strict=True))
        assert np.array_equal(labels, again[1])
    assert kept._kept and not anew._kept


@pytest.mark.parametrize("bias", [True, False])
def test_a_projection_before_the_resizing_is_the_projection_after_it(bias: bool) -> None:
    maps = trunk_maps(Means(2, 8, 32), shown(pictures(side=64)))
    projection = nn.Conv2d(9, 5, 1, bias=bias)
    floats = [one.float() for one in maps]
    before, after = join_projected(projection, floats, (64, 64)), projection(join_maps(maps, (64, 64)))
    assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize(
    "made",
    [
        head(6),
        nn.Conv2d(6, 2, 1),
        nn.Conv2d(6, 2, 3, padding=1),
        nn.Sequential(nn.Conv2d(6, 4, 1, padding="same"), nn.Conv2d(4, 2, 1)),
        nn.Sequential(nn.Conv2d(6, 4, 1, groups=2), nn.Conv2d(4, 2, 1)),
        nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1)),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 2, 1))),
    ],
)
def test_any_head_gives_what_it_gives_on_joined_features(made: nn.Module) -> None:
    frozen = FrozenNetwork(lambda: Means(4, 8), made.eval(), 6)
    frozen.mean.uniform_(-1, 1)
    frozen.std.uniform_(0.5, 2)
    maps = trunk_maps(Means(4, 8), shown(pictures()))
    joined = (join_maps(maps, (32, 32)) - frozen.mean[:, None, None]) / frozen.std[:, None, None]
    expected = functional.interpolate(made(joined), size=(32, 32), mode="bilinear", align_corners=False)
    assert torch.allclose(frozen.from_maps(maps, (32, 32)), expected, atol=1e-5)


@pytest.mark.parametrize("setting", [{"crop": 32}, {"flip": True}, {"resize": (0.5, 2.0)}, {"photometric": True}])
def test_augmentations_of_images_are_refused(setting: dict[str, Any]) -> None:
    config = TrainingConfig(**{"iterations": 1, "flip": False, **setting})
    data, made = feature_set(), network(4, 8)
    with pytest.raises(BenchkitError, match="features are not cropped, resized, mirrored or distorted"):
        fit(HeadOnFeatures(made, data.size), FeatureBatches(data, made), config, 0)


def test_bytes_of_the_mini_convnext() -> None:
    maps = [(24, 2), (48, 4), (96, 8), (192, 16)]
    assert feature_bytes(maps, 128, 128) == 2 * (24 * 32**2 + 48 * 32**2 + 96 * 16**2 + 192 * 8**2)
    assert feature_bytes(maps, 100, 128) == feature_bytes(maps, 128, 128), "padded to a multiple of 32"
