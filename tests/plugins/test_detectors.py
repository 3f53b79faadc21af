"""The UPerNet detectors: shapes, sizes, pre-training and its report. Importing mmseg costs six seconds, once."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from benchkit.api import Detector
from benchkit.errors import BenchkitError
from benchkit_plugins.detectors.upernet_convnext import BACKBONES as UPERNET_CONVNEXT
from benchkit_plugins.detectors.upernet_convnext import UPerNetConvNeXt
from benchkit_plugins.detectors.upernet_swin import UPerNetSwin

BOTH = pytest.mark.parametrize("detector", [UPerNetSwin, UPerNetConvNeXt], ids=lambda d: d.name)
PARAMETERS = {
    ("upernet-swin", "mini"): 1.504e6,
    ("upernet-swin", "tiny"): 59.8e6,
    ("upernet-convnext", "mini"): 0.809e6,
    ("upernet-convnext", "tiny"): 60.1e6,
}


def build(detector: Callable[..., Detector], seed: int = 0, **options: str) -> Any:
    torch.manual_seed(seed)
    return detector(**{"pretrained": "none"} | options).build()


def test_listing_plugins_imports_neither_torch_nor_mmseg() -> None:
    program = (
        "import sys, benchkit_plugins.detectors.upernet_swin as s, benchkit_plugins.detectors.upernet_convnext as c;"
        "import benchkit_plugins.detectors.mmseg_config as m; assert m.MMSegConfig().depends_on();"
        "assert s.UPerNetSwin().depends_on();"
        "assert s.benchkit_detectors() and c.benchkit_detectors() and s.UPerNetSwin(size='tiny');"
        "sys.exit(', '.join({'torch', 'mmseg', 'mmengine', 'mmcv', 'transformers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@BOTH
@pytest.mark.parametrize("size", ["mini", "tiny"])
def test_parameters_are_as_many_as_published_and_tiny_starts_fresh(detector: type[Any], size: str) -> None:
    network = build(detector, size=size, pretrained="auto" if size == "tiny" else "none")
    assert network.pretraining.source == "none"
    count = sum(p.numel() for p in network.parameters())
    assert count == pytest.approx(PARAMETERS[detector.name, size], rel=0.005)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())


@BOTH
def test_padding_repeats_the_edge_and_is_cut_off(detector: type[Any]) -> None:
    network = build(detector).eval()
    images = torch.rand(1, 3, 40, 56)
    padded = functional.pad(images, (0, 8, 0, 24), mode="replicate")
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(padded)[..., :40, :56])


def test_building_is_silent() -> None:
    """In a process of its own, because much of mmsegmentation's noise comes with its import. Warnings are errors."""
    program = (
        "from benchkit_plugins.detectors import upernet_convnext as c, upernet_swin as s;"
        "[d(pretrained='none').build() for d in (c.UPerNetConvNeXt, s.UPerNetSwin)]"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@BOTH
def test_one_image_cannot_be_a_training_batch(detector: type[Any]) -> None:
    with pytest.raises(BenchkitError, match="2 or more"):
        build(detector).train()(torch.rand(1, 3, 64, 64))


def made_up_checkpoint(detector: type[Any], classes: int, seed: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    state: dict[str, Tensor] = detector().network(classes).segmentor.state_dict()
    return {name: value.clone() for name, value in state.items()}


@BOTH
@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_checkpoint_of_other_classes_gives_all_but_the_last_layers(
    detector: type[Any], form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = made_up_checkpoint(detector, 150) | {"head.fc.weight": torch.zeros(3)}
    path = tmp_path / f"ade20k.{form}"
    if form == "pth":
        meta = {"CLASSES": ["wall"], "epoch": 3, "best_score": np.float64(44.4)}
        torch.save({"meta": meta, "state_dict": state}, path)
    else:
        save_file(state, path)
    caplog.set_level(logging.INFO, logger="benchkit")
    network = build(detector, pretrained=str(path))
    own = network.segmentor.state_dict()
    last = {f"{head}.conv_seg.{part}" for head in ("decode_head", "auxiliary_head") for part in ("weight", "bias")}
    for name, value in own.items():
        assert torch.equal(value, state[name]) == (name not in last), name
    assert own["decode_head.conv_seg.weight"].shape[0] == 2
    report = network.pretraining
    assert set(report.fresh) == last and set(report.loaded) == set(own) - last
    assert set(report.unused) == last | {"head.fc.weight"}
    assert f"{len(report.loaded)} weights loaded; 4 initialised afresh" in caplog.text


@BOTH
def test_checkpoint_of_two_classes_is_loaded_whole(detector: type[Any], tmp_path: Path) -> None:
    state = made_up_checkpoint(detector, 2)
    torch.save(state, tmp_path / "two.pth")
    network = build(detector, pretrained=str(tmp_path / "two.pth"))
    assert not network.pretraining.fresh and not network.pretraining.unused
    assert all(torch.equal(value, state[name]) for name, value in network.segmentor.state_dict().items())


@BOTH
def test_unfit_checkpoints_are_refused(detector: type[Any], tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with pytest.raises(BenchkitError, match="no such file"):
        build(detector, pretrained=str(path))
    whole = made_up_checkpoint(detector, 2)
    first = next(name for name in whole if name.startswith("backbone."))
    cases: list[tuple[Any, str]] = [
        ({name: value for name, value in whole.items() if name != first}, "lacks 1 weights of the backbone"),
        (whole | {first: torch.zeros(9)}, "another size"),
        ({"state_dict": {"a": 1}}, "no state dict"),
        ({"state_dict": whole, "hook": logging.Formatter()}, "weights alone"),
    ]
    for content, message in cases:
        torch.save(content, path)
        with pytest.raises(BenchkitError, match=message):
            build(detector, pretrained=str(path))
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(BenchkitError, match="weights alone"):
        build(detector, pretrained=str(path))


@BOTH
def test_embedded_weights(detector: type[Any]) -> None:
    asset = f"{detector.name}-mini.safetensors"
    if (resources.files("benchkit") / "assets" / "detectors" / asset).is_file():
        report = build(detector, pretrained="auto").pretraining
        assert len(report.fresh) == 4 and report.source == asset
    else:
        with pytest.raises(BenchkitError, match=f"{asset} are not shipped"):
            build(detector, pretrained="auto")
    with pytest.raises(BenchkitError, match="size=mini only"):
        build(detector, size="tiny", pretrained="parts")


def shipped(name: str) -> dict[str, Any]:
    """The model of a config that mmsegmentation ships; what it imports is not."""
    from mmengine.config import Config

    from benchkit_plugins.detectors.mmseg_config import MMSegConfig

    model: dict[str, Any] = Config.fromfile(
        MMSegConfig(config=name)._file(), import_custom_modules=False
    ).model.to_dict()
    return model


def test_swin_tiny_is_mmsegmentations_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module and setting, by what the networks print, and every weight's name and shape; nothing is allocated."""
    from benchkit_plugins.detectors._segmentor import build_model

    # Its drop-path rates are numbers, which meta tensors do not have.
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        theirs = build_model(shipped("swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512"), "", 150)
        ours = UPerNetSwin(size="tiny").network(150).segmentor
    assert shapes(ours) == shapes(theirs) and len(shapes(ours)) > 200
    assert str(ours.backbone) == str(theirs.backbone)
    assert str(ours.decode_head) == str(theirs.decode_head)
    assert str(ours.auxiliary_head) == str(theirs.auxiliary_head)


def test_convnext_tiny_has_mmsegmentations_heads_and_settings() -> None:
    """Its backbone is mmpretrain's in the config; that it is the same function is tested below."""
    from mmseg.registry import MODELS

    from benchkit_plugins.detectors._segmentor import _for_classes

    model = shipped("convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512")
    plain = _for_classes(model, 150)
    with torch.device("meta"):
        ours = UPerNetConvNeXt(size="tiny").network(150).segmentor
        for name in ("decode_head", "auxiliary_head"):
            theirs = MODELS.build(plain[name])
            assert shapes(getattr(ours, name)) == shapes(theirs)
            assert str(getattr(ours, name)) == str(theirs)
    assert model["backbone"]["arch"] == "tiny"
    assert model["backbone"]["drop_path_rate"] == UPERNET_CONVNEXT["tiny"]["drop_path_rate"]
    gammas = [
        value for name, value in build(UPerNetConvNeXt).named_parameters() if name.endswith("layer_scale_parameter")
    ]
    assert gammas and all((value == model["backbone"]["layer_scale_init_value"]).all() for value in gammas)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


class ReferenceBlock(nn.Module):
    """One ConvNeXt block under the names that mmsegmentation's checkpoints use."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pointwise_conv1, self.pointwise_conv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise_conv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pointwise_conv2(functional.gelu(self.pointwise_conv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ReferenceConvNeXt(nn.Module):
    """ConvNeXt as mmsegmentation's checkpoints lay it out, written from the paper for comparison only."""

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0], eps=1e-6))
        down = [nn.Sequential(ChannelNorm(a, eps=1e-6), nn.Conv2d(a, b, 2, 2)) for a, b in pairwise(widths)]
        self.downsample_layers = nn.ModuleList([stem, *down])
        stages = [nn.Sequential(*(ReferenceBlock(w) for _ in range(d))) for w, d in zip(widths, depths, strict=True)]
        self.stages = nn.ModuleList(stages)
        for i, width in enumerate(widths):
            self.add_module(f"norm{i}", ChannelNorm(width, eps=1e-6))

    def forward(self, x: Tensor) -> list[Tensor]:
        out = []
        for i, (down, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(down(x))
            out.append(self.get_submodule(f"norm{i}")(x))
        return out


def test_convnext_weights_under_mmsegmentations_names_compute_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = ReferenceConvNeXt((96, 192, 384, 768), (3, 3, 9, 3))
    for value in reference.parameters():
        nn.init.normal_(value, std=0.1)
    state = {f"backbone.{name}": value for name, value in reference.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "mm.pth")
    network = build(UPerNetConvNeXt, size="tiny", pretrained=str(tmp_path / "mm.pth")).eval()
    assert len(network.pretraining.loaded) == len(state) and not network.pretraining.unused
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(network.segmentor.backbone(images), reference(images), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_convnext_tiny_takes_every_name_of_mmsegmentations_checkpoint() -> None:
    from benchkit_plugins.detectors._convnext import renamed

    reference = ReferenceConvNeXt((96, 192, 384, 768), (3, 3, 9, 3))
    network = UPerNetConvNeXt(size="tiny").network(150)
    own = set(network.segmentor.state_dict())
    heads = [name for name in own if not name.startswith("backbone.")]
    theirs = [f"backbone.{name}" for name in reference.state_dict()] + heads
    assert len(theirs) == 268
    assert {renamed(name) for name in theirs} == own
