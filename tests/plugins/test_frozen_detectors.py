"""The built-in frozen detectors: their trunks are those of the trained ones, the convex head is scikit-learn's."""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from benchkit.errors import BenchkitError
from benchkit.plugin.networks import build_network, build_trunk, find_trunk, read_maps
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit_plugins.detectors._convex import fit_logistic
from benchkit_plugins.detectors.frozen_convnext import ConvexConvNeXt, FrozenConvNeXt
from benchkit_plugins.detectors.frozen_convnext_long import WEIGHTS, FrozenConvNeXtLong
from benchkit_plugins.detectors.frozen_swin import FrozenSwin
from benchkit_plugins.detectors.upernet_convnext import UPerNetConvNeXt
from benchkit_plugins.detectors.upernet_swin import UPerNetSwin

PAIRS = [(FrozenConvNeXt, UPerNetConvNeXt), (FrozenSwin, UPerNetSwin)]


@pytest.mark.parametrize(("frozen", "whole"), PAIRS)
def test_a_trunk_is_the_backbone_of_the_detector_that_is_trained_whole(frozen: type, whole: type) -> None:
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    network = whole().build().eval()
    trunk = build_trunk(frozen())
    with torch.inference_mode():
        expected = network.segmentor.extract_feat((images - network.mean) / network.std)
        found = trunk(images)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    declared = [(channels, 64 // stride, 96 // stride) for channels, stride in read_maps(frozen())]
    assert [tuple(one.shape[1:]) for one in found] == declared
    assert not any(p.requires_grad for p in trunk.parameters())


def test_the_longer_pre_training_has_another_trunk_and_the_same_head() -> None:
    registry, images = Registry.load(), torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    short, long = FrozenConvNeXt(), FrozenConvNeXtLong()
    assert read_maps(long) == read_maps(short)
    with torch.inference_mode():
        one, other = (build_trunk(made)(images) for made in (short, long))
    for own, theirs, (channels, stride) in zip(one, other, read_maps(long), strict=True):
        assert theirs.shape == own.shape == (1, channels, 64 // stride, 96 // stride)
        assert not torch.allclose(own, theirs, atol=1e-2)
    heads = [made.build_head(360) for made in (short, long)]
    assert [p.shape for p in heads[0].parameters()] == [p.shape for p in heads[1].parameters()]
    identities = [registry.identity(registry.complete(Spec.parse("detector", d.name))) for d in (short, long)]
    assert identities[0] != identities[1]
    digest = hashlib.sha256((resources.files("benchkit.assets") / "detectors" / WEIGHTS).read_bytes()).hexdigest()
    assert long.depends_on() == digest


@pytest.mark.parametrize(("frozen", "whole"), PAIRS)
def test_tiny_declares_the_maps_of_its_backbone(frozen: type, whole: type) -> None:
    made = frozen(size="tiny", pretrained="none")
    trunk = build_trunk(made)
    with torch.inference_mode():
        found = trunk(torch.zeros(1, 3, 64, 64))
    assert [(one.shape[1], 64 // one.shape[2]) for one in found] == list(read_maps(made))


@pytest.mark.parametrize("frozen", [FrozenConvNeXt, FrozenSwin])
def test_a_trunk_that_has_learned_nothing_has_to_be_asked_for(frozen: type) -> None:
    with pytest.raises(BenchkitError, match="size=tiny has no embedded weights: name a FILE or URL by pretrained="):
        frozen(size="tiny")
    assert frozen(size="tiny", pretrained="none").pretrained == "none"


def test_the_heads_on_convnext_share_one_trunk() -> None:
    registry = Registry.load()
    made = [registry.complete(Spec.parse("detector", text)) for text in (
        "frozen-convnext", "frozen-convnext:width=8", "convex-convnext:l2=0.1", "frozen-convnext:pretrained=none",
        "convex-convnext:pretrained='a, odd=name.pth'",
    )]  # fmt: skip
    first, wider, convex, other, odd = (find_trunk(registry, one) for one in made)
    assert first == wider == convex != other
    assert odd is not None and odd.values["pretrained"] == "a, odd=name.pth"


def test_the_small_head_is_as_described() -> None:
    registry = Registry.load()
    network = build_network(registry, FrozenConvNeXt())
    layers = [one for one in network.head.modules() if isinstance(one, nn.Conv2d | nn.GELU)]  # type: ignore[union-attr]
    assert [type(one).__name__ for one in layers] == ["Conv2d", "GELU", "Conv2d", "GELU", "Conv2d"]
    kernels = [(one.in_channels, one.out_channels, one.kernel_size[0], one.groups) for one in layers[::2]]  # type: ignore[union-attr]
    assert kernels == [(360, 48, 1, 1), (48, 48, 3, 48), (48, 2, 1, 1)]


@pytest.mark.parametrize("l2", [1e-3, 0.3])
def test_the_convex_head_is_scikit_learns_logistic_regression(l2: float) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 5, 6, 7)).astype(np.float32)
    labels = rng.choice([0, 0.25, 1], (4, 6, 7), p=[0.7, 0.1, 0.2]).astype(np.float32)
    weights = rng.choice([0, 0.5, 1], (4, 6, 7)).astype(np.float32)
    head = nn.Conv2d(5, 2, 1)
    fit_logistic(head, *(torch.from_numpy(one) for one in (features, labels, weights)), l2)
    # A cell counts as an artifact by its fraction and as clean by the rest.
    x = features.transpose(0, 2, 3, 1).reshape(-1, 5)
    share = np.concatenate([(weights * labels).ravel(), (weights * (1 - labels)).ravel()])
    y = np.repeat([1, 0], len(x))
    expected = LogisticRegression(C=1 / (l2 * weights.sum()), tol=1e-8, max_iter=1000)
    expected.fit(np.concatenate([x, x])[share > 0], y[share > 0], share[share > 0])
    assert np.allclose(head.weight[1, :, 0, 0].detach().numpy(), expected.coef_[0], atol=1e-4)
    assert head.bias[1].item() == pytest.approx(expected.intercept_[0], abs=1e-4)
    assert not head.weight[0].any() and not head.bias[0]


def test_the_convex_head_has_one_solution_whatever_it_starts_from() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(2, 3, 8, 8), (torch.rand(2, 8, 8) > 0.7).float()
    heads = [ConvexConvNeXt().build_head(3) for _ in range(2)]
    for one in heads:
        ConvexConvNeXt().fit(one, features, labels, torch.ones_like(labels))
    assert all(torch.equal(one, other) for one, other in zip(*(h.parameters() for h in heads), strict=True))
